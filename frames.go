package chat

import (
	"context"
	"errors"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/wire"
)

// wireMessage is the message as it crosses the wire.
func wireMessage(m *Message, author wire.User) wire.Message {
	w := wire.Message{
		ID: m.ID, Room: m.Room, Seq: m.Seq, Rev: m.Rev, FirstRev: m.FirstRev,
		User: author, Kind: string(m.Kind), Content: m.Content, Nonce: m.Nonce,
		CreatedAt: m.CreatedAt, EditedAt: m.EditedAt, DeletedAt: m.DeletedAt,
		ReplyTo: m.ReplyTo, Thread: m.Thread, Mentions: m.Mentions, Meta: m.Meta,
	}
	if len(m.Attachments) > 0 {
		w.Attachments = make([]wire.Attachment, len(m.Attachments))
		for i, a := range m.Attachments {
			w.Attachments[i] = wire.Attachment(a)
		}
	}
	return w
}

func (r *liveRoom) messageFrame(typ string, m *Message, author wire.User) []byte {
	w := wireMessage(m, author)
	w.Room = r.id
	return wire.Seal(wire.AppendMessage(wire.NewFrame(messageSize(m)), typ, &w))
}

func (r *liveRoom) roomFrame(ctx context.Context, info *RoomInfo) []byte {
	w := r.srv.wireRoom(info, r.srv.names.Soon(ctx, info.Peers))
	return wire.Seal(wire.AppendRoom(wire.NewFrame(256), &w))
}

// wireRoom is the room as it crosses the wire.
func (s *Server) wireRoom(info *RoomInfo, who func(string) wire.User) wire.Room {
	w := wire.Room{
		ID: info.ID, Kind: string(info.Kind), Title: info.Title, Topic: info.Topic,
		Avatar: info.Avatar, Meta: info.Meta, CreatedAt: info.CreatedAt, Rev: info.Rev,
	}
	for _, p := range info.Peers {
		w.Peers = append(w.Peers, who(p))
	}
	return w
}

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
