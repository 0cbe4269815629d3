package presence

import (
	"context"
	"time"

	"github.com/gabblehq/chat/internal/work"
)

const (
	// roomsAtOnce is of how many rooms it is read who is there, and pause how
	// long the store is left to others in between.
	roomsAtOnce = 32
	pause       = 2 * time.Millisecond
)

// Current reports whether it is known who is in the room on other servers.
func (r *Room) Current() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.remote.current()
}

// loaded reports whether it is known who is in the room on other servers, or
// about to be. The lock is not held.
func (r *Room) loaded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.remote.current() || r.remote != nil && r.remote.reading > 0
}

// Load reads who is in the room on other servers, where that is not known and
// nobody is reading it. After an error the room shows who is here.
func (r *Room) Load(ctx context.Context) error {
	b := r.board()
	if !b.Shared() || r.loaded() {
		return nil
	}
	return b.Load(ctx, []*Room{r})
}

// LoadSoon has the list of who is in the room on other servers read, soon, where
// that has not been possible before.
func (r *Room) LoadSoon() {
	if h := r.Home(); h.Board().Shared() && !r.loaded() {
		h.Board().peers.Stale(h.ID())
	}
}

// Load brings the lists of who is in the rooms on other servers up to date, a
// few at a time: what the store answers at once is bounded. After an error the
// remaining rooms are as they were.
func (b *Board) Load(ctx context.Context, rooms []*Room) error {
	if !b.Shared() {
		return nil
	}
	for i, n := 0, len(rooms); i < n; i += roomsAtOnce {
		if i > 0 {
			work.Sleep(ctx, pause) // others have use for the store, too
		}
		if err := b.loadBatch(ctx, rooms[i:min(i+roomsAtOnce, n)]); err != nil {
			return err
		}
	}
	return nil
}

func (b *Board) loadBatch(ctx context.Context, rooms []*Room) error {
	ids := make([]string, 0, len(rooms))
	numbers := make([]uint32, len(rooms))
	for i, r := range rooms {
		r.mu.Lock()
		rs := r.makeRemote()
		rs.reading++ // what is said from here on is newer than what is read, or as new
		rs.asked++
		numbers[i] = rs.asked
		r.mu.Unlock()
		ids = append(ids, r.Home().ID())
	}
	var list []Seat
	err := b.peers.Call(ctx, func(ctx context.Context) (err error) {
		list, err = b.peers.Keeper.Attendances(ctx, ids)
		return err
	})
	byRoom := make(map[string][]Seat)
	for i := range list {
		byRoom[list[i].Room] = append(byRoom[list[i].Room], list[i])
	}
	for i, r := range rooms {
		r.mu.Lock()
		rs := r.remote
		rs.reading--
		var frame []byte
		if err == nil && numbers[i] > rs.read {
			frame = r.replace(byRoom[ids[i]])
			rs.read = numbers[i]
		}
		if rs.reading == 0 {
			rs.since = nil
		}
		r.mu.Unlock()
		r.signal(frame)
	}
	b.heard(list) // after they are on the lists: see removeDead
	return err
}
