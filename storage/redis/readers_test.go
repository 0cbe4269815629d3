package redis_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

// holder is a client that does with frames what the protocol says: what it
// holds is to be what the store holds.
type holder struct {
	t      *testing.T
	c      *chattest.Client
	epoch  string
	rev    int64
	ids    map[int64]string // by seq
	resets int
}

func hold(t *testing.T, srv *chattest.Server, user string) *holder {
	h := &holder{t: t, c: srv.Dial(user), ids: map[int64]string{}}
	h.over(h.c.Join("r"))
	return h
}

// over starts over.
func (h *holder) over(ev chattest.Event) {
	clear(h.ids)
	for _, m := range ev.Messages {
		h.ids[m.Seq] = m.ID
	}
	h.epoch, h.rev = ev.Epoch, ev.Head
}

// resume comes back on a new connection.
func (h *holder) resume(srv *chattest.Server, user string) {
	h.t.Helper()
	h.c = srv.Dial(user)
	var ev chattest.Event
	require.Eventually(h.t, func() bool { // the server may not have noticed yet that its store is back
		ev = h.c.Call(map[string]any{"type": "join", "room": "r", "epoch": h.epoch, "after": h.rev})
		return ev.Type == "joined"
	}, 3*bound, 5*time.Millisecond)
	if ev.Reset {
		h.resets++
		h.over(ev)
	}
}

// take handles what has come.
func (h *holder) take() {
	for _, ev := range h.c.Drain() {
		switch ev.Type {
		case "reset":
			h.resets++
			h.over(ev)
		case "message":
			h.ids[ev.Seq], h.rev = ev.ID, ev.Rev
			if ev.Epoch != "" {
				h.epoch = ev.Epoch
			}
		case "room", "synced":
			h.rev = ev.Rev
			if ev.Epoch != "" {
				h.epoch = ev.Epoch
			}
		}
	}
}

// comesTo waits until the client holds just that.
func (h *holder) comesTo(ids map[int64]string) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.take()
		return maps.Equal(ids, h.ids)
	}, 3*bound, 5*time.Millisecond)
}

// node is a server on a store of its own.
func node(t *testing.T, s *redis.Store) *chattest.Server {
	return chattest.New(t, &chat.Options{Store: s, Authorize: func(context.Context, chat.User, chat.Action, chat.RoomInfo) error { return nil }})
}

// send has a server write n messages, each until it is stored.
func send(t *testing.T, srv *chattest.Server, what string, n int) {
	t.Helper()
	for i := range n {
		m := chat.Message{User: "writer", Content: what, Nonce: fmt.Sprint(what, i)}
		require.Eventually(t, func() bool {
			_, err := srv.Room("r").Send(t.Context(), m)
			return err == nil
		}, 3*bound, 5*time.Millisecond)
	}
}

func held(t *testing.T, s *redis.Store) map[int64]string {
	p := page(t, s)
	ids := map[int64]string{}
	for _, m := range p.Messages {
		ids[m.Seq] = m.ID
	}
	return ids
}

// changes follows the room until that ends for another reason than a store
// that does not answer. Then it goes on at the position that again gives.
func changes(t *testing.T, srv *chattest.Server, again func(rev int64) chat.Position) (seen chan int64, ended chan error) {
	seen, ended = make(chan int64, 1000), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for last := int64(0); ctx.Err() == nil; {
			for e, err := range srv.Room("r").Changes(ctx, again(last)) {
				if errors.Is(err, chat.ErrUnavailable) {
					time.Sleep(time.Millisecond)
					break
				}
				if err != nil {
					ended <- err
					return
				}
				last = e.Rev
				seen <- e.Rev
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return seen, ended
}

// The server of the data comes back without the last five messages, and others
// write seven. Who has seen the five is told, whether they have stayed, come
// back, or follow in Go; who has not goes on.
func TestReadersOfWhatIsGoneStartOver(t *testing.T) {
	for name, begin := range losses() {
		for _, nodes := range []int{1, 2} {
			t.Run(fmt.Sprint(name, "/", nodes), func(t *testing.T) { readersStartOver(t, begin(t), nodes, true) })
		}
	}
}

// A server that is emptied has lost the room: it is made anew, and everybody
// starts over.
func TestReadersOfAFlushedServerStartOver(t *testing.T) {
	for _, nodes := range []int{1, 2} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			srv := redistest.Start(t)
			l := loss{
				open: func(t *testing.T) *redis.Store { return open(t, srv.URL(), redis.Options{}) },
				mark: func() {},
				lose: func() { require.NoError(t, client(t, srv).FlushAll(t.Context()).Err()) },
			}
			readersStartOver(t, l, nodes, false)
		})
	}
}

