package pgtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

func pin() { runtime.LockOSThread() }

func quit(p *os.Process) { _ = p.Signal(syscall.SIGQUIT) }

// server is whom the server runs as where the tests run as root, which it
// refuses to.
func server() (uid, gid int, root bool) {
	if os.Getuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.Atoi(u.Uid)
		gid, errG := strconv.Atoi(u.Gid)
		if errU == nil && errG == nil {
			return uid, gid, true
		}
	}
	return 65534, 65534, true
}

// give makes the directory the server's own.
func give(dir string) error {
	if uid, gid, root := server(); root {
		return os.Chown(dir, uid, gid)
	}
	return nil
}

// lower makes the command run as whom give has given to, and end with the
// tests, however they end.
func lower(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if uid, gid, root := server(); root {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
}

func childrenOf(pid int) []*os.Process {
	var children []*os.Process
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var state string
		var parent int
		// The name in parentheses may hold anything.
		_, err = fmt.Sscan(string(b[bytes.LastIndexByte(b, ')')+1:]), &state, &parent)
		if err != nil || parent != pid {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(child); err == nil {
			children = append(children, p)
		}
	}
	return children
}

// alive reports whether the process is more than an entry in a table.
func alive(p *os.Process) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		return false
	}
	rest := b[bytes.LastIndexByte(b, ')')+1:]
	return len(rest) > 1 && rest[1] != 'Z'
}
