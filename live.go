package chat

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/presence"
)

// liveRoom is what this server holds of a room that somebody is in, or that
// something is being done to. The store is the truth; all of this may be
// forgotten and read again.
type liveRoom struct {
	hub.Topic
	srv *Server
	id  string

	refs int32 // guarded by the table's shard

	mu      sync.Mutex
	info    *RoomInfo // settings as last seen, never changed in place; nil: not read
	known   Position  // the highest position that this server has seen; see learn
	backlog *backlog  // nil: nothing is to be committed
	upkeep  upkeep

	presence presence.Room // has a lock of its own
}

// roomTable holds the live rooms.
type roomTable struct {
	seed   maphash.Seed
	shards [64]struct {
		mu    sync.Mutex
		rooms map[string]*liveRoom
	}
}

func (t *roomTable) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.shards {
		t.shards[i].rooms = make(map[string]*liveRoom)
	}
}

// acquire returns the live room of the id, making it where there is none. The
// caller calls release once.
func (s *Server) acquire(id string) *liveRoom {
	sh := &s.rooms.shards[maphash.String(s.rooms.seed, id)%uint64(len(s.rooms.shards))]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := sh.rooms[id]
	if r == nil {
		r = &liveRoom{srv: s, id: id}
		r.Topic.Init(s.hub, r)
		r.presence.Init(&r.Topic)
		sh.rooms[id] = r
	}
	r.refs++
	return r
}

func (r *liveRoom) release() {
	t := &r.srv.rooms
	sh := &t.shards[maphash.String(t.seed, r.id)%uint64(len(t.shards))]
	sh.mu.Lock()
	if r.refs--; r.refs == 0 {
		delete(sh.rooms, r.id)
		r.Topic.Drop()
	}
	sh.mu.Unlock()
}

// peek returns the live room if there is one, else nil. The caller calls
// release once.
func (s *Server) peek(id string) *liveRoom {
	sh := &s.rooms.shards[maphash.String(s.rooms.seed, id)%uint64(len(s.rooms.shards))]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := sh.rooms[id]
	if r != nil {
		r.refs++
	}
	return r
}

func (t *roomTable) size() (n int) {
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].rooms)
		if _, ok := t.shards[i].rooms[controlRoom]; ok {
			n-- // nobody is in it
		}
		t.shards[i].mu.Unlock()
	}
	return n
}

// key is the store's opaque name of a room.
func (s *Server) key(room string) string {
	if s.opt.Tenant == "" {
		return room
	}
	return s.opt.Tenant + "/" + room
}

// key is the store's name of the room.
func (r *liveRoom) key() string { return r.srv.key(r.id) }

// settings returns the room's settings, from the store where this server has
// not seen them, or where another may have changed them since.
func (r *liveRoom) settings(ctx context.Context) (*RoomInfo, error) {
	if info := r.fresh(); info != nil {
		return info, nil
	}
	page, err := r.history(ctx, Query{})
	if err != nil {
		return nil, err
	}
	return page.Room, nil
}

// fresh returns the room's settings where this server may rely on what it has
// seen: nobody else writes to the store, or it follows the room's log and has
// missed nothing that it knows of. What nobody follows is kept up to date by
// nobody, whatever holds the room.
func (r *liveRoom) fresh() *RoomInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.srv.cluster == nil || r.followed() && r.upkeep.current(time.Now()) {
		return r.info
	}
	return nil
}

// history reads from the store and learns from what it says.
func (r *liveRoom) history(ctx context.Context, q Query) (Page, error) {
	return r.show(ctx, func(ctx context.Context) (Page, error) {
		return r.srv.opt.Store.History(ctx, r.key(), q)
	})
}

// changes reads what follows a position, as history does.
func (r *liveRoom) changes(ctx context.Context, after int64) (Page, error) {
	return r.show(ctx, r.reader(after))
}

func (r *liveRoom) reader(after int64) func(context.Context) (Page, error) {
	return func(ctx context.Context) (Page, error) {
		return r.srv.opt.Store.Changes(ctx, r.key(), after, r.filling())
	}
}

// show reads a page for somebody who may go on from it. Where it shows that the
// store has lost the end of the log, a new epoch begins first: else they were
// given the end from the ring.
func (r *liveRoom) show(ctx context.Context, f func(context.Context) (Page, error)) (Page, error) {
	epoch, head := r.Topic.Head()
	page, turn, err := r.read(ctx, f)
	if turn && page.Head.Epoch == epoch && r.rolledBack(Position{Epoch: epoch, Rev: head}) == nil {
		page, turn, err = r.read(ctx, f)
	}
	if turn {
		r.markStale()
	}
	return page, err
}

// read reads a page, and has the topic go over into the log that it shows. It
// reports whether that is another log than the topic was of, or ends earlier:
// then somebody has to look.
func (r *liveRoom) read(ctx context.Context, f func(context.Context) (Page, error)) (page Page, turn bool, err error) {
	epoch, head := r.Topic.Head() // before the page: else an older page could turn the topic back
	err = r.srv.callStore(ctx, func(ctx context.Context) error {
		page, err = f(ctx)
		return err
	})
	if err != nil {
		return page, false, err
	}
	if page.Head.Epoch == epoch || head < 0 {
		r.learn(page.Head, page.Room)
		return page, page.Head.Rev < head, nil
	}
	r.mu.Lock()
	seen := r.known
	r.mu.Unlock()
	if seen.Epoch != epoch {
		seen.Rev = 0
	}
	r.Topic.Turn(hub.Turn{From: epoch, To: page.Head.Epoch, Good: page.common(epoch), Head: page.Head.Rev, Seen: seen.Rev})
	if now, _ := r.Topic.Head(); now == page.Head.Epoch {
		r.learn(page.Head, page.Room)
	} // else the page may be older than what is known
	return page, true, nil
}

// learn notes a position and settings that the store has shown.
//
// What is known is forgotten with the last who has to do with the room. Nothing
// of it is missed then: it lets a store that has no lives of its data find out
// that it has lost the end of a log which is followed here, before it writes. A
// store that has them judges by these, whoever writes first, and where a client
// or a loop of Changes has come to is judged by the epoch that it names.
func (r *liveRoom) learn(at Position, info *RoomInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Epoch == r.known.Epoch && at.Rev < r.known.Rev {
		return
	}
	r.known = at
	if info != nil {
		r.info = info // a store that keeps it in memory has it there anyway
	}
}

// forget drops what is known of a room that does not exist any more.
func (r *liveRoom) forget() {
	r.mu.Lock()
	r.info, r.known = nil, Position{}
	r.mu.Unlock()
}

// each calls yield with every live room, which the callee releases.
func (t *roomTable) each(yield func(*liveRoom) bool) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		list := make([]*liveRoom, 0, len(sh.rooms))
		for _, r := range sh.rooms {
			r.refs++
			list = append(list, r)
		}
		sh.mu.Unlock()
		for j, r := range list {
			if !yield(r) {
				for _, rest := range list[j+1:] {
					rest.release()
				}
				return
			}
		}
	}
}