func readersStartOver(t *testing.T, l loss, nodes int, kept bool) {
	s := l.open(t)
	srv := node(t, s)
	_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	stays, returns, early := hold(t, srv, "stays"), hold(t, srv, "returns"), hold(t, srv, "early")
	epoch := stays.epoch
	seen, ended := changes(t, srv, func(rev int64) chat.Position { return chat.Position{Epoch: epoch, Rev: rev} })
	send(t, srv, "kept", 10)
	early.comesTo(held(t, s))
	early.c.Cut()
	l.mark()
	send(t, srv, "gone", 5)
	stays.comesTo(held(t, s))
	returns.comesTo(held(t, s))
	for rev := int64(0); rev < 16; {
		rev = <-seen
	}
	returns.c.Cut()

	l.lose()
	writer := srv
	if nodes == 2 {
		writer = node(t, l.open(t))
		if !kept {
			// The other server may have been the first to make it anew.
			if _, err := writer.Room("r").Create(t.Context(), chat.RoomInfo{}); !errors.Is(err, chat.ErrConflict) {
				require.NoError(t, err)
			}
		}
	}
	send(t, writer, "new", 7)
	answers(t, s)
	ids := held(t, s)
	if kept {
		require.Len(t, ids, 17)
	}
	stays.comesTo(ids)
	require.Positive(t, stays.resets)
	returns.resume(srv, "returns")
	returns.comesTo(ids)
	require.Positive(t, returns.resets)
	early.resume(srv, "early")
	early.comesTo(ids)
	if kept {
		require.Zero(t, early.resets, "of the common past")
	}
	for {
		select {
		case <-seen:
			continue
		case err := <-ended:
			if kept || !errors.Is(err, chat.ErrNotFound) { // for a moment there was no room
				require.ErrorIs(t, err, chat.ErrReset)
			}
		case <-time.After(3 * bound):
			require.FailNow(t, "Changes goes on")
		}
		break
	}
	// It goes on for all of them.
	send(t, writer, "more", 3)
	ids = held(t, s)
	for _, h := range []*holder{stays, returns, early} {
		h.comesTo(ids)
	}
}

// A restart that loses nothing resets nobody.
func TestRestartResetsNobody(t *testing.T) {
	for _, nodes := range []int{1, 2} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			server := redistest.Start(t)
			s := open(t, server.URL(), redis.Options{})
			srv := node(t, s)
			_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
			require.NoError(t, err)
			stays, returns := hold(t, srv, "stays"), hold(t, srv, "returns")
			// It cannot know the epoch of what it has seen; from the start on there is
			// nothing that could be gone.
			seen, ended := changes(t, srv, func(int64) chat.Position { return chat.Position{} })
			writer := srv
			if nodes == 2 {
				writer = node(t, open(t, server.URL(), redis.Options{}))
			}
			for round := range 3 {
				send(t, srv, fmt.Sprint("before", round), 3)
				stays.comesTo(held(t, s))
				returns.comesTo(held(t, s))
				returns.c.Cut()
				server.Reboot()
				send(t, writer, fmt.Sprint("after", round), 3)
				answers(t, s)
				stays.comesTo(held(t, s))
				returns.resume(srv, "returns")
				returns.comesTo(held(t, s))
			}
			require.Zero(t, stays.resets)
			require.Zero(t, returns.resets)
			require.Len(t, slices.Collect(maps.Keys(stays.ids)), 18)
			for rev := int64(0); rev < 19; {
				select {
				case rev = <-seen:
				case err := <-ended:
					require.NoError(t, err)
				}
			}
		})
	}
}
