//go:build linux || darwin

package chat

import "syscall"

// fileRoom is the default of Limits.Connections.
func fileRoom() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	return roomIn(r.Cur)
}
