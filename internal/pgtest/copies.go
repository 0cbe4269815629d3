package pgtest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Stop ends the server in order, as its host's shutdown does.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	require.NoError(t, s.proc.cmd.Process.Signal(os.Interrupt))
	select {
	case <-s.proc.done:
	case <-time.After(time.Minute):
		t.Fatalf("the server does not end; its log:\n%s", s.tail())
	}
}

// Copy copies the files of the stopped server, and returns what puts them back
// into their place while it is stopped again.
func (s *Server) Copy(t testing.TB) (restore func()) {
	t.Helper()
	kept := filepath.Join(s.dir, "kept")
	require.NoError(t, os.RemoveAll(kept))
	s.run(t, "cp", "-a", s.data(), kept)
	return func() {
		t.Helper()
		require.NoError(t, os.RemoveAll(s.data()))
		s.run(t, "cp", "-a", kept, s.data())
	}
}

// KillBackend ends the process that serves the connection by SIGKILL, upon
// which the server recovers as it does after a crash, and goes on. It returns
// when it takes connections again.
func (s *Server) KillBackend(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	p, err := os.FindProcess(int(conn.PgConn().PID()))
	require.NoError(t, err)
	before := s.crashes(t)
	require.NoError(t, p.Kill())
	// It takes connections for a moment more, until it has seen what has happened.
	require.Eventually(t, func() bool { return s.crashes(t) > before }, time.Minute, time.Millisecond, "the server notices")
	_ = conn.Close(context.Background())
	require.NoError(t, s.await(), "the server's log:\n%s", s.tail())
}

// crashes is how often the server has ended all that connections were doing.
func (s *Server) crashes(t testing.TB) int {
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	require.NoError(t, err)
	return bytes.Count(log, []byte("all server processes terminated; reinitializing"))
}

// Standby starts a server that follows this one, and returns when it has all
// that is there.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	other := place(t, s.bin, s.settings)
	other.run(t, filepath.Join(s.bin, "pg_basebackup"), "-D", other.data(), "-h", s.dir, "-U", "postgres", "-X", "stream", "-c", "fast", "-R", "--no-sync")
	other.Restart(t)
	other.CatchUp(t, s)
	return other
}

// CatchUp waits until the standby has all that the other server has.
func (s *Server) CatchUp(t testing.TB, of *Server) {
	t.Helper()
	upto := of.ask(t, "SELECT pg_current_wal_lsn()::text")
	require.Eventually(t, func() bool {
		return s.ask(t, "SELECT (coalesce(pg_last_wal_replay_lsn(), '0/0') >= '"+upto+"'::pg_lsn)::text") == "true"
	}, time.Minute, 10*time.Millisecond, "the standby follows")
}

// Detach cuts the standby off from what it follows.
func (s *Server) Detach(t testing.TB) {
	t.Helper()
	s.ask(t, "ALTER SYSTEM SET primary_conninfo = ''")
	s.ask(t, "SELECT pg_reload_conf()::text")
	require.Eventually(t, func() bool { return s.ask(t, "SELECT count(*)::text FROM pg_stat_wal_receiver") == "0" },
		time.Minute, 10*time.Millisecond, "the standby gets nothing more")
}

// Lead promotes the standby.
func (s *Server) Lead(t testing.TB) {
	t.Helper()
	require.Equal(t, "true", s.ask(t, "SELECT pg_promote()::text"))
}

// Dump writes the database, or what args say of it, into a file in pg_dump's
// own format, and returns what puts that back by pg_restore.
func (s *Server) Dump(t testing.TB, db string, args ...string) (restore func(args ...string)) {
	t.Helper()
	file := filepath.Join(s.dir, "dump")
	s.run(t, filepath.Join(s.bin, "pg_dump"), append(args, "-Fc", "-f", file, "-d", db)...)
	return func(args ...string) {
		t.Helper()
		s.run(t, filepath.Join(s.bin, "pg_restore"), append(args, "--exit-on-error", "--single-transaction", "-d", db, file)...)
	}
}

// run runs a program as whom the server runs as.
func (s *Server) run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	lower(cmd)
	// The end of the thread that has started a child counts as that of its
	// parent; an event loop of a server under test takes its thread along.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
}

// ask returns the text that a statement answers, "" for none.
func (s *Server) ask(t testing.TB, sql string) (text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		require.NoError(t, rows.Scan(&text))
	}
	require.NoError(t, rows.Err())
	return text
}
