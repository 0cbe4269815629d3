package chat_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// mines counts the calls of a host's code, whatever it is, and panics in one.
type mines struct {
	mu    sync.Mutex
	calls int
	kind  string // what panics,
	at    int    // when it is called so often; 0: never
	every int    // or whatever is called, each of so many times
	where string
	seen  map[string]int // calls of each kind
}

func (m *mines) step(where string) {
	m.mu.Lock()
	m.calls++
	if m.seen == nil {
		m.seen = map[string]int{}
	}
	m.seen[where]++
	hit := where == m.kind && m.seen[where] == m.at || m.every > 0 && m.calls%m.every == 0
	if hit {
		m.where = where
	}
	m.mu.Unlock()
	if hit {
		panic("mine in " + where)
	}
}

func (m *mines) found() (calls int, where string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls, m.where
}

// minedLog is a slog.Handler with mines.
type minedLog struct {
	slog.Handler
	*mines
}

func (h minedLog) Enabled(context.Context, slog.Level) bool {
	h.step("slog.Handler.Enabled")
	return true
}

func (h minedLog) Handle(ctx context.Context, r slog.Record) error {
	h.step("slog.Handler.Handle")
	return h.Handler.Handle(ctx, r)
}

// minedStore is a shared store with mines: before a call, and after what it did.
type minedStore struct {
	*storagetest.SharedNode
	*mines
}

func (s minedStore) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	s.step("Append")
	results, err := s.SharedNode.Append(ctx, room, known, changes)
	s.step("Append, afterwards")
	return results, err
}

func (s minedStore) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	s.step("History")
	return s.SharedNode.History(ctx, room, q)
}

func (s minedStore) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	s.step("Changes")
	return s.SharedNode.Changes(ctx, room, after, limit)
}

func (s minedStore) Head(ctx context.Context, room string) (chat.Position, error) {
	s.step("Head")
	return s.SharedNode.Head(ctx, room)
}

func (s minedStore) Heads(ctx context.Context, rooms []string) ([]chat.Position, error) {
	s.step("Heads")
	return s.SharedNode.Heads(ctx, rooms)
}

func (s minedStore) Signal(ctx context.Context, room string, data []byte) error {
	s.step("Signal")
	return s.SharedNode.Signal(ctx, room, data)
}

func (s minedStore) Attend(ctx context.Context, node string, lease time.Duration, changes []chat.Attendance) ([]string, bool, error) {
	s.step("Attend")
	return s.SharedNode.Attend(ctx, node, lease, changes)
}

func (s minedStore) Attendances(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
	s.step("Attendances")
	return s.SharedNode.Attendances(ctx, rooms)
}

func (s minedStore) Watch(ctx context.Context, l chat.Listener) error {
	s.step("Watch")
	return s.SharedNode.Watch(ctx, minedListener{l, s.mines})
}

// minedListener puts mines into what a store tells.
type minedListener struct {
	chat.Listener
	*mines
}

func (l minedListener) Appended(h chat.Hint) {
	if entries := h.Entries; entries != nil {
		h.Entries = func() ([]chat.Entry, error) {
			l.step("Hint.Entries")
			return entries()
		}
	}
	l.Listener.Appended(h)
}

func (l minedListener) Missed(covers func(string) bool) {
	if covers != nil {
		inner := covers
		covers = func(room string) bool {
			l.step("covers")
			return inner(room)
		}
	}
	l.Listener.Missed(covers)
}

// minedHost is options all of whose functions have mines.
func minedHost(m *mines, log *bytes.Buffer) chat.Options {
	return chat.Options{
		Logger: slog.New(minedLog{slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}), m}),
		Authenticate: func(r *http.Request) (chat.User, error) {
			m.step("Authenticate")
			return chattest.TokenIsUser(r)
		},
		Authorize: func(ctx context.Context, u chat.User, a chat.Action, r chat.RoomInfo) error {
			m.step("Authorize")
			return chat.DefaultAuthorize(ctx, u, a, r)
		},
		Users: func(_ context.Context, ids []string) ([]chat.User, error) {
			m.step("Users")
			return nil, nil
		},
		Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				m.step("middleware")
				err := next(ctx, cmd)
				m.step("middleware, afterwards")
				return err
			}
		}},
	}
}

