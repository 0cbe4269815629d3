package postgres_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
)

func text(content string) chat.Message { return chat.Message{User: "bot", Content: content} }

// sendTx sends messages in one transaction.
func sendTx(t testing.TB, s *postgres.Store, tx pgx.Tx, key string, contents ...string) (ids []string) {
	t.Helper()
	for _, content := range contents {
		id, err := s.SendTx(t.Context(), tx, key, text(content))
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

// arrived waits for what a room holds in the end.
func arrived(t testing.TB, s chat.Store, key string, want ...string) {
	t.Helper()
	soon(t, func() bool { return len(contents(t, s, key)) >= len(want) }, "the messages arrive")
	require.Equal(t, want, contents(t, s, key))
}

func TestSendTx(t *testing.T) {
	url := pgtest.Start(t, "max_connections=200").CreateDB(t)

	t.Run("commit and rollback", func(t *testing.T) {
		s := openWith(t, url, postgres.Options{Schema: "commit"})
		makeRoom(t, s, "a")
		l := watch(t, s)
		gone, stays := begin(t, url), begin(t, url)
		sendTx(t, s, gone, "a", "never")
		ids := sendTx(t, s, stays, "a", "1", "2", "3")
		require.NoError(t, gone.Rollback(t.Context()))
		require.NoError(t, stays.Commit(t.Context()))
		arrived(t, s, "a", "1", "2", "3")
		p, err := s.History(t.Context(), "a", chat.Query{Limit: 10})
		require.NoError(t, err)
		for i, m := range p.Messages {
			require.Equal(t, ids[i], m.ID)
			require.Equal(t, "bot", m.User)
			require.Equal(t, "room", m.Room)
		}
		soon(t, func() bool { return l.head("a") == p.Head }, "who watches is told")
	})

	t.Run("every field", func(t *testing.T) {
		s := openWith(t, url, postgres.Options{Schema: "fields"})
		makeRoom(t, s, "a")
		m := chat.Message{
			User: "bot", Kind: chat.KindSystem, Content: "<x> & é", Nonce: "n", ReplyTo: "r", Thread: "t", Mentions: []string{"bob"},
			Attachments: []chat.Attachment{{URL: "u", Name: "n", Meta: []byte(`{"k":1}`)}}, Meta: []byte(`{"a":"<b>"}`),
		}
		for range 2 { // the nonce makes it one
			tx := begin(t, url)
			_, err := s.SendTx(t.Context(), tx, "a", m)
			require.NoError(t, err)
			require.NoError(t, tx.Commit(t.Context()))
		}
		emptied(t, url, "fields", 0)
		p, err := s.History(t.Context(), "a", chat.Query{Limit: 10})
		require.NoError(t, err)
		require.Len(t, p.Messages, 1)
		got := p.Messages[0]
		m.ID, m.Room, m.Seq, m.Rev, m.FirstRev, m.CreatedAt = got.ID, "room", 1, 2, 2, got.CreatedAt
		require.Equal(t, m, got)
	})

	t.Run("what is wrong", func(t *testing.T) {
		s := openWith(t, url, postgres.Options{Schema: "wrong"})
		tx := begin(t, url)
		for field, m := range map[string]chat.Message{
			"user": {Content: "x"}, "content": {User: "bot"}, "kind": {User: "bot", Kind: "odd", Content: "x"},
			"meta": {User: "bot", Content: "x", Meta: []byte(`[]`)}, "nonce": {User: "bot", Content: "x", Nonce: "\x00"},
		} {
			_, err := s.SendTx(t.Context(), tx, "a", m)
			var e *chat.Error
			require.ErrorAs(t, err, &e, field)
			require.Equal(t, field, e.Field)
		}
		_, err := s.SendTx(t.Context(), tx, "no\nkey", text("x"))
		require.ErrorIs(t, err, chat.ErrInvalid)
		_, err = tx.Exec(t.Context(), "SELECT 1")
		require.NoError(t, err, "the transaction goes on")
	})

	t.Run("bad rows", func(t *testing.T) { badRows(t, url) })
	t.Run("held open", func(t *testing.T) { heldOpen(t, url) })
	t.Run("many stores", func(t *testing.T) { manyMovers(t, url) })
	t.Run("locked room", func(t *testing.T) { lockedRoom(t, url) })
}

// emptied waits until so many rows are left in the outbox, and they stay there.
func emptied(t testing.TB, url, schema string, left int) {
	t.Helper()
	pool := newPool(t, url)
	soon(t, func() bool {
		var waiting, all int
		err := pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE error IS NULL), count(*) FROM `+schema+`.outbox`).Scan(&waiting, &all)
		return err == nil && waiting == 0 && all == left
	}, "the outbox is empty")
}

// What cannot be moved stays, and holds up nobody.
func badRows(t *testing.T, url string) {
	s := openWith(t, url, postgres.Options{Schema: "bad"})
	makeRoom(t, s, "a")
	tx := begin(t, url)
	sendTx(t, s, tx, "missing", "x", "y")
	sendTx(t, s, tx, "a", "1")
	for _, message := range []string{`5`, `{}`, `{"id":"x","kind":"regular","user":"u","content":"a\u0000b"}`, `{"id":"x","kind":"regular"}`} {
		_, err := tx.Exec(t.Context(), `INSERT INTO bad.outbox (key, message) VALUES ('a', $1::text::json)`, message)
		require.NoError(t, err)
	}
	sendTx(t, s, tx, "a", "2")
	require.NoError(t, tx.Commit(t.Context()))
	arrived(t, s, "a", "1", "2")
	emptied(t, url, "bad", 6)

	makeRoom(t, s, "missing")
	execute(t, url, `UPDATE bad.outbox SET error = NULL WHERE key = 'missing'`)
	arrived(t, s, "missing", "x", "y")
	emptied(t, url, "bad", 4)
}

// A transaction of the host that stays open is nobody's trouble.
func heldOpen(t *testing.T, url string) {
	hold := 3 * time.Second
	if os.Getenv("GABBLE_FULL") == "1" {
		hold = 30 * time.Second
	}
	s := openWith(t, url, postgres.Options{Schema: "held"})
	const rooms = 8
	for i := range rooms {
		makeRoom(t, s, fmt.Sprint(i))
	}
	load := func(d time.Duration) []time.Duration {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var all []time.Duration
		end := time.Now().Add(d)
		for w := range 8 {
			wg.Go(func() {
				for time.Now().Before(end) {
					at := time.Now()
					_, err := s.Append(t.Context(), fmt.Sprint(w%rooms), chat.Position{}, []chat.Change{creation("", "x")})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					all = append(all, time.Since(at))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(all)
		return all
	}
	p99 := func(all []time.Duration) time.Duration { return all[len(all)*99/100] }
	quiet := load(hold / 3)
	tx := begin(t, url)
	for i := range rooms {
		sendTx(t, s, tx, fmt.Sprint(i), "held")
	}
	held := load(hold)
	t.Logf("p99 of %d sends without the open transaction: %v, of %d beside it: %v", len(quiet), p99(quiet), len(held), p99(held))
	require.Less(t, p99(held), max(4*p99(quiet), time.Second), "nobody waits for it")
	require.Less(t, held[len(held)-1], hold, "nobody waits for its end")
	for i := range rooms {
		require.NotContains(t, contents(t, s, fmt.Sprint(i)), "held")
	}
	require.NoError(t, tx.Commit(t.Context()))
	for i := range rooms {
		soon(t, func() bool { return slices.Contains(contents(t, s, fmt.Sprint(i)), "held") }, "it arrives")
	}
}

// Stores that die and others that take over move each message once, in order.
func manyMovers(t *testing.T, url string) {
	o := postgres.Options{Schema: "movers"}
	keeper := openWith(t, url, o)
	makeRoom(t, keeper, "a")
	makeRoom(t, keeper, "b")
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				tx := begin(t, url)
				for n := range 3 {
					_, err := keeper.SendTx(t.Context(), tx, string(rune('a'+w%2)), text(fmt.Sprint(w, " ", 3*i+n)))
					if err != nil {
						t.Error(err)
					}
				}
				if err := tx.Commit(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 8 { // each is cut off in the midst of it
		s, l := openOn(t, url, o)
		watch := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { watch <- s.Watch(ctx, &listener{}) }()
		from := len(contents(t, keeper, "a"))
		soon(t, func() bool { n := len(contents(t, keeper, "a")); return n > from || n >= writers/2*each*3 }, "messages are moved")
		l.Break()
		cancel()
		<-watch
	}
	wg.Wait()
	emptied(t, url, "movers", 0)
	var next [writers]int
	for _, key := range []string{"a", "b"} {
		for _, content := range contents(t, keeper, key) {
			var w, n int
			_, err := fmt.Sscan(content, &w, &n)
			require.NoError(t, err)
			require.Equal(t, next[w], n, "writer %d", w)
			next[w]++
		}
	}
	require.Equal(t, [writers]int{3 * each, 3 * each, 3 * each, 3 * each}, next)
}

// Messages to a locked room wait, in order; those to others do not.
func lockedRoom(t *testing.T, url string) {
	s := openWith(t, url, postgres.Options{Schema: "locked"})
	makeRoom(t, s, "a")
	makeRoom(t, s, "b")
	lock := begin(t, url)
	_, err := lock.Exec(t.Context(), `SELECT * FROM locked.rooms WHERE key = 'a' FOR UPDATE`)
	require.NoError(t, err)
	tx := begin(t, url)
	sendTx(t, s, tx, "a", "1", "2")
	sendTx(t, s, tx, "b", "1")
	sendTx(t, s, tx, "a", "3")
	require.NoError(t, tx.Commit(t.Context()))
	arrived(t, s, "b", "1")
	require.Empty(t, contents(t, s, "a"))
	require.NoError(t, lock.Rollback(t.Context()))
	arrived(t, s, "a", "1", "2", "3")
}
