//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// child is a process of this program in another role.
type child struct {
	role  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan answer
	ended chan struct{} // the process is gone and waited for
	err   error         // how it went; read it after ended
}

// start runs this program again. The child ends when its standard input does,
// so that it does not survive its parent, whatever becomes of that.
func start(role string, stderr io.Writer) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{role: role, cmd: exec.Command(exe, "-role", role), lines: make(chan answer), ended: make(chan struct{})}
	c.cmd.Stderr = stderr
	c.cmd.WaitDelay = time.Second
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go c.listen(out)
	return c, nil
}

func (c *child) listen(out io.Reader) {
	defer close(c.ended)
	defer close(c.lines)
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			a = answer{Error: fmt.Sprintf("said %.100q", line)}
		}
		c.lines <- a
	}
	c.err = c.cmd.Wait()
}

// call gives an order and waits for its outcome. Progress, where given, is told
// how far it is.
func (c *child) call(ctx context.Context, op string, args, result any, progress func(int)) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	line, err := json.Marshal(order{Op: op, Args: raw})
	if err != nil {
		return err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %s: %w", c.role, op, err)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a, ok := <-c.lines:
			switch {
			case !ok:
				<-c.ended
				return fmt.Errorf("%s: %s: the process has ended: %w", c.role, op, errors.Join(c.err, io.ErrUnexpectedEOF))
			case a.Progress != nil:
				if progress != nil {
					progress(*a.Progress)
				}
			case a.Error != "":
				return fmt.Errorf("%s: %s: %s", c.role, op, a.Error)
			case result == nil:
				return nil
			default:
				return json.Unmarshal(a.Result, result)
			}
		}
	}
}

// stop ends the process: politely, then not.
func (c *child) stop() {
	_ = c.in.Close()
	kill := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	for range c.lines { // what it still says is of no interest
	}
	<-c.ended
}

// kill ends the process as a crash would, and waits until it is gone.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	for range c.lines { // what it still says is of no interest
	}
	<-c.ended
	return err
}
