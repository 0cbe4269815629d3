package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func creation(nonce, content string) chat.Change {
	return chat.Change{Kind: chat.ChangeCreate, At: time.Now(), Message: chat.Message{
		ID: ulid.Make().String(), User: "alice", Kind: chat.KindRegular, Content: content, Nonce: nonce,
	}}
}

// send is what a server does: it tries again with the same nonce.
func send(ctx context.Context, s chat.Store, key string, c chat.Change) error {
	for {
		results, err := s.Append(ctx, key, chat.Position{}, []chat.Change{c})
		switch {
		case err == nil:
			return results[0].Err
		case !errors.Is(err, chat.ErrUnavailable):
			return fmt.Errorf("not ErrUnavailable: %w", err)
		case ctx.Err() != nil:
			return err
		}
	}
}

func contents(t testing.TB, s chat.Store, key string) []string {
	t.Helper()
	p, err := s.History(t.Context(), key, chat.Query{Around: 1, Limit: 100_000})
	require.NoError(t, err)
	all := []string{}
	for i, m := range p.Messages {
		require.EqualValues(t, i+1, m.Seq)
		all = append(all, m.Content)
	}
	return all
}

// begin opens a transaction of the host's own, on a connection of its own.
func begin(t testing.TB, url string) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	return tx
}

func execute(t testing.TB, url, sql string, args ...any) int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	tag, err := conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	return tag.RowsAffected()
}

// listener notes what it is told.
type listener struct {
	mu     sync.Mutex
	heads  map[string]chat.Position
	missed int
	all    []chat.Hint
}

func (l *listener) Appended(h chat.Hint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heads == nil {
		l.heads = make(map[string]chat.Position)
	}
	l.heads[h.Room] = h.Head
	l.all = append(l.all, h)
}

func (l *listener) Missed(func(string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed++
}

func (l *listener) Present(string, []chat.Attendance) {}
func (l *listener) Signal(string, []byte)             {}

func (l *listener) head(key string) chat.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heads[key]
}

func (l *listener) misses() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missed
}

// watch watches until the test ends, and returns when it has begun.
func watch(t testing.TB, w chat.Watcher) *listener {
	l := &listener{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Watch(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	soon(t, func() bool { return l.misses() > 0 }, "Missed(nil) at the beginning")
	return l
}

// soon waits for what raises no event.
func soon(t testing.TB, f func() bool, what string) {
	t.Helper()
	require.Eventually(t, f, 30*time.Second, 2*time.Millisecond, what)
}
