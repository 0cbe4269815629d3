package pgtest

import (
	"os/exec"
	"time"
)

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start starts the command in a goroutine that stays on its thread: the end of
// the thread that has started a child may count as the end of its parent.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(p.done)
		pin()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ends is the test's doing
		}
	}()
	return p, <-started
}

// stop asks for an immediate end and sees to it.
func (p *process) stop() {
	quit(p.cmd.Process)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

// kill ends the server and its children, and waits until they are gone: a
// server does not start beside what is left of another one.
func (p *process) kill() {
	children := childrenOf(p.cmd.Process.Pid)
	_ = p.cmd.Process.Kill()
	<-p.done
	for _, c := range children {
		_ = c.Kill()
	}
	for _, c := range children {
		for alive(c) {
			time.Sleep(time.Millisecond)
		}
	}
}
