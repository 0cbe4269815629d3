package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// reader does what docs/protocol.md says of a client that follows a room.
type reader struct {
	c      *chattest.Client
	has    map[string]bool // messages by id
	epoch  string
	rev    int64
	resets int
}

// join has a client follow the room, from where the reader was.
func (r *reader) join(t *testing.T, srv *chattest.Server) {
	t.Helper()
	r.c = srv.Dial("alice")
	join, first := map[string]any{"type": "join", "room": "a"}, r.epoch == ""
	if !first {
		join["epoch"], join["after"] = r.epoch, r.rev
	}
	var ev chattest.Event
	soon(t, func() bool {
		ev = r.c.Call(join)
		return ev.Code != chat.CodeUnavailable // as it may be while the database comes back
	}, "the server answers")
	require.Equal(t, "joined", ev.Type)
	r.epoch = ev.Epoch
	if first || ev.Reset {
		r.take(ev)
	}
}

func (r *reader) take(ev chattest.Event) {
	switch ev.Type {
	case "joined", "reset":
		if ev.Reset || ev.Type == "reset" {
			r.resets++
		}
		r.has = map[string]bool{}
		for _, m := range ev.Messages {
			r.has[m.ID] = true
		}
		r.epoch, r.rev = ev.Epoch, ev.Head
	case "message":
		r.has[ev.Message.ID] = true
		r.rev = ev.Rev
	case "synced":
		r.epoch, r.rev = ev.Epoch, ev.Rev
	}
}

// holds waits until the reader has these messages and no others.
func (r *reader) holds(t *testing.T, want map[string]bool, who string) {
	t.Helper()
	soon(t, func() bool {
		for _, ev := range r.c.Drain() {
			r.take(ev)
		}
		return maps.Equal(r.has, want)
	}, who)
}

// loop follows the room by Room.Changes, from the start again where it must.
type loop struct {
	mu     sync.Mutex
	has    map[string]bool
	resets int
}

func (l *loop) run(ctx context.Context, room *chat.Room) error {
	for {
		var err error
		for e, failed := range room.Changes(ctx, chat.Position{}) {
			if err = failed; err != nil {
				break
			}
			if e.Message != nil {
				l.mu.Lock()
				l.has[e.Message.ID] = true
				l.mu.Unlock()
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, chat.ErrReset):
			l.mu.Lock()
			l.resets++
			l.has = map[string]bool{}
			l.mu.Unlock()
		case !errors.Is(err, chat.ErrUnavailable):
			return err
		default: // the database is away
			l.mu.Lock()
			l.has = map[string]bool{}
			l.mu.Unlock()
		}
	}
}

func (l *loop) now() (map[string]bool, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.has), l.resets
}

func (e *era) stored(t *testing.T) map[string]bool {
	t.Helper()
	p, err := e.stores[0].History(t.Context(), "a", chat.Query{Limit: 1000})
	require.NoError(t, err)
	all := map[string]bool{}
	for _, m := range p.Messages {
		all[m.ID] = true
	}
	return all
}

// Every reader of two servers ends up with what the database holds, whether it
// comes back or has stayed, and starts over only where it has seen what is
// gone.
func TestReadersAfterGoingBack(t *testing.T) {
	for _, way := range ways {
		if way.offline {
			continue
		}
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			e := newEra(t, way.settings...)
			if way.name == withStandby {
				e.follow(t)
			}
			e.open(t)
			var servers []*chattest.Server
			for _, s := range e.stores {
				servers = append(servers, chattest.New(t, &chat.Options{Store: s, Logger: slog.New(slog.DiscardHandler)}))
			}
			soon(t, func() bool { // however busy the machine is
				_, err := servers[0].Room("a").Create(t.Context(), chat.RoomInfo{Kind: chat.RoomPublic})
				return err == nil || errors.Is(err, chat.ErrConflict)
			}, "the room is made")
			e.write(t, "a", 5)
			var stay [2]reader
			var gone, low, both reader
			ctx, cancel := context.WithCancel(context.Background())
			var loops [2]loop
			var ended [2]chan error
			for i, srv := range servers {
				stay[i].join(t, srv)
				loops[i].has = map[string]bool{}
				ended[i] = make(chan error, 1)
				go func() { ended[i] <- loops[i].run(ctx, srv.Room("a")) }()
			}
			defer func() {
				cancel()
				for _, c := range ended {
					require.NoError(t, <-c)
				}
			}()
			low.join(t, servers[0])
			low.holds(t, e.stored(t), "who leaves early")
			low.c.Cut()

			lost := false
			for try := 0; !lost; try++ {
				require.Less(t, try, 20, "nothing is ever lost")
				back := way.prepare(t, e)
				e.write(t, "a", 5)
				seen := e.stored(t)
				for i := range stay {
					stay[i].holds(t, seen, "who is there sees what will be gone")
					soon(t, func() bool { has, _ := loops[i].now(); return maps.Equal(has, seen) }, "Changes")
				}
				gone.join(t, servers[try%2])
				gone.holds(t, seen, "who leaves late")
				gone.c.Cut()
				back()
				e.head(t, "a")
				lost = len(e.stored(t)) < len(seen)
			}
			e.write(t, "a", 9)
			want := e.stored(t)
			resets := gone.resets
			gone.join(t, servers[1])
			gone.holds(t, want, "who comes back")
			require.Equal(t, resets+1, gone.resets)
			low.join(t, servers[1])
			low.holds(t, want, "who comes back and has seen nothing of what is gone")
			require.Zero(t, low.resets)
			for i := range stay {
				stay[i].holds(t, want, "who has stayed")
				require.Equal(t, 1, stay[i].resets)
				soon(t, func() bool { has, _ := loops[i].now(); return maps.Equal(has, want) }, "Changes")
			}

			both.join(t, servers[0])
			all := []*reader{&stay[0], &stay[1], &gone, &low, &both}
			counts := func() (n []int) {
				for _, r := range all {
					n = append(n, r.resets)
				}
				return n
			}
			before := counts()
			if way.name != withStandby {
				e.Stop(t)
				e.Restart(t)
			}
			e.write(t, "a", 3)
			want = e.stored(t)
			for _, r := range all {
				r.holds(t, want, "after a restart that loses nothing")
			}
			require.Equal(t, before, counts(), "which resets nobody")
		})
	}
}
