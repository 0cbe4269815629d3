//go:build !linux

package main

import "os/exec"

// tie has no way here to make the process end with this one.
func tie(*exec.Cmd) {}
