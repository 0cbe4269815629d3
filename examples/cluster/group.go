package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// group is the processes of the cluster, in the order in which they were
// started.
type group struct {
	failed chan error // one that the cluster cannot do without has ended

	all []*process
	mu  sync.Mutex // for out
	out io.Writer
}

func newGroup(out io.Writer) *group { return &group{failed: make(chan error, 1), out: out} }

type process struct {
	name  string
	cmd   *exec.Cmd
	lines chan string   // the first line that it prints
	done  chan struct{} // closed when it has ended
	ended chan struct{} // closed when it is meant to end
}

// start starts a program and prints what it prints. One that is vital ends the
// cluster when it ends.
func (g *group) start(name string, vital bool, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, lines: make(chan string, 1), done: make(chan struct{}), ended: make(chan struct{})}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	tie(cmd)
	started := make(chan error)
	go func() {
		defer close(p.done)
		// The kernel ends the child with the thread that has started it, so
		// this goroutine keeps the thread until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
			g.end(p, vital, err)
		}
		_ = w.Close()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	g.all = append(g.all, p)
	g.print(p.name, fmt.Sprint("is pid ", cmd.Process.Pid))
	go g.copy(p, r)
	return p, nil
}

// end reports an end that nobody has asked for.
func (g *group) end(p *process, vital bool, err error) {
	select {
	case <-p.ended:
		return
	default:
	}
	g.print(p.name, fmt.Sprint("has ended: ", err))
	if vital {
		select {
		case g.failed <- fmt.Errorf("%s has ended: %w", p.name, err):
		default:
		}
	}
}

func (g *group) copy(p *process, r io.Reader) {
	first := true
	for lines := bufio.NewScanner(r); lines.Scan(); first = false {
		if first {
			p.lines <- lines.Text()
		}
		g.print(p.name, lines.Text())
	}
	_, _ = io.Copy(io.Discard, r) // after a line that was too long: the process must not block
}

func (g *group) print(name, line string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintf(g.out, "%-6s  %s\n", name, line)
}

// stop ends all, the last first.
func (g *group) stop() {
	for _, p := range slices.Backward(g.all) {
		close(p.ended)
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(15 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
}

// until asks again and again, as long as the process runs, until there is no
// error. It says what the last one was.
func (p *process) until(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has not started: see what it has printed", p.name)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// find returns where a program is, or says what to install.
func find(program, pkg string) (path string, err error) {
	// Debian has servers in /usr/sbin, which is on root's PATH alone.
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: apt-get install %s", program, pkg)
}

// startNode starts this program once more, as a node, and returns its address.
func startNode(ctx context.Context, all *group, name, store string) (addr string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self, nodeCommand)
	cmd.Env = append(os.Environ(), storeEnv+"="+store)
	p, err := all.start(name, false, cmd)
	if err != nil {
		return "", err
	}
	select {
	case line := <-p.lines:
		if addr, ok := strings.CutPrefix(line, listening); ok {
			return addr, nil
		}
		return "", fmt.Errorf("%s has not started: %s", name, line)
	case <-p.done:
		return "", fmt.Errorf("%s has not started: see what it has printed", name)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
