//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// redisServer is a Redis of this program's own, which keeps nothing on disk.
type redisServer struct {
	url   string
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// redisPatience bounds the wait for a Redis to answer.
const redisPatience = 20 * time.Second

// startRedis runs redis-server on a free port of the loopback interface. It is
// ready when startRedis returns.
func startRedis(ctx context.Context) (*redisServer, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("no -store is given, and no redis-server installed to start one: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	if err := ln.Close(); err != nil {
		return nil, err
	}
	s := &redisServer{url: "redis://127.0.0.1:" + port, ended: make(chan struct{})}
	if s.dir, err = os.MkdirTemp("", "scale-redis-"); err != nil {
		return nil, err
	}
	log := filepath.Join(s.dir, "redis.log")
	s.cmd = exec.Command(bin, "--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--logfile", log,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should this program be killed itself
	started := make(chan error)
	go func() {
		defer close(s.ended)
		runtime.LockOSThread() // the end of the thread that has started it would end it
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.ready(ctx, "127.0.0.1:"+port); err != nil {
		text, _ := os.ReadFile(log)
		s.stop()
		return nil, fmt.Errorf("redis-server: %w\n%s", err, bytes.TrimSpace(text))
	}
	return s, nil
}

// ready waits until the server answers.
func (s *redisServer) ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = conn.Close()
			c := goredis.NewClient(&goredis.Options{Addr: addr})
			return errors.Join(c.Ping(ctx).Err(), c.Close())
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-s.ended:
			return errors.New("ended at once")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the process. Nothing that it holds is wanted any more.
func (s *redisServer) stop() {
	_ = s.cmd.Process.Kill()
	<-s.ended
	_ = os.RemoveAll(s.dir)
}
