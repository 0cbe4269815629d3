package main

import (
	"os/exec"
	"syscall"
)

// tie makes the process end with this one, however this one ends. Ctrl-C is
// for this one alone, which ends the others in order.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
