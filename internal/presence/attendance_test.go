package presence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

// fakeKeeper is the store of this server and of peers that a test makes up.
type fakeKeeper struct {
	mu      sync.Mutex
	err     error
	lapsed  bool
	nodes   []string
	seats   []Seat
	written []string      // "+alice", "-bob", and "over" where a lease was ended
	hold    chan struct{} // Attendances takes from it before it returns; nil: does not
	asked   int
}

func (k *fakeKeeper) Attend(_ context.Context, node string, lease time.Duration, changes []Seat) ([]string, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return nil, false, k.err
	}
	if lease == 0 {
		k.written, k.lapsed = append(k.written, "over"), true
		return nil, false, nil
	}
	list := slices.Clone(changes)
	slices.SortFunc(list, func(a, b Seat) int { return strings.Compare(a.User.ID, b.User.ID) })
	for _, s := range list {
		sign := "+"
		if s.Gone {
			sign = "-"
		}
		k.written = append(k.written, sign+s.User.ID)
	}
	lapsed := k.lapsed
	k.lapsed = false
	return append([]string{node}, k.nodes...), lapsed, nil
}

func (k *fakeKeeper) Attendances(context.Context, []string) ([]Seat, error) {
	k.mu.Lock()
	k.asked++
	seats, err, hold := slices.Clone(k.seats), k.err, k.hold
	k.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return seats, err
}

func (k *fakeKeeper) set(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// wrote requires that this has been written since the last time.
func (k *fakeKeeper) wrote(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	require.Equal(t, want, k.written)
	k.written = nil
}

func on(node, user string) Seat { return Seat{Room: "r", Node: node, User: wire.User{ID: user}} }

func gone(s Seat) Seat {
	s.Gone = true
	return s
}

// shared runs a test with a room of a server that has peers.
func shared(t *testing.T, test func(t *testing.T, b *Board, h *home, k *fakeKeeper)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		k := &fakeKeeper{}
		var h *home
		b := newBoard(t, func(o *Options) {
			o.Peers = &Peers{
				Node: "self", Keeper: k,
				Call:   func(ctx context.Context, f func(context.Context) error) error { return f(ctx) },
				Signal: func(context.Context, string, []byte) error { return nil },
				Rooms: func(yield func(*Room) bool) {
					h.Hold()
					yield(&h.Room)
				},
				Stale:  func(string) {},
				Failed: func(error) {},
			}
		})
		h = b.home("r")
		defer h.follow()()
		b.Start(ctx)
		test(t, b.Board, h, k)
		time.Sleep(time.Hour)
		h.unheld(t)
		b.Stop()
		cancel()
		b.Wait()
	})
}

func TestPeersAreToldWhoIsHere(t *testing.T) {
	shared(t, func(t *testing.T, _ *Board, h *home, k *fakeKeeper) {
		h.Join(identity("alice"))
		h.Join(identity("alice"))
		k.wrote(t, "+alice")
		h.Leave(identity("alice"), true)
		k.wrote(t)
		h.Leave(identity("alice"), true)
		k.wrote(t, "-alice")
	})
}

// TestWhatIsNotWrittenIsWrittenLater: the newest of it, and all of it where the
// store has forgotten the server.
func TestWhatIsNotWrittenIsWrittenLater(t *testing.T) {
	shared(t, func(t *testing.T, _ *Board, h *home, k *fakeKeeper) {
		k.set(func() { k.err = errors.New("down") })
		h.Join(identity("alice"))
		h.Join(identity("bob"))
		synctest.Wait()
		h.Leave(identity("bob"), true)
		k.set(func() { k.err = nil })
		k.wrote(t)
		time.Sleep(aSecond)
		k.wrote(t, "+alice", "-bob")

		k.set(func() { k.lapsed = true })
		time.Sleep(leaseEvery + aSecond)
		k.wrote(t, "+alice")
	})
}

