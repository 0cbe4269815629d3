package chat

import (
	"context"
	"sync"
	"time"
)

// floors is how far the logs of rooms have been trimmed, remembered for a
// moment: what a ring holds may have gone from the store by age or number, and
// nobody tells.
type floors struct {
	mu    sync.Mutex
	rooms map[string]*floor
	swept time.Time
}

// floor is that of one room. ready is closed when rev and err are set.
type floor struct {
	asked time.Time
	ready chan struct{}
	rev   int64
	err   error
}

// floorFor is how long a floor is good for: thousands resume at once, and each
// room is asked for once.
const floorFor = time.Second

// floor returns the lowest position that a cursor of the room can go on from,
// by what the store has said within the last second.
func (r *liveRoom) floor(ctx context.Context) (int64, error) {
	if k, ok := capability[Retainer](r.srv.opt.Store); ok && k.KeepsAll() {
		return 0, nil
	}
	now := time.Now()
	fs := &r.srv.floors
	fs.mu.Lock()
	f := fs.rooms[r.id]
	ask := f == nil || now.Sub(f.asked) > floorFor
	if ask {
		f = &floor{asked: now, ready: make(chan struct{})}
		fs.sweep(now)
		fs.rooms[r.id] = f
	}
	fs.mu.Unlock()
	if ask {
		// Others wait for it, so it does not end with the one who asks.
		var page Page
		page, f.err = r.history(r.srv.ctx, Query{})
		f.rev = page.Floor
		close(f.ready)
	}
	select {
	case <-f.ready:
		return f.rev, f.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// sweep lets go of floors that are too old. The lock is held.
func (fs *floors) sweep(now time.Time) {
	if fs.rooms == nil {
		fs.rooms = make(map[string]*floor)
	}
	if now.Sub(fs.swept) < floorFor {
		return
	}
	fs.swept = now
	for id, f := range fs.rooms {
		if now.Sub(f.asked) > floorFor {
			delete(fs.rooms, id)
		}
	}
}
