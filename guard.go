package chat

import (
	"fmt"
	"runtime/debug"
)

// panicError is a panic in the host's code, with its stack for the log.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// guard calls code that is not ours and turns a panic into an error, so that
// it harms no more than the command it served.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Error{Code: CodeInternal, Message: "internal error", cause: &panicError{v, debug.Stack()}}
		}
	}()
	return f()
}
