package chat

import (
	"context"
	"iter"

	"github.com/gabblehq/chat/hub"
)

// Changes follows the room's log from a position: every change after it, each
// changed thing in its newest state, in rev order, and then what happens, until
// ctx ends or the loop does. It is the cursor that clients have, for server
// code. It does not skip: a position that cannot be continued, because the log
// was trimmed or replaced, ends the loop with ErrReset. The zero Position means
// from the beginning.
//
//	for entry, err := range srv.Room("general").Changes(ctx, position) {
//		...
//		position = entry.Position // to begin at after a restart
//	}
func (r *Room) Changes(ctx context.Context, from Position) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) { r.follow(ctx, from, yield) }
}

// follower is a sink that takes everything and only notes that something is
// there: server code wants changes, not frames, and reads them from the store.
type follower struct {
	hub.Sub
	news chan struct{}
}

func (f *follower) Write(_ []byte, frames [][]byte) int {
	select {
	case f.news <- struct{}{}:
	default:
	}
	return len(frames)
}

func (f *follower) Lane() int { return 0 }

// follow is the loop of Room.Changes.
func (r *Room) follow(ctx context.Context, at Position, yield func(Entry, error) bool) {
	live, done, err := r.use()
	if err != nil {
		yield(Entry{}, err)
		return
	}
	// The loop may run for as long as the server: it does not hold up Shutdown
	// as an operation does.
	live.hold()
	done()
	defer live.release()
	f := &follower{news: make(chan struct{}, 1)}
	attached := false
	defer f.Detach()
	// whole is where the log ended when the newest page was read: below it a
	// page leaves out what has changed again, up to there.
	whole := at
	for {
		if !r.srv.inUse.Enter() {
			yield(Entry{}, ErrServerClosed)
			return
		}
		page, err := live.changes(ctx, at.Rev)
		r.srv.inUse.Leave()
		if err != nil {
			yield(Entry{}, err)
			return
		}
		if at.Rev > page.Head.Rev || at.Epoch != "" && (!page.Good(at) || !page.Good(whole) || at.Rev < page.Floor) {
			yield(Entry{}, ErrReset)
			return
		}
		for _, e := range page.Entries {
			entry := live.named(e)
			entry.Position = Position{Epoch: page.Head.Epoch, Rev: e.Rev}
			if !yield(entry, nil) {
				return
			}
		}
		at, whole = Position{Epoch: page.Head.Epoch, Rev: page.Through}, page.Head
		if !attached {
			live.Topic.Attach(&f.Sub, f, at.Epoch, at.Rev, page.Head.Rev, false)
			attached = true
			live.wakeCommitter() // what has been told while nobody was here
		}
		if page.Through < page.Head.Rev {
			continue
		}
		select {
		case <-f.news:
		case <-ctx.Done():
			yield(Entry{}, ctx.Err())
			return
		case <-r.srv.ctx.Done():
			yield(Entry{}, ErrServerClosed)
			return
		}
	}
}

// named returns the entry with the room's id in it: the store may not know it,
// and what it hands out is not ours to change.
func (r *liveRoom) named(e Entry) Entry {
	if e.Message != nil {
		m := cloneMessage(*e.Message)
		m.Room = r.id
		e.Message = &m
	} else {
		e.Room = cloneInfo(e.Room)
		e.Room.ID = r.id
	}
	return e
}
