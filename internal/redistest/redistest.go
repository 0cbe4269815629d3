// Package redistest runs real Redis servers for tests: on a free port of the
// loopback interface, with a data directory of their own, ended with the test.
//
// Where redis-server is not installed the test is skipped, in one line; with
// GABBLE_REQUIRE=1 in the environment it fails instead.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// patience bounds every wait for a server.
const patience = 20 * time.Second

// Server is one redis-server process. Its methods fail the test that started
// it, and are not for concurrent use.
type Server struct {
	Addr string // host:port

	t      testing.TB
	bin    string
	dir    string
	config []string
	args   []string // after the configuration file
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

// Start runs a server that is ready when Start returns. The config lines are
// as in redis.conf, "appendonly yes" say; without any, nothing is persisted.
func Start(t testing.TB, config ...string) *Server {
	t.Helper()
	return start(t, &Server{config: config})
}

func start(t testing.TB, s *Server) *Server {
	t.Helper()
	s.t, s.bin, s.dir = t, binary(t), t.TempDir()
	t.Cleanup(s.Stop)
	for try := range 5 {
		port := freePort(t)
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		err := s.launch()
		if err == nil {
			return s
		}
		if try == 4 {
			t.Fatalf("redis-server: %v\n%s", err, s.log())
		}
	}
	return s
}

// Replica runs a replica of the server, in sync with it on return.
func Replica(t testing.TB, of *Server, config ...string) *Server {
	t.Helper()
	s := Start(t, append([]string{"replicaof 127.0.0.1 " + portOf(of.Addr)}, config...)...)
	c, master := s.Client(), of.Client()
	defer func() { _, _ = c.Close(), master.Close() }()
	s.await("replica in sync", func(ctx context.Context) bool {
		return InfoField(ctx, c, "replication", "master_link_status") == "up" &&
			strings.Contains(master.Info(ctx, "replication").Val(), "port="+portOf(s.Addr)+",state=online")
	})
	return s
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// Master is the name by which a Sentinel knows the primary.
const Master = "chat"

// Sentinel runs a Sentinel that watches over the primary and its replicas, and
// promotes one within seconds of the primary's end.
func Sentinel(t testing.TB, of *Server) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(of.Addr)
	s := start(t, &Server{args: []string{"--sentinel"}, config: []string{
		"sentinel monitor " + Master + " " + host + " " + port + " 1",
		"sentinel down-after-milliseconds " + Master + " 500",
		"sentinel failover-timeout " + Master + " 5000",
	}})
	c := s.Client()
	defer func() { _ = c.Close() }()
	s.await("replica known", func(ctx context.Context) bool {
		list, err := c.Do(ctx, "SENTINEL", "REPLICAS", Master).Slice()
		return err == nil && len(list) > 0
	})
	return s
}

func binary(t testing.TB) string {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err == nil {
		return bin
	}
	if os.Getenv("GABBLE_REQUIRE") == "1" {
		t.Fatalf("GABBLE_REQUIRE=1 and no redis-server: %v", err)
	}
	t.Skip("redis-server is not installed")
	return ""
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// launch starts the process on Addr and waits until it answers.
func (s *Server) launch() error {
	conf := "bind 127.0.0.1\nport " + portOf(s.Addr) + "\ndir " + s.data() + "\ndaemonize no\nlogfile " + filepath.Join(s.dir, "redis.log") + "\n"
	if s.args == nil {
		conf += "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\nenable-debug-command local\n"
	}
	for _, line := range s.config {
		conf += line + "\n"
	}
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return err
	}
	s.cmd, s.exited = exec.Command(s.bin, append([]string{file}, s.args...)...), make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd, s.exited)
	return s.answers()
}

// answers waits until the server has loaded its data and says PONG.
func (s *Server) answers() error {
	deadline := time.After(patience)
	for {
		err := s.ping()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("ended at once: %w", err)
		case <-deadline:
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// ping does without a client, which would log each refusal.
func (s *Server) ping() error {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, "+PONG") {
		err = errors.New(strings.TrimSpace(answer))
	}
	return err
}

// URL is the server's address as redis://.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Client is a new client of this one server, which the caller closes.
func (s *Server) Client() *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: s.Addr, MaxRetries: -1, DialerRetries: 1})
}

// Kill ends the process as a crash does.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Restart starts the server again, after Kill or Stop, on the same port and
// data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.launch(); err != nil {
		s.t.Fatalf("redis-server: %v\n%s", err, s.log())
	}
}

// Stop ends the process. It may be called again, and of its own does so when
// the test ends.
func (s *Server) Stop() { s.Kill() }

func (s *Server) log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "redis.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// await polls what raises no event.
func (s *Server) await(what string, f func(ctx context.Context) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !f(ctx) {
		select {
		case <-ctx.Done():
			s.t.Fatalf("redis-server at %s: waited in vain for: %s\n%s", s.Addr, what, s.log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
