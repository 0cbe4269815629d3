package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
	"github.com/gabblehq/chat/storage/storagetest"
)

// An era is a database with two stores, as an ordinary role, that goes back.
type era struct {
	*pgtest.Server
	admin  string // URL of the database for who owns it
	url    string
	stores []*postgres.Store
	ear    *listener

	standby *pgtest.Server // in ways that want one
}

func newEra(t *testing.T, settings ...string) *era {
	e := &era{Server: pgtest.Start(t, append([]string{"fsync=off", "synchronous_commit=on", "full_page_writes=on"}, settings...)...)}
	e.admin = e.CreateDB(t)
	execute(t, e.admin, `CREATE ROLE app LOGIN`)
	execute(t, e.admin, `REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC`)
	execute(t, e.admin, `CREATE SCHEMA gabble AUTHORIZATION app`)
	e.url = strings.Replace(e.admin, "postgres@", "app@", 1)
	return e
}

// follow gives the server a standby, where the stores look for one.
func (e *era) follow(t *testing.T) {
	e.standby = e.Standby(t)
	u, err := url.Parse(e.url)
	require.NoError(t, err)
	of, err := url.Parse(e.standby.URL(""))
	require.NoError(t, err)
	q := u.Query()
	q.Set("host", q.Get("host")+","+of.Query().Get("host"))
	q.Set("target_session_attrs", "read-write")
	u.RawQuery = q.Encode()
	e.url = u.String()
}

func (e *era) open(t *testing.T) {
	e.stores = []*postgres.Store{openWith(t, e.url, postgres.Options{}), openWith(t, e.url, postgres.Options{})}
	e.ear = watch(t, e.stores[1])
}

