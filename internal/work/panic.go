package work

import (
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
// what it was called for.
func Guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{fmt.Sprint(v), debug.Stack()}
		}
	}()
	return f()
}

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
