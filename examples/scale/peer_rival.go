//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// rival is one of the servers that are compared, and its clients. All are
// processes of their own, and all are measured alike: from outside.
type rival struct {
	d      *driver
	name   string
	cmd    *exec.Cmd
	end    []func() // what ends it, in order
	client *child
	addr   string
	key    []byte
}

// The rivals that are no other library.
const (
	rivalSDK  = "SDK"
	rivalRaw  = "SDK, Serve"
	rivalBare = "bare"
)

// rival starts a server and its clients.
func (d *driver) rival(ctx context.Context, name, bin string) (r *rival, err error) {
	r = &rival{d: d, name: name, key: []byte(rand.Text() + rand.Text())}
	defer func() {
		if err != nil {
			r.stop()
		}
	}()
	switch name {
	case rivalSDK:
		err = r.own(ctx, "server", "http")
	case rivalRaw:
		err = r.own(ctx, "server", "raw")
	case rivalBare:
		err = r.own(ctx, "bare-server", "")
	default:
		err = r.library(ctx, bin)
	}
	if err != nil {
		return nil, err
	}
	if r.client, err = start("client", d.stderr); err != nil {
		return nil, err
	}
	r.end = slices.Insert(r.end, 0, r.client.stop) // first, or it would see its server's end as a fault
	args := foreignArgs{Centrifuge: name == "centrifuge", Patience: peerPatience.Microseconds()}
	return r, r.client.call(ctx, "abroad", args, nil, nil)
}

// peerPatience is how long a server may be silent while messages are under way.
const peerPatience = 10 * time.Second

// own starts a server of this program.
func (r *rival) own(ctx context.Context, role, door string) error {
	c, err := start(role, r.d.stderr)
	if err != nil {
		return err
	}
	r.cmd, r.end = c.cmd, append(r.end, c.stop)
	var res startResult
	err = c.call(ctx, "start", startArgs{Door: door, Key: r.key}, &res, nil)
	r.addr = res.Addr
	return err
}

// library starts a server of the other program.
func (r *rival) library(ctx context.Context, bin string) error {
	cmd := exec.Command(bin, "-lib", r.name)
	cmd.Env = append(os.Environ(), "PEERS_KEY="+base64.StdEncoding.EncodeToString(r.key))
	cmd.Stderr = r.d.stderr
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := func() {
		_ = in.Close()
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // how it ends is of no interest any more
	}
	r.cmd, r.end = cmd, append(r.end, stop)
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var res startResult
	if err == nil {
		err = json.Unmarshal(line, &res)
	}
	if err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("%s: said %q: %w", bin, line, err))
	}
	r.addr = res.Addr
	return nil
}

func (r *rival) stop() {
	for _, f := range r.end {
		f()
	}
	r.end = nil
}

// cpu is the server's user and system time so far, in microseconds: what
// getrusage tells a process of itself, this clock tells others of it.
func (r *rival) cpu() (int64, error) {
	const perProcess = 2 // CPUCLOCK_SCHED, in the clock's lowest bits, and the process's number inverted above
	var ts unix.Timespec
	err := unix.ClockGettime(int32(^r.cmd.Process.Pid<<3|perProcess), &ts)
	return ts.Nano() / 1e3, err
}

// sizes is what the server holds: VmRSS in bytes, and open files.
func (r *rival) sizes() (rss int64, fds int, err error) {
	dir := fmt.Sprintf("/proc/%d", r.cmd.Process.Pid)
	entries, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return 0, 0, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return 0, 0, err
	}
	rss, err = kilobytes(status, "VmRSS:")
	return rss, len(entries), err
}

// buildPeers builds the other libraries' servers, and returns the program and
// what removes it.
func (d *driver) buildPeers(ctx context.Context) (bin string, remove func(), err error) {
	if d.cfg.PeersBin != "" {
		return d.cfg.PeersBin, func() {}, nil
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", nil, errors.New("the other libraries' servers are built from source, and there is no Go here: give -peers-bin")
	}
	out, err := exec.CommandContext(ctx, tool, "env", "GOMOD").Output()
	if err != nil {
		return "", nil, fmt.Errorf("go env: %w", err)
	}
	root := filepath.Dir(string(out)) // of the repository's module, or of this one
	src := filepath.Join(root, "examples", "scale", "peers")
	if _, err := os.Stat(src); err != nil {
		src = filepath.Join(root, "peers")
	}
	if _, err := os.Stat(filepath.Join(src, "go.mod")); err != nil {
		return "", nil, errors.New("the other libraries' servers are built from source: run this inside the repository, or give -peers-bin")
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	bin = filepath.Join(dir, "peers")
	cmd := exec.CommandContext(ctx, tool, "build", "-C", src, "-o", bin, ".")
	cmd.Env = append(os.Environ(), "GOWORK=off") // it is no module of the workspace
	if text, err := cmd.CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("go build -C %s: %w\n%s", src, err, text)
	}
	return bin, remove, nil
}
