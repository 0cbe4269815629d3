package redis

import (
	"fmt"
	"runtime/debug"
)

// guarded calls the driver on a goroutine of ours. Hooks, dialers and the like
// of the host's may be built into a client: a panic of theirs is an error of
// that call, and nothing else.
func guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(fmt.Sprintf("panic: %v\n%s", v, debug.Stack()))
		}
	}()
	return f()
}

// panicError is a panic that was caught.
type panicError string

func (e panicError) Error() string { return string(e) }