// TestTooMuchToWriteIsForgotten, and everything written again.
func TestTooMuchToWriteIsForgotten(t *testing.T) {
	shared(t, func(t *testing.T, b *Board, h *home, k *fakeKeeper) {
		h.Join(identity("alice"))
		k.wrote(t, "+alice")
		k.set(func() { k.err = errors.New("down") })
		for i := range maxPending + 1 {
			b.mu.Lock()
			b.pending[place{"r", fmt.Sprint(i)}] = Seat{}
			b.mu.Unlock()
		}
		h.Join(identity("bob"))
		k.set(func() { k.err = nil })
		time.Sleep(2 * time.Second)
		k.wrote(t, "over", "+alice", "+bob")
	})
}

func TestPeersTellWhoIsThere(t *testing.T) {
	shared(t, func(t *testing.T, b *Board, h *home, k *fakeKeeper) {
		b.Update(&h.Room, []Seat{on("a", "alice")})
		require.Zero(t, h.Count(), "unknown until it is read")
		k.set(func() {
			k.nodes, k.seats = []string{"a", "b"}, []Seat{on("a", "alice"), on("b", "alice"), on("b", "bob")}
		})
		require.False(t, h.Current())
		require.NoError(t, h.Load(t.Context()))
		require.NoError(t, h.Load(t.Context()))
		require.Equal(t, 1, k.asked)
		h.told(t, "+alice +bob")
		h.Join(identity("bob"))
		b.Update(&h.Room, []Seat{gone(on("a", "alice")), on("self", "mallory"), on("b", "zoe"), on("b", "")})
		b.Update(nil, []Seat{on("b", "elsewhere")})
		time.Sleep(aSecond)
		h.told(t, "+zoe")

		k.set(func() { k.nodes = []string{"a"} }) // b has died
		time.Sleep(leaseFor + aSecond)
		h.told(t, "-alice -zoe")
		require.Equal(t, []string{"bob"}, h.IDs(), "is here")
	})
}

// TestLoadsThatOvertakeEachOther: the newest counts, and what was told meanwhile.
func TestLoadsThatOvertakeEachOther(t *testing.T) {
	shared(t, func(t *testing.T, b *Board, h *home, k *fakeKeeper) {
		slow, ended := make(chan struct{}), make(chan struct{})
		k.set(func() { k.nodes, k.seats, k.hold = []string{"a"}, []Seat{on("a", "old")}, slow })
		go func() {
			defer close(ended)
			_ = h.Load(t.Context())
		}()
		synctest.Wait()
		b.Update(&h.Room, []Seat{on("a", "meanwhile")})
		k.set(func() { k.seats, k.hold = []Seat{on("a", "new")}, nil })
		require.NoError(t, h.Load(t.Context()), "somebody is reading")
		require.NoError(t, b.Load(t.Context(), []*Room{&h.Room}))
		require.Equal(t, []string{"meanwhile", "new"}, h.IDs())
		close(slow)
		<-ended
		require.Equal(t, []string{"meanwhile", "new"}, h.IDs())

		h.Outdate()
		require.False(t, h.Current())
		require.NoError(t, h.Load(t.Context()))
		require.Equal(t, []string{"new"}, h.IDs())
	})
}

func TestSignalsOfPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var there *home
		here := newBoard(t, func(o *Options) {
			o.Peers = &Peers{Node: "self", Signal: func(_ context.Context, room string, data []byte) error {
				require.Equal(t, "r", room)
				there.TakeSignal(data)
				return nil
			}}
		})
		other := newBoard(t, func(o *Options) { o.Peers = &Peers{Node: "other"} })
		there = other.home("r")
		defer there.follow()()
		here.Start(ctx)
		mine := here.home("r")
		mine.SetTyping(wire.User{ID: "alice"}, true)
		mine.SetTyping(wire.User{ID: "alice"}, true)
		there.told(t, "alice types")
		mine.SetTyping(wire.User{ID: "alice"}, false)
		there.told(t, "alice does not type")
		here.RelayTyping("r", wire.User{ID: "bot"}, true)
		there.told(t, "bot types")
		for _, data := range []string{``, `{}`, `{"node":"other","type":"typing","user":{"id":"bot"}}`, `{"node":"x","type":"typing","user":{}}`, `{"node":"x","type":"dancing","user":{"id":"bot"}}`} {
			there.TakeSignal([]byte(data))
		}
		there.told(t)
		time.Sleep(time.Minute)
		there.told(t, "bot does not type")
		cancel()
		here.Wait()
	})
}