// write has both stores send so many messages at once, and returns the head.
func (e *era) write(t *testing.T, key string, n int) chat.Position {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		c := creation(fmt.Sprint("nonce ", i, t.Name()), "")
		c.Message.Nonce, c.Message.Content = c.Message.ID, c.Message.ID
		wg.Go(func() { errs[i] = send(t.Context(), e.stores[i%2], key, c) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	return e.head(t, key)
}

func (e *era) head(t *testing.T, key string) chat.Position {
	t.Helper()
	var head chat.Position
	soon(t, func() (ok bool) { // the server may still be starting
		var err error
		head, err = e.stores[0].Head(t.Context(), key)
		return err == nil
	}, "the store answers")
	return head
}

func (e *era) page(t *testing.T, key string) chat.Page {
	t.Helper()
	p, err := e.stores[1].Changes(t.Context(), key, 0, 1000)
	require.NoError(t, err)
	q, err := e.stores[0].History(t.Context(), key, chat.Query{})
	require.NoError(t, err)
	require.Equal(t, p.Past, q.Past)
	require.Equal(t, p.Head, q.Head)
	require.Len(t, contents(t, e.stores[0], key), int(p.Head.Seq), "each place has a message")
	return p
}

const withStandby = "a standby that was behind"

// OpenRewinding implements storagetest.Rewinder.
func (h *harness) OpenRewinding(t testing.TB) storagetest.Rewinding {
	srv := pgtest.Start(t)
	url := srv.CreateDB(t)
	return &rewinding{srv: srv, url: url, s: openWith(t, url, postgres.Options{})}
}

// rewinding is a store that stays open while its tables are put back, and
// while its server starts anew.
type rewinding struct {
	srv  *pgtest.Server
	url  string
	s    *postgres.Store
	back func(args ...string)
}

func (r *rewinding) Store() chat.Store { return r.s }
func (r *rewinding) Mark(t testing.TB) { r.back = r.srv.Dump(t, r.url, "-n", "gabble") }
func (r *rewinding) Rewind(testing.TB) { r.back("--clean") }
func (r *rewinding) Restart(t testing.TB) {
	r.srv.Stop(t)
	r.srv.Restart(t)
	soon(t, func() bool {
		_, _, err := r.s.ListRooms(t.Context(), "", "", 1)
		return err == nil
	}, "the store answers")
}

// ways are how a database comes to what it was at the moment when prepare was
// called: what prepare returns does it.
var ways = []struct {
	name     string
	settings []string
	offline  bool // nobody is to see what there is in between
	prepare  func(t *testing.T, e *era) (back func())
}{
	{"a copy of the files", nil, false, func(t *testing.T, e *era) func() {
		e.Stop(t)
		restore := e.Copy(t)
		e.Restart(t)
		return func() {
			e.Stop(t)
			restore()
			e.Restart(t)
		}
	}},
	{"a crash of asynchronous commits", []string{"synchronous_commit=off", "wal_writer_delay=10s"}, false, func(t *testing.T, e *era) func() {
		flush(t, e)
		return func() {
			e.Kill(t)
			e.Restart(t)
		}
	}},
	{"a crash without a new start", []string{"synchronous_commit=off", "wal_writer_delay=10s", "restart_after_crash=on"}, false, func(t *testing.T, e *era) func() {
		flush(t, e)
		conn := begin(t, e.admin).Conn()
		return func() { e.KillBackend(t, conn) }
	}},
	{withStandby, nil, false, func(t *testing.T, e *era) func() {
		e.standby.CatchUp(t, e.Server)
		e.standby.Detach(t)
		return func() {
			e.Kill(t)
			e.standby.Lead(t)
		}
	}},
	{"a dump over the tables", nil, false, func(t *testing.T, e *era) func() {
		restore := e.Dump(t, e.admin, "-n", "gabble")
		return func() { restore("--clean") }
	}},
	{"a dump into emptied tables", nil, true, func(t *testing.T, e *era) func() {
		restore := e.Dump(t, e.admin, dataOnly...)
		return func() {
			empty(t, e, "TRUNCATE gabble.%s")
			restore("--data-only")
		}
	}},
	{"a dump into tables whose rows were deleted", nil, true, func(t *testing.T, e *era) func() {
		restore := e.Dump(t, e.admin, dataOnly...)
		return func() {
			empty(t, e, "DELETE FROM gabble.%s")
			restore("--data-only")
		}
	}},
	{"a copy of the database beside it", nil, false, func(t *testing.T, e *era) func() {
		u, err := url.Parse(e.admin)
		require.NoError(t, err)
		name, maintenance := strings.TrimPrefix(u.Path, "/"), e.URL("postgres")
		alone(t, maintenance, name, "CREATE DATABASE kept TEMPLATE "+name)
		return func() {
			alone(t, maintenance, name, "ALTER DATABASE "+name+" RENAME TO spoilt")
			execute(t, maintenance, "ALTER DATABASE kept RENAME TO "+name)
		}
	}},
}

// flush lets nothing wait in memory. The server may still be coming back.
func flush(t *testing.T, e *era) {
	t.Helper()
	soon(t, func() bool {
		conn, err := pgx.Connect(t.Context(), e.admin)
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close(context.Background()) }()
		_, err = conn.Exec(t.Context(), "CHECKPOINT")
		return err == nil
	}, "the server writes down what it has")
}

// dataOnly leaves out what the servers that run write by themselves.
var dataOnly = []string{"-n", "gabble", "--data-only", "-T", "gabble.nodes", "-T", "gabble.presence"}

func empty(t *testing.T, e *era, sql string) {
	t.Helper()
	for _, table := range []string{"life", "rooms", "messages", "trimmed", "hints", "outbox", "migrations"} {
		execute(t, e.admin, fmt.Sprintf(sql, table))
	}
}

// alone does what cannot be done to a database that is in use.
func alone(t *testing.T, maintenance, name, sql string) {
	t.Helper()
	execute(t, maintenance, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
	conn, err := pgx.Connect(t.Context(), maintenance)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	soon(t, func() bool {
		_, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+name+`'`)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), sql)
		return err == nil
	}, "nobody is there: "+sql)
	execute(t, maintenance, "UPDATE pg_database SET datallowconn = true")
}

