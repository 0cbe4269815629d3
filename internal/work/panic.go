package work

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Panic is a panic of a function that was called by Guard.
type Panic struct {
	Value string
	Stack []byte // for the log
}

// Error returns the value and the stack.
func (p *Panic) Error() string { return fmt.Sprintf("panic: %s\n%s", p.Value, p.Stack) }

// Guard calls f and turns a panic into a *Panic, so that it harms no more than
// what it was called for. So it does with an error that is not [Sound].
func Guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{fmt.Sprint(v), debug.Stack()}
		}
	}()
	return Sound(f())
}

// Sound returns err, or a *Panic in the place of one that panics when somebody
// looks at it: a nil pointer that has become an error, or one whose methods do
// not keep their word. Who looks at it later may hold locks, or has yet to count
// something down.
func Sound(err error) (sound error) {
	if err == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			sound = &Panic{fmt.Sprintf("of an error, %T, that is looked at: %v", err, v), debug.Stack()}
		}
	}()
	_ = err.Error()
	_ = errors.Is(err, unlike{}) // these walk through all that it wraps
	_, _ = errors.AsType[unlike](err)
	return err
}

// unlike is an error that no other is.
type unlike struct{}

func (unlike) Error() string { return "" }

// Recover is deferred in goroutines around each thing that they do: a panic
// ends that, and nothing else.
func Recover(log *slog.Logger, where string) {
	if v := recover(); v != nil {
		LogPanic(log, where, v)
	}
}

// LogPanic logs what a deferred function of the caller's has recovered.
func LogPanic(log *slog.Logger, where string, v any) {
	log.Error("chat: panic in "+where, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
}
