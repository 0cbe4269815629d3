package storagetest

import (
	"context"
	"sync"

	"github.com/gabblehq/chat"
)

// SharedStore makes of a store in this process one that several servers share,
// each through a [SharedNode] of its own, as if they ran on different machines.
// A test says by [SharedNode.Cut], [SharedNode.Down] and their like what is
// broken between them, and by [SharedStore.Behave] how hints travel.
//
// It runs no goroutine, reads no clock but package time's and waits only on
// channels and timers, so it works inside a testing/synctest bubble; make it
// there. What is written to the store below past the nodes is not told to
// anyone. To make single calls fail, wrap a node in [Faulty].
type SharedStore struct {
	mu     sync.Mutex // held for moments, never while anything waits
	store  chat.Store
	lossy  bool                     // Lose has been called
	locks  map[string]chan struct{} // by room: who appends tells before the next one appends
	told   map[string]chat.Position // by room: the newest head that was told
	gone   map[string]bool          // rooms that have been removed, since the last Lose
	leases map[string]*lease        // by node, see shared_presence.go
	nodes  []*SharedNode
	habits Habits
}

// Shared wraps store, which nobody else writes to.
func Shared(store chat.Store) *SharedStore {
	s := &SharedStore{}
	s.reset(store)
	return s
}

func (s *SharedStore) reset(store chat.Store) {
	s.store = store
	s.told, s.gone, s.leases = map[string]chat.Position{}, map[string]bool{}, map[string]*lease{}
}

// Node returns a new handle of the store, for one server. All nodes show the
// same rooms.
func (s *SharedStore) Node() *SharedNode {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &SharedNode{shared: s}
	s.nodes = append(s.nodes, n)
	return n
}

// Lose throws away all rooms and all presence, as a store does that has been
// emptied under running servers, and goes on with fresh, an empty store.
// Watchers are told by Missed(nil), within two seconds. From then on Heads
// answers zero for rooms that do not exist and have not been removed since,
// and appending to one with a known position is chat.ErrLost.
func (s *SharedStore) Lose(fresh chat.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset(fresh)
	s.lossy = true
	for _, n := range s.nodes {
		for _, w := range n.watches {
			w.loseAll(soon)
		}
	}
}

// Unwrap returns the store below.
func (s *SharedStore) Unwrap() chat.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store
}

// SharedNode is a [SharedStore] as one server sees it: a [chat.Store], a
// [chat.Watcher] and a [chat.PresenceKeeper]. It is also a [chat.RoomLister], a
// [chat.RoomRemover] and a [chat.EpochStarter], whose calls are ErrUnsupported
// where the store below is none. Its methods may be called concurrently.
type SharedNode struct {
	shared *SharedStore

	// Under shared.mu.
	watches []*watch
	cut     bool
	down    bool
	drop    int // hints still to be lost
	count   int // hints so far, for Habits
}

var (
	_ chat.Store          = (*SharedNode)(nil)
	_ chat.PresenceKeeper = (*SharedNode)(nil)
	_ chat.RoomLister     = (*SharedNode)(nil)
	_ chat.RoomRemover    = (*SharedNode)(nil)
	_ chat.EpochStarter   = (*SharedNode)(nil)
)

// Shared returns the store that n is a node of.
func (n *SharedNode) Shared() *SharedStore { return n.shared }

// Unwrap returns the store below, which [SharedNode.Down] does not disturb.
func (n *SharedNode) Unwrap() chat.Store { return n.shared.Unwrap() }

// Down makes the store unreachable from this node, until Up: every call is
// ErrUnavailable, and so is every Hint.Entries; Watch goes on, in silence.
func (n *SharedNode) Down() { n.set(&n.down, true) }

// Up ends Down. Watch calls Missed(nil).
func (n *SharedNode) Up() { n.set(&n.down, false) }

// Cut breaks the link by which this node is told of anything, while it still
// reaches the store, until Mend: hints on their way are lost, signals too.
// Watch makes up for hints by a Missed that covers their rooms, within two
// seconds.
func (n *SharedNode) Cut() { n.set(&n.cut, true) }

// Mend ends Cut. Watch calls Missed(nil).
func (n *SharedNode) Mend() { n.set(&n.cut, false) }

// DropNext loses the next k calls of Appended or Present that this node is
// due. Watch makes up for them by a Missed that covers their rooms, within two
// seconds.
func (n *SharedNode) DropNext(k int) {
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	n.drop = k
}

// set breaks or restores what connects this node, and lets its watches know.
func (n *SharedNode) set(broken *bool, to bool) {
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	*broken = to
	for _, w := range n.watches {
		if to {
			w.loseQueue()
		} else {
			w.loseAll(0)
		}
	}
}

// reach returns the store below, unless it cannot be reached.
func (n *SharedNode) reach(ctx context.Context) (chat.Store, error) {
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, chat.Errorf(chat.CodeUnavailable, "given up before it began: %w", context.Cause(ctx))
	case n.down:
		return nil, chat.Errorf(chat.CodeUnavailable, "the store cannot be reached")
	}
	return n.shared.store, nil
}

// lock keeps the room to one writer until the returned function is called, so
// that what happens to it is told in the order in which it happens. It is a
// channel, for a bubble's clock stands still while anyone waits for a mutex.
func (s *SharedStore) lock(ctx context.Context, room string) (unlock func(), err error) {
	s.mu.Lock()
	l := s.locks[room]
	if l == nil {
		if s.locks == nil {
			s.locks = map[string]chan struct{}{}
		}
		l = make(chan struct{}, 1)
		s.locks[room] = l
	}
	s.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, chat.Errorf(chat.CodeUnavailable, "given up before it began: %w", context.Cause(ctx))
	}
}
