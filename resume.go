package chat

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/wire"
)

// entryFrames encodes changes for cursors that stand at after: what was
// created later is news to them, what existed is an edit or a delete.
func (r *liveRoom) entryFrames(ctx context.Context, entries []Entry, after int64) []hub.Frame {
	var ids []string
	for _, e := range entries {
		if e.Message != nil {
			ids = append(ids, e.Message.User)
		}
	}
	who := r.srv.names.Soon(ctx, ids)
	frames := make([]hub.Frame, 0, len(entries))
	for _, e := range entries {
		f := hub.Frame{Rev: e.Rev}
		switch m := e.Message; {
		case m == nil:
			info := *e.Room
			info.ID = r.id
			f.Data = r.roomFrame(ctx, &info)
		case m.FirstRev > after:
			f.Data = r.messageFrame(wire.TypeMessage, m, who(m.User))
		case m.Deleted():
			f.Data = r.messageFrame(wire.TypeDelete, m, who(m.User))
		default:
			f.Data = r.messageFrame(wire.TypeEdit, m, who(m.User))
		}
		frames = append(frames, f)
	}
	return frames
}

// stepFrames encodes changes that have each the state of their own rev.
func (r *liveRoom) stepFrames(ctx context.Context, entries []Entry) []hub.Frame {
	frames := make([]hub.Frame, 0, len(entries))
	for i := range entries {
		// To a cursor right before it, a change is what it was.
		frames = append(frames, r.entryFrames(ctx, entries[i:i+1], entries[i].Rev-1)...)
	}
	return frames
}

// Fill serves cursors that have fallen out of the ring; see hub.Log.
func (r *liveRoom) Fill(ctx context.Context, epoch string, after int64) (hub.Page, error) {
	if epoch != "" {
		page, err := r.changes(ctx, after)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return hub.Page{}, err
		}
		if err == nil && r.continues(Position{Epoch: epoch, Rev: after}, &page) {
			frames := r.entryFrames(ctx, page.Entries, after)
			through := page.Through
			for i, size := 0, 0; i < len(frames); i++ {
				if size += len(frames[i].Data); i > 0 && size > r.srv.opt.Limits.PageBytes {
					frames, through = frames[:i], frames[i-1].Rev
					break
				}
			}
			return hub.Page{Epoch: page.Head.Epoch, Frames: frames, Through: through, Head: page.Head.Rev}, nil
		}
	}
	page, err := r.messages(ctx, Query{Limit: r.srv.opt.Limits.History})
	if errors.Is(err, ErrNotFound) {
		// The room has been removed, and who removed it tells the sessions. A
		// loop of Room.Changes is to look again.
		epoch, rev := r.Topic.Head()
		return hub.Page{Epoch: epoch, Through: rev, Reset: true, Frames: []hub.Frame{{Rev: rev, Data: r.Synced(epoch, rev)}}}, nil
	}
	if err != nil {
		return hub.Page{}, err
	}
	msgs, cut, _ := r.wireMessages(ctx, page.Messages, toNewest, r.srv.opt.Limits.PageBytes)
	frame := wire.Seal(wire.AppendReset(wire.NewFrame(4<<10), &wire.Reset{
		Room: r.id, Epoch: page.Head.Epoch, Head: page.Head.Rev, Messages: msgs, More: page.More || cut,
	}))
	return hub.Page{
		Epoch: page.Head.Epoch, Through: page.Head.Rev, Reset: true,
		Frames: []hub.Frame{{Rev: page.Head.Rev, Data: frame}},
	}, nil
}

// continues reports whether a cursor can go on from a position, by what the
// store says of the log: else the client has to start over.
func (r *liveRoom) continues(at Position, page *Page) bool {
	return page.Good(at) && // of this log, and not of the future,
		at.Rev >= page.Floor && // nothing of what follows is trimmed,
		page.Head.Rev-at.Rev <= r.srv.opt.Limits.Resume
}

// Synced tells a cursor that it has reached the head, or in which epoch its
// position is now; see hub.Log.
func (r *liveRoom) Synced(epoch string, rev int64) []byte {
	return wire.Seal(wire.AppendSynced(wire.NewFrame(96+len(r.id)), r.id, epoch, rev))
}

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
