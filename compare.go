package chat

import (
	"context"
	"slices"

	"github.com/gabblehq/chat/internal/presence"
	"github.com/gabblehq/chat/internal/work"
)

// compareLoop compares rooms that may have missed something with the store.
func (c *cluster) compareLoop() {
	ctx := c.srv.ctx
	for {
		select {
		case <-c.compare:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		all, missed := c.all, c.missed
		c.all, c.missed = false, nil
		c.mu.Unlock()
		covers := func(key string) bool {
			for _, f := range missed {
				if f(key) {
					return true
				}
			}
			return all
		}
		if covers(c.srv.key(controlRoom)) {
			work.Notify(c.control)
		}
		if err := c.compareRooms(covers); err != nil && ctx.Err() == nil {
			if !c.srv.health.Down() { // which has been said
				c.srv.log.Warn("chat: rooms not compared with the store", "error", err)
			}
			work.Sleep(ctx, retryAfter)
			c.compareAgain(all, missed)
		}
	}
}

// compareAgain has the rooms of a comparison that has failed compared once more.
func (c *cluster) compareAgain(all bool, missed []func(room string) bool) {
	if all {
		c.compareSoon(nil)
	}
	for _, covers := range missed {
		c.compareSoon(covers)
	}
}

// compareRooms compares logs first, and then who is there.
func (c *cluster) compareRooms(covers func(key string) bool) error {
	var rooms []*liveRoom
	defer func() {
		for _, r := range rooms {
			r.release()
		}
	}()
	for r := range c.srv.rooms.each {
		switch {
		case !covers(r.key()):
			r.release()
		case r.Topic.Len() == 0:
			r.outdate()
			r.release()
		default:
			rooms = append(rooms, r)
		}
	}
	for batch := range slices.Chunk(rooms, headsAtOnce) {
		if err := c.compareBatch(batch); err != nil {
			return err
		}
	}
	list := make([]*presence.Room, len(rooms))
	for i, r := range rooms {
		list[i] = &r.presence
	}
	return c.srv.presence.Load(c.srv.ctx, list)
}

// outdate has whoever comes to the room, or has just come, find out how things
// are.
func (r *liveRoom) outdate() {
	r.presence.Outdate()
	r.markStale()
	if r.followed() {
		r.presence.LoadSoon()
	}
}

// compareBatch has those rooms catch up whose log does not end where their
// topic does.
func (c *cluster) compareBatch(rooms []*liveRoom) error {
	type end struct {
		epoch string
		rev   int64
	}
	seen := make([]end, len(rooms)) // before the store is asked: it may only be ahead
	for i, r := range rooms {
		seen[i].epoch, seen[i].rev = r.Topic.Head()
	}
	heads, err := c.heads(c.srv.ctx, rooms)
	if err != nil {
		return err
	}
	for i, r := range rooms {
		same := heads[i].Epoch == seen[i].epoch && heads[i].Rev == seen[i].rev
		r.note(func(u *upkeep) { u.compared(same) })
	}
	return nil
}

// heads reads where the logs of rooms end.
func (c *cluster) heads(ctx context.Context, rooms []*liveRoom) (heads []Position, err error) {
	keys := make([]string, len(rooms))
	for i, r := range rooms {
		keys[i] = r.key()
	}
	err = c.srv.callStore(ctx, func(ctx context.Context) error {
		heads, err = c.watcher.Heads(ctx, keys)
		if err == nil && len(heads) != len(keys) {
			err = Errorf(CodeInternal, "the store answered %d rooms with %d heads", len(keys), len(heads))
		}
		return err
	})
	return heads, err
}
