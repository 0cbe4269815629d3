package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
)

// A room that somebody else has locked is unavailable, and is the only one.
func TestBusyRoom(t *testing.T) {
	url := pgtest.Start(t).CreateDB(t)
	const lock = 400 * time.Millisecond
	s := openWith(t, url, postgres.Options{LockTimeout: lock})
	for i := range 20 {
		makeRoom(t, s, fmt.Sprint(i))
	}
	tx := begin(t, url)
	_, err := tx.Exec(t.Context(), `SELECT * FROM gabble.rooms WHERE key = '7' FOR UPDATE`)
	require.NoError(t, err)

	var wg sync.WaitGroup
	busy := make(chan error, 1)
	wg.Go(func() {
		_, err := s.Append(t.Context(), "7", chat.Position{}, []chat.Change{creation("n", "x")})
		busy <- err
	})
	errs := make([]error, 20)
	for i := range errs {
		if i == 7 {
			continue
		}
		wg.Go(func() {
			for n := range 5 {
				_, err := s.Append(t.Context(), fmt.Sprint(i), chat.Position{}, []chat.Change{creation("", fmt.Sprint(n))})
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	wg.Wait()
	require.ErrorIs(t, <-busy, chat.ErrUnavailable)
	for i, err := range errs {
		require.NoError(t, err, "the room %d", i)
	}
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, send(t.Context(), s, "7", creation("n", "x")))
	require.Equal(t, []string{"x"}, contents(t, s, "7"))
}

// Whoever waits for a locked room obeys its context, and the commit goes on.
func TestCommitOutlivesItsCaller(t *testing.T) {
	url := pgtest.Start(t).CreateDB(t)
	s := openWith(t, url, postgres.Options{LockTimeout: time.Minute, Timeout: time.Minute})
	makeRoom(t, s, "a")
	tx := begin(t, url)
	_, err := tx.Exec(t.Context(), `SELECT * FROM gabble.rooms FOR UPDATE`)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Append(ctx, "a", chat.Position{}, []chat.Change{creation("n", "x")})
		done <- err
	}()
	waiting := newPool(t, url)
	soon(t, func() bool {
		var n int
		err := waiting.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&n)
		return err == nil && n > 0
	}, "the writer waits for the room")
	cancel()
	err = <-done
	require.ErrorIs(t, err, chat.ErrUnknown)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, tx.Rollback(t.Context()))
	soon(t, func() bool { return len(contents(t, s, "a")) == 1 }, "the message arrives")
}

// writing has writers send to rooms, each message until it is stored, while
// harm is done, and then checks that all are there once and in order.
func writing(t *testing.T, stores []chat.Store, harm func(sent func() int64)) {
	const writers, rooms = 12, 6
	for i := range rooms {
		makeRoom(t, stores[0], fmt.Sprint("w", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var sent atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	errs, counts := make([]error, writers), make([]int, writers)
	for w := range writers {
		wg.Go(func() {
			for ; !stop.Load() && errs[w] == nil; counts[w]++ {
				text := fmt.Sprint(w, " ", counts[w])
				errs[w] = send(ctx, stores[w%len(stores)], fmt.Sprint("w", w%rooms), creation(text, text))
				sent.Add(1)
			}
		})
	}
	harm(sent.Load)
	stop.Store(true)
	wg.Wait()
	var next [writers]int
	for i := range rooms {
		for _, text := range contents(t, stores[0], fmt.Sprint("w", i)) {
			var w, n int
			_, err := fmt.Sscan(text, &w, &n)
			require.NoError(t, err)
			require.Equal(t, next[w], n, "the messages of writer %d", w)
			next[w]++
		}
	}
	for w := range writers {
		require.NoError(t, errs[w])
		require.Equal(t, counts[w], next[w])
	}
}

// after waits until so many more messages have been sent.
func after(t *testing.T, sent func() int64, n int64) {
	from := sent()
	soon(t, func() bool { return sent() >= from+n }, "the writers get on")
}

func TestRestartUnderWriters(t *testing.T) {
	srv := pgtest.Start(t, "fsync=on", "full_page_writes=on", "synchronous_commit=on")
	url := srv.CreateDB(t)
	a, b := openWith(t, url, postgres.Options{}), openWith(t, url, postgres.Options{})
	l := watch(t, b)
	before := makeRoom(t, a, "before")
	writing(t, []chat.Store{a, b}, func(sent func() int64) {
		for i, stop := range []func(testing.TB){srv.StopImmediate, srv.Kill} {
			after(t, sent, 200)
			missed := l.misses()
			stop(t)
			srv.Restart(t)
			soon(t, func() bool { return l.misses() > missed }, "Watch begins anew")
			after(t, sent, 50)
			head, err := a.Head(t.Context(), "before")
			require.NoError(t, err)
			require.Equal(t, before, head, "the same epoch after crash %d", i)
		}
	})
}

func TestConnectionsAreKilled(t *testing.T) {
	url := pgtest.Start(t).CreateDB(t)
	s := openWith(t, url, postgres.Options{})
	l := watch(t, s)
	writing(t, []chat.Store{s}, func(sent func() int64) {
		for range 5 {
			after(t, sent, 50)
			missed := l.misses()
			execute(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			soon(t, func() bool { return l.misses() > missed }, "Watch begins anew")
		}
	})
	for i := range 6 {
		key := fmt.Sprint("w", i)
		require.NoError(t, send(t.Context(), s, key, creation("", "last")))
		head, err := s.Head(t.Context(), key)
		require.NoError(t, err)
		soon(t, func() bool { return l.head(key) == head }, "the last head is told")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	told := map[string]int64{}
	for _, h := range l.all {
		require.Greater(t, h.Head.Rev, told[h.Room], "heads are told in order, and once")
		told[h.Room] = h.Head.Rev
	}
}

// What NOTIFY has lost is found by looking.
func TestLostHintIsFound(t *testing.T) {
	url := pgtest.Start(t).CreateDB(t)
	s := openWith(t, url, postgres.Options{})
	head := makeRoom(t, s, "a")
	l := watch(t, s)
	// A transaction that stays open must not hide what others do.
	_, err := begin(t, url).Exec(t.Context(), `CREATE TEMP TABLE x (n int)`)
	require.NoError(t, err)
	for i := range 2 {
		head.Rev++
		missed, since := l.misses(), time.Now()
		execute(t, url, `INSERT INTO gabble.hints (body) VALUES ($1)`, fmt.Sprintf("h%d %d %s a\n", head.Rev, head.Seq, head.Epoch))
		soon(t, func() bool { return l.head("a") == head }, "the lost hint is told")
		require.Less(t, time.Since(since), 2*time.Second, "hint %d", i)
		require.Equal(t, missed, l.misses())
	}
}
