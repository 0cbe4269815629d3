package chat

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// panicError is a panic in the host's code, with its stack for the log.
type panicError struct {
	value string
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %s\n%s", e.value, e.stack) }

// guard calls code that is not ours and turns a panic into an error, so that
// it harms no more than the command it served.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Error{Code: CodeInternal, Message: "internal error", cause: &panicError{fmt.Sprint(v), debug.Stack()}}
		}
	}()
	return f()
}

// rescue is deferred in goroutines of ours around each thing that they do: a
// panic ends that, and nothing else.
func rescue(log *slog.Logger, where string) {
	if v := recover(); v != nil {
		rescued(log, where, v)
	}
}

func rescued(log *slog.Logger, where string, v any) {
	log.Error("chat: panic in "+where, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
}
