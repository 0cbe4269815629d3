//go:build unix

package main

import "syscall"

// maxConns is how many connections the process may hold open, about: one file
// descriptor each, less a few of our own.
func maxConns() int64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return max(0, int64(min(limit.Cur, 1<<40))-64)
}
