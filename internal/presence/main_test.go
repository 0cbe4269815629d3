package presence

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
)

func TestMain(m *testing.M) { leak.Main(m) }

// aSecond is one for timers, which are not a moment early.
const aSecond = time.Second + 10*time.Millisecond

// identity is who somebody is that has no token.
func identity(id string) *names.Identity {
	return names.NewIdentity(wire.User{ID: id}, nil, nil, names.Never)
}

// testBoard is a server of which only presence is there.
type testBoard struct {
	*Board
	t   *testing.T
	hub *hub.Hub
}

func newBoard(t *testing.T, change func(*Options)) *testBoard {
	start := time.Now()
	log := slog.New(slog.DiscardHandler)
	o := Options{
		Start: start, Timers: work.NewTimers(start, log), Log: log,
		Names:      names.New(func(string) *names.Identity { return nil }, nil),
		LeaveGrace: 5 * time.Second, TypingExpiry: 6 * time.Second, Listed: 100, FrameBytes: 64 << 10,
		Closing: func() bool { return false },
		Clean:   func(u wire.User) wire.User { return u },
	}
	change(&o)
	b := &testBoard{t: t, hub: hub.New(hub.Options{Lanes: 1, Logger: log})}
	if o.Peers != nil && o.Peers.Rooms == nil {
		o.Peers.Rooms = func(func(*Room) bool) {}
	}
	b.Board = New(o)
	t.Cleanup(func() {
		o.Timers.Stop()
		b.hub.Close()
	})
	return b
}

// room returns a room that is up to date, and that nobody follows.
func (b *testBoard) room() *Room {
	h := b.home("r")
	h.remote = &remote{asked: 1, read: 1}
	return &h.Room
}

func (b *testBoard) home(id string) *home {
	h := &home{board: b.Board, id: id}
	h.topic.Init(b.hub, h)
	h.Room.Init(&h.topic)
	return h
}

// home is a room, and who follows it.
type home struct {
	Room
	topic hub.Topic
	board *Board
	id    string

	lock sync.Mutex
	refs int
	list []string
}

func (h *home) Board() *Board { return h.board }
func (h *home) ID() string    { return h.id }
func (h *home) Hold()         { h.count(1) }
func (h *home) Release()      { h.count(-1) }

func (h *home) count(n int) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.refs += n
}

func (h *home) Fill(context.Context, string, int64) (hub.Page, error) {
	return hub.Page{}, errors.New("no log")
}
func (h *home) Synced(string, int64) []byte { return nil }

// follow has the frames of the room noted, until the returned func is called.
func (h *home) follow() (end func()) {
	var sub hub.Sub
	h.topic.Attach(&sub, h, "e", 0, 0, false)
	return sub.Detach
}

func (h *home) Lane() int { return 0 }

func (h *home) Write(_ []byte, frames [][]byte) int {
	h.lock.Lock()
	defer h.lock.Unlock()
	for _, f := range frames {
		h.list = append(h.list, describe(f))
	}
	return len(frames)
}

// describe makes a frame short: "+a -b =2" or "a types".
func describe(frame []byte) string {
	var f struct {
		Type        string
		Online      int
		Join, Leave []struct{ ID string }
		User        struct{ ID string }
		Active      bool
	}
	text := string(frame[strings.IndexByte(string(frame), '{'):])
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return err.Error()
	}
	if f.Type == "typing" {
		if f.Active {
			return f.User.ID + " types"
		}
		return f.User.ID + " does not type"
	}
	var words []string
	for _, u := range f.Join {
		words = append(words, "+"+u.ID)
	}
	for _, u := range f.Leave {
		words = append(words, "-"+u.ID)
	}
	return strings.Join(words, " ")
}

// take returns the frames that have come since the last time.
func (h *home) take() (list []string) {
	synctest.Wait()
	h.lock.Lock()
	defer h.lock.Unlock()
	list, h.list = h.list, nil
	return list
}

// told requires that these frames have come since the last time.
func (h *home) told(t *testing.T, want ...string) {
	t.Helper()
	require.Equal(t, want, h.take())
}

// unheld requires that no timer holds the room any more.
func (h *home) unheld(t *testing.T) {
	t.Helper()
	synctest.Wait()
	h.lock.Lock()
	defer h.lock.Unlock()
	require.Zero(t, h.refs)
}
