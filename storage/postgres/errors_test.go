package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
)

// logged is what a logger has written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// Whoever starts a server is told what to mend.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	srv := pgtest.Start(t)
	for url, says := range map[string]string{
		srv.URL("nowhere"): "there is no such database",
		strings.Replace(srv.CreateDB(t), "postgres@", "nobody@", 1): "does not let this user in",
	} {
		_, err := postgres.Open(t.Context(), url)
		require.ErrorIs(t, err, chat.ErrUnavailable)
		require.ErrorContains(t, err, says)
	}
}

// What the operator can mend is said in the log, once for many, and to clients
// in words that are ours.
func TestRefusals(t *testing.T) {
	srv := pgtest.Start(t)
	for _, c := range []struct{ name, sql, says string }{
		{"rights", `REVOKE ALL ON ALL TABLES IN SCHEMA gabble FROM app`, "lacks a right"},
		{"rights of one table", `REVOKE ALL ON gabble.life FROM app`, "lacks a right"},
		{"tables", `DROP SCHEMA gabble CASCADE`, "the tables are not those"},
		{"read-only", `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '25006'; END $$;
			CREATE TRIGGER no BEFORE UPDATE ON gabble.rooms FOR EACH ROW EXECUTE FUNCTION no()`, "takes no changes"},
		{"prepared statements", `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '42P05'; END $$;
			CREATE TRIGGER no BEFORE UPDATE ON gabble.rooms FOR EACH ROW EXECUTE FUNCTION no()`, "default_query_exec_mode=exec"},
		{"full", `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '53100'; END $$;
			CREATE TRIGGER no BEFORE UPDATE ON gabble.rooms FOR EACH ROW EXECUTE FUNCTION no()`, "its disk is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			admin := srv.CreateDB(t)
			execute(t, admin, `DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN END $$`)
			owner := openWith(t, admin, postgres.Options{})
			makeRoom(t, owner, "a")
			execute(t, admin, `GRANT USAGE ON SCHEMA gabble TO app`)
			execute(t, admin, `GRANT ALL ON ALL TABLES IN SCHEMA gabble TO app`)
			execute(t, admin, `GRANT ALL ON ALL SEQUENCES IN SCHEMA gabble TO app`)
			var log logged
			s := openWith(t, strings.Replace(admin, "postgres@", "app@", 1),
				postgres.Options{NoMigrate: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, send(t.Context(), s, "a", creation("", "x")))
			for sql := range strings.SplitSeq(c.sql, ";\n") {
				execute(t, admin, sql)
			}
			for range 3 {
				_, err := s.Append(t.Context(), "a", chat.Position{}, []chat.Change{creation("", "x")})
				require.ErrorIs(t, err, chat.ErrUnavailable)
				require.NotErrorIs(t, err, chat.ErrUnknown)
				require.ErrorContains(t, err, c.says)
				e, ok := errors.AsType[*chat.Error](err)
				require.True(t, ok)
				require.Equal(t, "the database refuses", e.Message, "what clients are told")
			}
			soon(t, func() bool { return log.count("the database refuses") > 0 }, "it is in the log")
			require.NoError(t, s.Close())
			require.Equal(t, 1, log.count("the database refuses"), "once for all three")
		})
	}
}

// What a store does unasked, and cannot, is logged once for a cause, however
// often it tries.
func TestTroubleIsLoggedOnce(t *testing.T) {
	url := pgtest.Start(t).CreateDB(t)
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	var dials atomic.Int64
	var cut atomic.Bool
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		if cut.Load() {
			return nil, net.ErrClosed
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var log logged
	s, err := postgres.NewWith(t.Context(), pool, postgres.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	l := watch(t, s)
	again := func() { // whoever listens does so on a new connection each time
		t.Helper()
		from := dials.Load()
		soon(t, func() bool { return dials.Load() >= from+6 }, "it is tried again and again")
	}
	const lost, moving, refuses = "the connection that listens is lost", "moving messages out of the outbox has failed", "the database refuses"

	execute(t, url, `ALTER SCHEMA gabble RENAME TO away`)
	again()
	require.Equal(t, []int{0, 0, 1}, []int{log.count(lost), log.count(moving), log.count(refuses)})
	missed := l.misses()
	execute(t, url, `ALTER SCHEMA away RENAME TO gabble`)
	soon(t, func() bool { return l.misses() > missed }, "it listens again")

	cut.Store(true)
	execute(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	soon(t, func() bool { return log.count(moving) > 0 }, "the outbox")
	again()
	require.LessOrEqual(t, log.count(lost), 2, "once that it has ended, and once that there is no other")
	require.LessOrEqual(t, log.count(moving), 2)
	missed = l.misses()
	cut.Store(false)
	soon(t, func() bool { return l.misses() > missed }, "it listens again")
}