// tour does something of everything. What fails of it does not matter here.
func tour(t *testing.T, node *storagetest.SharedNode, here, there *chattest.Server, round int) {
	a, b := ring(t, here, fmt.Sprint("a", round)), ring(t, here, fmt.Sprint("b", round))
	for _, c := range []*line{a, b} {
		_ = c.say(`{"type":"join","room":"r"}`)
	}
	time.Sleep(10 * time.Millisecond)
	for i := range 3 {
		_ = a.say(`{"type":"message","ref":"m","nonce":"n%d.%d","room":"r","content":"x"}`, round, i)
		_, _ = there.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: "y"})
	}
	_ = b.say(`{"type":"typing","room":"r","active":true}`)
	_ = b.say(`{"type":"history","room":"r"}`)
	time.Sleep(10 * time.Millisecond)
	for range 3 { // each heard of by itself
		_, _ = there.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: "heard"})
		time.Sleep(10 * time.Millisecond)
	}
	for range 2 { // of which one is lost, without a word
		node.DropNext(1)
		_, _ = there.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: "unheard"})
	}
	time.Sleep(3 * time.Second)
	node.Cut() // and now the connection
	_, _ = there.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: "unheard"})
	time.Sleep(time.Second)
	node.Mend()
	time.Sleep(3 * time.Second)
	_ = here.Revoke(t.Context(), fmt.Sprint("a", round), "r")
	_ = there.Revoke(t.Context(), fmt.Sprint("b", round), "r")
	title := "t"
	_, _ = there.Room("r").Update(t.Context(), chat.RoomUpdate{Title: &title})
	_ = a.say(`{"type":"leave","room":"r"}`)
	_ = b.Close()
	time.Sleep(3 * time.Second) // doubts, leases
	_, _ = there.User(fmt.Sprint("a", round)).Disconnect(t.Context(), "bye")
	time.Sleep(3 * time.Second)
	_ = a.Close()
}

// ring connects as a user, as far as the host lets it: what comes is thrown away.
func ring(t *testing.T, s *chattest.Server, user string) *line {
	for try := 0; ; try++ {
		conn, err := s.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		u := &url.URL{Scheme: "ws", Host: "chat.test", Path: "/chat/ws"}
		br, _, err := ws.Dialer{Protocols: []string{wire.Subprotocol}}.Upgrade(conn, u)
		if err != nil && try < 3 {
			_ = conn.Close()
			continue
		}
		if br == nil {
			br = bufio.NewReader(conn)
		}
		l := &line{conn, br}
		go func() { _, _ = io.Copy(io.Discard, br) }()
		_ = l.say(`{"type":"auth","token":%q}`, user)
		return l
	}
}

// requireWell finds out whether everything works on both servers.
func requireWell(t *testing.T, here, there *chattest.Server, say string) {
	a, b, c := here.Dial("alice"), here.Dial("bob"), there.Dial("carol")
	for _, one := range []*chattest.Client{a, b, c} {
		one.Join("r")
	}
	id := a.Send("r", "hello").ID
	for _, one := range []*chattest.Client{a, b, c} {
		require.Equal(t, id, one.Expect("message").ID, say)
	}
	id = c.Send("r", "and back").ID
	for _, one := range []*chattest.Client{a, b, c} {
		require.Equal(t, id, one.Expect("message").ID, say)
	}
	for _, one := range []*chattest.Client{a, b, c} {
		one.Cut()
	}
}

// mined runs a tour with mines and finds out whether all is well afterwards.
func mined(t *testing.T, m *mines, rounds int) (log string) {
	synctest.Test(t, func(t *testing.T) {
		shared := storagetest.Shared(memory.New())
		there := chattest.New(t, &chat.Options{Store: shared.Node(), Logger: quiet})
		_, err := there.Room("r").Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		var out bytes.Buffer
		o := minedHost(m, &out)
		node := shared.Node()
		shared.Behave(storagetest.Habits{Bare: 3}) // every third hint says only that there is something
		o.Store = minedStore{node, m}
		here := chattest.New(t, &o)
		synctest.Wait()
		for i := range rounds {
			tour(t, node, here, there, i)
		}
		m.mu.Lock()
		m.at, m.every = 0, 0
		m.mu.Unlock()
		time.Sleep(5 * time.Second)
		_, where := m.found()
		requireWell(t, here, there, where)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, here.Shutdown(ctx), "nothing is held any more after a panic in %s", where)
		require.Zero(t, here.Stats().Connections)
		log = out.String()
	})
	return log
}

