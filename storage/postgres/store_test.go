package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
	"github.com/gabblehq/chat/storage/storagetest"
)

// harness opens stores in schemas of one database.
type harness struct {
	url    string
	opened sync.Map // by store
	made   atomic.Int64
}

// opened is how a store has been opened.
type opened struct {
	schema string
	line   *line
}

func (h *harness) Open(t testing.TB) chat.Store { return h.open(t, postgres.Options{}) }

func (h *harness) OpenTrimming(t testing.TB, messages int) chat.Store {
	return h.open(t, postgres.Options{MaxMessages: messages})
}

func (h *harness) OpenAging(t testing.TB, age time.Duration) (chat.Store, func(time.Duration)) {
	s := h.open(t, postgres.Options{MaxAge: age})
	return s, func(d time.Duration) {
		s.Leap(d)
		require.NoError(t, s.Tidy(t.Context())) // what lets go of messages
	}
}

func (h *harness) Share(t testing.TB, s chat.Store) chat.Store {
	return h.open(t, postgres.Options{Schema: h.how(s).schema})
}

func (h *harness) Reopen(t testing.TB, s chat.Store) chat.Store {
	require.NoError(t, s.(*postgres.Store).Close())
	return h.Share(t, s)
}

// Crash cuts the lines of the store, as the end of its process does, and waits
// until the server has noticed.
func (h *harness) Crash(t testing.TB, s chat.Store) chat.Store {
	how := h.how(s)
	how.line.Break()
	watch := newPool(t, h.url)
	require.Eventually(t, func() bool {
		var n int
		err := watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, how.line.name).Scan(&n)
		return err == nil && n == 0
	}, 30*time.Second, 5*time.Millisecond)
	return h.Share(t, s)
}

func (h *harness) Corrupt(t testing.TB, s chat.Store, room string, seq int64) {
	_, err := newPool(t, h.url).Exec(t.Context(), fmt.Sprintf(`UPDATE %[1]s.messages m SET attachments = '{"url": 5}'
		FROM %[1]s.rooms r WHERE m.room_id = r.id AND r.key = $1 AND m.seq = $2`, pgx.Identifier{h.how(s).schema}.Sanitize()), room, seq)
	require.NoError(t, err)
}

func (h *harness) how(s chat.Store) opened {
	how, _ := h.opened.Load(s)
	return how.(opened)
}

func (h *harness) open(t testing.TB, o postgres.Options) *postgres.Store {
	if o.Schema == "" {
		o.Schema = fmt.Sprint(`Schema "no" `, h.made.Add(1))
	}
	s, l := openOn(t, h.url, o)
	h.opened.Store(s, opened{o.Schema, l})
	return s
}

// OpenBreaking has the connections of the store break.
func (h *harness) OpenBreaking(t testing.TB) storagetest.Breaking {
	s := h.open(t, postgres.Options{})
	return breaking{s, h.how(s).line}
}

type breaking struct {
	s    *postgres.Store
	line *line
}

func (b breaking) Store() chat.Store { return b.s }
func (b breaking) Break(testing.TB)  { b.line.Break() }
func (b breaking) Mend(testing.TB)   { b.line.Mend() }

// line is what connects a store to the server.
type line struct {
	storagetest.Line
	name string
}

// openOn opens a store with a pool of its own.
func openOn(t testing.TB, url string, o postgres.Options) (*postgres.Store, *line) {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	l := &line{name: rand.Text()}
	config.ConnConfig.DialFunc = l.Dial
	config.ConnConfig.RuntimeParams["application_name"] = l.name
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s, err := postgres.NewWith(ctx, pool, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, l
}

func openWith(t testing.TB, url string, o postgres.Options) *postgres.Store {
	t.Helper()
	s, _ := openOn(t, url, o)
	return s
}

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func TestStore(t *testing.T) {
	srv := pgtest.Start(t, "max_connections=400")
	storagetest.Run(t, &harness{url: srv.CreateDB(t)})
}

func BenchmarkStore(b *testing.B) {
	storagetest.Bench(b, &harness{url: pgtest.Start(b).CreateDB(b)})
}
