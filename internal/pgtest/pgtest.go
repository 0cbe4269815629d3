// Package pgtest runs PostgreSQL servers of the system's own installation for
// tests. Where none is installed, tests are skipped, and fail when the
// environment has GABBLE_REQUIRE=1.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Server is one PostgreSQL server with data of its own, reached by a Unix
// socket only. The test's Cleanup stops it and removes its data.
type Server struct {
	bin      string // directory of the server's programs
	dir      string // of the socket, the log and the data
	settings []string
	proc     *process
	made     atomic.Int64 // databases
}

// quick are settings of servers that need not survive a crash.
var quick = []string{"fsync=off", "synchronous_commit=off", "full_page_writes=off"}

// Start starts a server that writes nothing to the disk for good, with
// settings like "max_connections=20", which win over its own. Ask for
// "fsync=on" where a crash is part of the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := place(t, find(t), append(slices.Clone(quick), settings...))
	s.run(t, filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
	s.Restart(t)
	return s
}

// place is a server that has no data yet.
func place(t testing.TB, bin string, settings []string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg") // a short path: that of a socket is limited
	require.NoError(t, err)
	s := &Server{bin: bin, dir: dir, settings: settings}
	t.Cleanup(func() {
		if s.proc != nil {
			s.proc.stop()
		}
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", s.tail())
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	require.NoError(t, give(dir))
	return s
}

// find returns the directory of the newest server that is installed.
func find(t testing.TB) string {
	t.Helper()
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(all, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	if len(all) > 0 {
		return filepath.Dir(all[len(all)-1])
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path)
	}
	if os.Getenv("GABBLE_REQUIRE") == "1" {
		t.Fatal("PostgreSQL is not installed, and GABBLE_REQUIRE=1 wants it")
	}
	t.Skip("PostgreSQL is not installed")
	return ""
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// URL returns the address of a database of this server.
func (s *Server) URL(db string) string {
	return "postgres://postgres@/" + db + "?host=" + url.QueryEscape(s.dir)
}

// CreateDB makes an empty database and returns its URL. It goes with the
// server.
func (s *Server) CreateDB(t testing.TB) string {
	t.Helper()
	name := fmt.Sprint("db", s.made.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0")
	require.NoError(t, err)
	return s.URL(name)
}

// Restart starts the stopped server again, with the same data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses="}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	defer func() { _ = log.Close() }()
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	lower(cmd)
	s.proc, err = start(cmd)
	require.NoError(t, err)
	require.NoError(t, s.await(), "the server's log:\n%s", s.tail())
}

// await waits until the server takes connections.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.proc.done:
			return errors.Join(errors.New("the server has ended"), err)
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// StopImmediate ends the server as pg_ctl's mode immediate does: without a
// checkpoint, so that it recovers from its log when it is started again.
func (s *Server) StopImmediate(testing.TB) { s.proc.stop() }

// Kill ends all processes of the server by SIGKILL.
func (s *Server) Kill(testing.TB) { s.proc.kill() }

// Promote restarts the server as a standby that is promoted at once: with the
// same data, on another timeline.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.StopImmediate(t)
	path := filepath.Join(s.data(), "standby.signal")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	require.NoError(t, give(path))
	s.Restart(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	promoted := false
	require.NoError(t, conn.QueryRow(ctx, "SELECT pg_promote()").Scan(&promoted))
	require.True(t, promoted)
}

// tail is the end of the server's log.
func (s *Server) tail() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}
