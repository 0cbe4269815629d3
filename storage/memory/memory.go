// Package memory keeps rooms in this process: for tests, for trying things
// out, and for chats that may forget.
//
// Nothing survives the process. Each room keeps its newest messages, 10,000
// unless [Options] says otherwise, and every nonce for [chat.NonceTTL], also
// of messages that are no longer kept. An acknowledged message is therefore
// durable until the process ends or newer messages push it out.
//
// The package runs no goroutine. What has expired goes with later calls, of
// any room.
package memory

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/steady"
)

// Options say how much a Store keeps. Zero means the default.
type Options struct {
	// MaxMessages is how many messages each room keeps, the newest; negative:
	// all. Default: 10,000.
	MaxMessages int

	// MaxAge is how long messages are kept after their CreatedAt, by a clock
	// that a leap of this machine's does not move. Default: for ever.
	MaxAge time.Duration

	// NonceTTL is how long a retry is recognised by its nonce. Default:
	// chat.NonceTTL; a server promises its clients no less, so shorten it in
	// tests only.
	NonceTTL time.Duration
}

const defaultMaxMessages = 10_000

// shards is a power of two. Rooms share a shard's lock only to be looked up,
// made and removed; each is changed under its own.
const shards = 64

// Store is a [chat.Store] in memory. Make one with [New] or [NewWith]; there
// is nothing to close. It is also a [chat.RoomLister], a [chat.RoomRemover]
// and a [chat.EpochStarter]. What it returns is the caller's own.
type Store struct {
	opts  settled
	start time.Time // nonces age by the monotonic clock, which does not jump

	shards [shards]shard
	keys   atomic.Pointer[keyList]
	gen    atomic.Uint64 // counts rooms made and removed, see keyList
	peers  peers
}

// settled is Options with the defaults filled in, and what else rooms share.
type settled struct {
	Options
	clock *steady.Clock // that messages age by
	seeds [2]maphash.Seed
}

type shard struct {
	mu    sync.RWMutex
	rooms map[string]*room
}

var (
	_ chat.Store        = (*Store)(nil)
	_ chat.RoomLister   = (*Store)(nil)
	_ chat.DirectLister = (*Store)(nil)
	_ chat.RoomRemover  = (*Store)(nil)
	_ chat.EpochStarter = (*Store)(nil)
)

// New returns an empty Store with the default Options.
func New() *Store { return NewWith(Options{}) }

// NewWith returns an empty Store.
func NewWith(o Options) *Store {
	if o.MaxMessages == 0 {
		o.MaxMessages = defaultMaxMessages
	}
	if o.NonceTTL <= 0 {
		o.NonceTTL = chat.NonceTTL
	}
	return &Store{
		opts:  settled{o, new(steady.Clock), [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}},
		start: time.Now(),
	}
}

// Append implements [chat.Store].
func (s *Store) Append(ctx context.Context, key string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	now := time.Since(s.start)
	for {
		r := s.room(key)
		if r == nil {
			if results, ok := s.create(key, now, changes); ok {
				return results, nil
			}
			continue // another call has just made it
		}
		r.mu.Lock()
		if r.gone {
			r.mu.Unlock()
			continue // it may be there again under the same key
		}
		if known.Epoch == r.epoch && known.Rev > r.rev {
			r.epoch = newEpoch()
		}
		results := r.apply(&s.opts, now, changes)
		sweep := r.rev%sweepEvery == 0
		r.mu.Unlock()
		if sweep {
			s.sweep(now)
		}
		return results, nil
	}
}

// create makes a room of the changes, or answers them without one if none of
// them makes it. It reports false if the room exists by now.
func (s *Store) create(key string, now time.Duration, changes []chat.Change) ([]chat.Result, bool) {
	// The room is whole before anyone can see it.
	r := &room{epoch: newEpoch()}
	results := r.apply(&s.opts, now, changes)
	if r.info == nil {
		return results, true
	}
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.rooms[key] != nil {
		return nil, false
	}
	if sh.rooms == nil {
		sh.rooms = make(map[string]*room)
	}
	sh.rooms[key] = r
	s.gen.Add(1)
	s.peers.add(key, r.info.Peers)
	return results, true
}

// Changes implements [chat.Store].
func (s *Store) Changes(ctx context.Context, key string, after int64, limit int) (page chat.Page, err error) {
	err = s.read(ctx, key, func(r *room) { page = r.changes(after, limit) })
	return page, err
}

// History implements [chat.Store].
func (s *Store) History(ctx context.Context, key string, q chat.Query) (page chat.Page, err error) {
	err = s.read(ctx, key, func(r *room) { page = r.history(&s.opts, time.Since(s.start), q) })
	return page, err
}

// Head implements [chat.Store].
func (s *Store) Head(ctx context.Context, key string) (head chat.Position, err error) {
	err = s.read(ctx, key, func(r *room) { head = r.head() })
	return head, err
}

// read calls f with the room locked for reading, what is too old already gone.
func (s *Store) read(ctx context.Context, key string, f func(*room)) error {
	if err := alive(ctx); err != nil {
		return err
	}
	for {
		r := s.room(key)
		if r == nil {
			return errNoRoom
		}
		r.mu.RLock()
		gone, aged := r.gone, r.aged(&s.opts)
		if !gone && !aged {
			f(r)
		}
		r.mu.RUnlock()
		switch {
		case gone:
			continue
		case aged:
			r.mu.Lock()
			r.trim(&s.opts)
			r.mu.Unlock()
		default:
			return nil
		}
	}
}

func (s *Store) shard(key string) *shard {
	return &s.shards[maphash.String(s.opts.seeds[0], key)%shards]
}

// room returns nil if there is none.
func (s *Store) room(key string) *room {
	sh := s.shard(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.rooms[key]
}

// sweepEvery is after how many changes of a room another one is swept.
const sweepEvery = 16

// sweep lets some room, maybe an idle one, go of what has expired. It waits
// for nobody.
func (s *Store) sweep(now time.Duration) {
	sh := &s.shards[rand.IntN(shards)]
	var r *room
	sh.mu.RLock()
	for _, r = range sh.rooms { // the order is random
		break
	}
	sh.mu.RUnlock()
	if r != nil && r.mu.TryLock() {
		r.trim(&s.opts)
		r.nonces.expire(&s.opts, now, 512)
		r.mu.Unlock()
	}
}

// alive answers a call whose context has ended already.
func alive(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return chat.Errorf(chat.CodeUnavailable, "given up before it began: %w", context.Cause(ctx))
}
