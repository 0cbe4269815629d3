//go:build linux || darwin

package door

import (
	"math"
	"syscall"
)

// openFiles is how many this process may have open.
func openFiles() uint64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return math.MaxUint64
	}
	return r.Cur
}