// Whoever has seen what is gone is told so, also when others have written past
// it; whoever has not goes on.
func TestGoesBack(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			e := newEra(t, way.settings...)
			if way.name == withStandby {
				e.follow(t)
			}
			e.open(t)
			began := makeRoom(t, e.stores[0], "a")
			makeRoom(t, e.stores[0], "idle")
			kept := e.write(t, "a", 5)
			back := way.prepare(t, e)
			var seen chat.Position
			for try := 0; ; try++ {
				seen = e.write(t, "a", 5)
				missed := e.ear.misses()
				back()
				soon(t, func() bool { return e.ear.misses() > missed }, "who watches is told to look")
				if kept = e.head(t, "a"); kept.Rev < seen.Rev {
					break
				}
				require.Less(t, try, 20, "nothing is ever lost")
				back = way.prepare(t, e)
			}

			p := e.page(t, "a")
			require.True(t, p.Good(kept) && p.Good(chat.Position{Epoch: kept.Epoch, Rev: began.Rev}))
			require.False(t, p.Good(seen), "nobody has written yet")

			head := e.write(t, "a", 12)
			require.NotEqual(t, kept.Epoch, head.Epoch)
			p = e.page(t, "a")
			require.Equal(t, head, p.Head)
			require.Equal(t, kept, p.Past[0])
			require.Greater(t, head.Rev, seen.Rev, "others have written past it")
			require.False(t, p.Good(seen), "what is gone")
			require.True(t, p.Good(kept) && p.Good(chat.Position{Epoch: kept.Epoch, Rev: began.Rev}), "the common past")
			soon(t, func() bool { return e.ear.head("a") == head }, "who watches is told of the new epoch")
			require.Empty(t, e.page(t, "idle").Past, "nobody has written to it")

			past := p.Past
			e.write(t, "a", 3)
			p = e.page(t, "a")
			require.Equal(t, past, p.Past, "the same life")
			require.True(t, p.Good(head))
			require.False(t, p.Good(seen))
		})
	}
}

// A new start of the server that loses nothing resets nobody.
func TestCleanRestart(t *testing.T) {
	e := newEra(t)
	e.open(t)
	makeRoom(t, e.stores[0], "a")
	var seen []chat.Position
	for i := range chat.MaxPast + 2 {
		seen = append(seen, e.write(t, "a", 2))
		if i%2 == 0 {
			e.Stop(t)
		} else {
			e.Kill(t)
		}
		e.Restart(t)
		require.Equal(t, seen[i], e.head(t, "a"), "nothing changes by itself")
	}
	e.write(t, "a", 1)
	p := e.page(t, "a")
	require.Len(t, p.Past, chat.MaxPast)
	for i, at := range seen {
		require.Equal(t, i >= 2, p.Good(at), "epoch %d of %d", i, len(seen))
	}
	head, err := e.stores[0].NewEpoch(t.Context(), "a")
	require.NoError(t, err)
	require.Empty(t, e.page(t, "a").Past, "positions are no longer comparable")
	require.Equal(t, head, e.page(t, "a").Head)
	require.NoError(t, e.stores[0].RemoveRoom(t.Context(), "a"))
	makeRoom(t, e.stores[0], "a")
	require.Empty(t, e.page(t, "a").Past)
}

// The first writers in a new life agree on where it begins, in every kind of
// transaction.
func TestFirstWriters(t *testing.T) {
	e := newEra(t)
	e.open(t)
	const rooms = 20
	for i := range rooms {
		makeRoom(t, e.stores[0], fmt.Sprint(i))
	}
	for round := range 3 {
		e.KillBackend(t, begin(t, e.admin).Conn())
		before := make([]chat.Position, rooms)
		for i := range before {
			before[i] = e.head(t, fmt.Sprint(i))
		}
		var wg sync.WaitGroup
		errs := make([]error, 8*rooms)
		for i := range errs {
			wg.Go(func() {
				key := fmt.Sprint(i % rooms)
				if i/rooms == 3 { // in a host's own transaction
					errs[i] = sendOutside(t.Context(), e.stores[i%2], e.url, key)
					return
				}
				errs[i] = send(t.Context(), e.stores[i%2], key, creation("", "x"))
			})
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		for i := range before {
			key := fmt.Sprint(i)
			soon(t, func() bool { return e.head(t, key).Rev == before[i].Rev+8 }, "all are there")
			p := e.page(t, key)
			require.Len(t, p.Past, round+1)
			require.Equal(t, before[i], p.Past[0])
		}
	}
}

func sendOutside(ctx context.Context, s *postgres.Store, url, key string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := s.SendTx(ctx, tx, key, creation("", "x").Message)
		return err
	})
}
