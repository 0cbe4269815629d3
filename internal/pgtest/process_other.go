//go:build !linux

package pgtest

import (
	"os"
	"os/exec"
	"syscall"
)

func pin() {}

func quit(p *os.Process) {
	if p.Signal(syscall.SIGQUIT) != nil {
		_ = p.Kill()
	}
}

func give(string) error { return nil }

func lower(*exec.Cmd) {}

// The children of a server that has been killed see it and end by themselves.
func childrenOf(int) []*os.Process { return nil }

func alive(*os.Process) bool { return false }
