// Package presence keeps who is in which room, on this server and on the others
// that share its store, and who is typing there.
package presence

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
)

// Board is the presence of a server: what its rooms have in common. Where the
// server has peers, the Board keeps them informed of who is here, and this
// server of who is there. All methods are safe for concurrent use.
type Board struct {
	opt   Options
	peers Peers // the zero Peers where there are none

	signals chan outgoing
	wake    chan struct{} // something is pending
	stop    chan struct{} // closed when the server goes
	stopped chan struct{} // closed when nothing is written any more
	wg      sync.WaitGroup

	mu      sync.Mutex
	pending map[place]Seat       // not written yet
	rewrite bool                 // everything has to be written again
	batch   []Seat               // the last that was written, for its memory
	nodes   map[string]time.Time // those heard of, and when last
}

// Options are all required, but for Peers.
type Options struct {
	Start  time.Time // about now
	Timers *work.Timers
	Names  *names.Cache
	Log    *slog.Logger

	LeaveGrace   time.Duration // in which a user who dropped may come back unnoticed
	TypingExpiry time.Duration // after which typing ends by itself
	Listed       int           // in a room of more, frames name only some of those who come and go
	FrameBytes   int           // that users may take in a frame

	// Closing reports whether the server is about to end.
	Closing func() bool
	// Clean returns what may be shown of a user whom another server describes.
	Clean func(wire.User) wire.User

	Peers *Peers // nil: nobody shares the store
}

// Peers are the servers that share the store, this one among them. All fields
// are required, but for Keeper.
type Peers struct {
	Node   string // this server's id
	Keeper Keeper // nil: the store keeps no presence
	// Call calls f, which calls the Keeper, as it is to be called.
	Call func(ctx context.Context, f func(context.Context) error) error
	// Signal sends data to the peers' rooms of the id, soon or never.
	Signal func(ctx context.Context, room string, data []byte) error
	// Rooms are all rooms that the server holds. Whoever gets one releases its
	// home.
	Rooms iter.Seq[*Room]
	// Stale has Load called for the room, soon.
	Stale func(room string)
	// Failed is told why the Keeper has not been.
	Failed func(error)
}

// Keeper keeps who is in which room on which node, for as long as the node
// renews its lease; see chat.PresenceKeeper, which is the same by the store's
// names of rooms.
type Keeper interface {
	Attend(ctx context.Context, node string, lease time.Duration, changes []Seat) (nodes []string, lapsed bool, err error)
	Attendances(ctx context.Context, rooms []string) ([]Seat, error)
}

// Seat is one user in one room on one node.
type Seat struct {
	Room, Node string
	User       wire.User
	Gone       bool // has left, rather than come
}

// retryAfter is how long a store that has failed is left alone.
const retryAfter = time.Second

// New returns a Board.
func New(o Options) *Board {
	b := &Board{opt: o}
	if o.Peers != nil {
		b.peers = *o.Peers
		b.signals = make(chan outgoing, 1024)
	}
	if b.peers.Keeper != nil {
		b.wake, b.stop, b.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		b.pending, b.nodes = make(map[place]Seat), make(map[string]time.Time)
	}
	return b
}

// Shared reports whether others say who is in the rooms on their servers.
func (b *Board) Shared() bool { return b.peers.Keeper != nil }

// Start has the peers told what there is to tell, until ctx ends.
func (b *Board) Start(ctx context.Context) {
	if b.opt.Peers == nil {
		return
	}
	loop := func(f func(context.Context)) {
		work.Loop(ctx, retryAfter, b.opt.Log, "a loop of the cluster", func() { f(ctx) })
	}
	b.wg.Go(func() { loop(b.sendSignals) })
	if b.Shared() {
		b.wg.Go(func() {
			defer close(b.stopped)
			loop(b.keep)
		})
	}
}

// Stop returns when the Keeper is told nothing any more. It is called once.
func (b *Board) Stop() {
	if b.Shared() {
		close(b.stop)
		<-b.stopped
	}
}

// Expire has the lease run out by itself, after Stop: by then, who was here is
// somewhere else.
func (b *Board) Expire(ctx context.Context) error {
	return work.Guard(func() error {
		_, _, err := b.peers.Keeper.Attend(ctx, b.peers.Node, min(b.opt.LeaveGrace, leaseFor), nil)
		return err
	})
}

// Wait returns when all that Start has begun has ended.
func (b *Board) Wait() { b.wg.Wait() }

// tick is a time in milliseconds that begins a day before Start; it wraps.
func (b *Board) tick(t time.Time) uint32 {
	return uint32((t.Sub(b.opt.Start) + 24*time.Hour).Milliseconds())
}