// Invariant 7: a panic of the host's code, wherever it is called, harms what it
// served, and nothing is held for ever.
func TestHostThatPanicsOnceAnywhere(t *testing.T) {
	var whole mines
	mined(t, &whole, 1)
	t.Logf("calls: %v", whole.seen)
	for _, kind := range []string{
		"Append", "Append, afterwards", "History", "Changes", "Head", "Heads", "Signal", "Attend", "Attendances", "Watch",
		"Hint.Entries", "covers", "slog.Handler.Enabled", "slog.Handler.Handle", "Authenticate", "Authorize", "Users",
		"middleware", "middleware, afterwards",
	} {
		require.Positive(t, whole.seen[kind], "%s is never called", kind)
		for at := 1; at <= whole.seen[kind]; at++ {
			if at > 3 && at < whole.seen[kind]-1 {
				continue // is like those before
			}
			m := &mines{kind: kind, at: at}
			mined(t, m, 1)
			if at == 1 {
				_, where := m.found()
				require.Equal(t, kind, where, "has not been tried")
			}
		}
	}
}

func TestHostThatPanicsAgainAndAgain(t *testing.T) {
	for _, every := range []int{1, 2, 3, 5, 7, 11} {
		t.Run(fmt.Sprint(every), func(t *testing.T) { mined(t, &mines{every: every}, 3) })
	}
}

// A log that panics loses its record, and is told so; who logs is not harmed.
func TestLogThatPanicsLosesRecordsAlone(t *testing.T) {
	for _, every := range []int{1, 2, 3, 7} {
		t.Run(fmt.Sprint(every), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				m := &mines{every: every}
				store := storagetest.Faulty(memory.New())
				srv := chattest.New(t, &chat.Options{
					Store:  store,
					Logger: slog.New(minedLog{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}), m}),
				})
				alice := srv.Dial("alice")
				alice.Join("r")
				for i := range 10 {
					if i%3 == 1 {
						store.FailNext(storagetest.UnknownAfter)
					}
					ev := alice.Call(map[string]any{"type": "message", "room": "r", "content": "x", "nonce": fmt.Sprint(i)})
					require.Contains(t, []string{"ack", "error"}, ev.Type)
				}
				require.Equal(t, "ack", alice.Call(map[string]any{"type": "message", "room": "r", "content": "x"}).Type)
				require.NoError(t, srv.Shutdown(t.Context()))
				synctest.Wait() // what is logged is written soon after
				if every > 1 {
					require.Contains(t, out.String(), "mine in slog.Handler")
				}
			})
		})
	}
}

// slowLog is a slog.Handler that does not return until it is let.
type slowLog struct {
	slog.Handler
	release chan struct{}
}

func (h slowLog) Handle(context.Context, slog.Record) error {
	<-h.release
	return nil
}

func TestLogThatHangsHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		store := storagetest.Faulty(memory.New())
		srv := chattest.New(t, &chat.Options{Store: store, Logger: slog.New(slowLog{slog.NewTextHandler(&bytes.Buffer{}, nil), release})})
		alice := srv.Dial("alice")
		alice.Join("r")
		for i := range 10 {
			store.FailNext(storagetest.FailBefore)
			require.Equal(t, "error", alice.Call(map[string]any{"type": "message", "room": "r", "content": "x", "nonce": fmt.Sprint(i)}).Type)
			require.Equal(t, "ack", alice.Call(map[string]any{"type": "message", "room": "r", "content": "x", "nonce": fmt.Sprint(i)}).Type)
		}
		start := time.Now()
		require.NoError(t, srv.Shutdown(t.Context()))
		require.LessOrEqual(t, time.Since(start), 5*time.Second)
		close(release)
	})
}
