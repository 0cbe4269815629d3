package storagetest

import (
	"context"
	"errors"
	"slices"

	"github.com/gabblehq/chat"
)

// Append implements [chat.Store].
func (n *SharedNode) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	unlock, err := n.shared.lock(ctx, room)
	if err != nil {
		return nil, err
	}
	defer unlock()
	store, err := n.reach(ctx)
	if err != nil {
		return nil, err
	}
	results, err := store.Append(ctx, room, known, changes)
	switch {
	case errors.Is(err, chat.ErrUnknown):
		n.shared.doubt(room)
	case err == nil:
		n.appended(ctx, store, room, known, results)
	}
	return results, err
}

// appended tells of what was written.
func (n *SharedNode) appended(ctx context.Context, store chat.Store, room string, known chat.Position, results []chat.Result) {
	var entries []chat.Entry
	var head chat.Position
	for i := range results {
		r := &results[i]
		if r.Err != nil || r.Duplicate || r.Unchanged {
			continue
		}
		head = r.Position
		entries = append(entries, entry(r))
	}
	if len(entries) > 0 {
		n.tellHead(room, head, entries)
		return
	}
	if known.Rev == 0 {
		return // nothing has happened
	}
	head, err := store.Head(context.WithoutCancel(ctx), room)
	switch {
	case err == nil:
		n.tellHead(room, head, nil) // the epoch may be a new one
	case errors.Is(err, chat.ErrNotFound) && n.shared.lost(room):
		for i := range results {
			// Nothing has made the room, so there is no other reason.
			results[i].Err = chat.Errorf(chat.CodeNotFound, "no such room: %w", chat.ErrLost)
		}
	}
}

// lost reports whether a room that does not exist may once have been here.
func (s *SharedStore) lost(room string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lossy && !s.gone[room]
}

// doubt has everyone look for themselves what has become of the room.
func (s *SharedStore) doubt(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		for _, w := range n.watches {
			w.lose(room)
		}
	}
}

// tellHead tells that the room's log has moved, by these entries if that is
// known. The room is locked.
func (n *SharedNode) tellHead(room string, head chat.Position, entries []chat.Entry) {
	s := n.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if head.Rev >= 0 {
		delete(s.gone, room)
	} else {
		s.gone[room] = true
	}
	if s.told[room] == head {
		return
	}
	s.told[room] = head
	s.publish(n, event{room: room, tell: func(l chat.Listener, to *SharedNode, bare bool) {
		h := chat.Hint{Room: room, Head: head}
		if len(entries) > 0 && !bare {
			h.After = entries[0].Rev - 1
			h.Entries = func() ([]chat.Entry, error) {
				if _, err := to.reach(context.Background()); err != nil {
					return nil, err
				}
				return cloneEntries(entries), nil
			}
		}
		l.Appended(h)
	}})
}

// entry is the change that the result is the answer to.
func entry(r *chat.Result) chat.Entry {
	e := chat.Entry{Rev: r.Position.Rev, Message: &r.Message}
	if r.Message.Rev == 0 {
		e = chat.Entry{Rev: r.Position.Rev, Room: &r.Room}
	}
	return cloneEntries([]chat.Entry{e})[0]
}

// cloneEntries gives each listener entries of its own.
func cloneEntries(entries []chat.Entry) []chat.Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		e := &entries[i]
		if e.Room != nil {
			r := *e.Room
			r.Peers, r.Meta = slices.Clone(r.Peers), slices.Clone(r.Meta)
			e.Room = &r
			continue
		}
		m := *e.Message
		m.Mentions, m.Attachments, m.Meta = slices.Clone(m.Mentions), slices.Clone(m.Attachments), slices.Clone(m.Meta)
		for j := range m.Attachments {
			m.Attachments[j].Meta = slices.Clone(m.Attachments[j].Meta)
		}
		e.Message = &m
	}
	return entries
}

// Changes implements [chat.Store].
func (n *SharedNode) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	store, err := n.reach(ctx)
	if err != nil {
		return chat.Page{}, err
	}
	return store.Changes(ctx, room, after, limit)
}

// History implements [chat.Store].
func (n *SharedNode) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	store, err := n.reach(ctx)
	if err != nil {
		return chat.Page{}, err
	}
	return store.History(ctx, room, q)
}

// Head implements [chat.Store].
func (n *SharedNode) Head(ctx context.Context, room string) (chat.Position, error) {
	store, err := n.reach(ctx)
	if err != nil {
		return chat.Position{}, err
	}
	return store.Head(ctx, room)
}

// Heads implements [chat.Watcher].
func (n *SharedNode) Heads(ctx context.Context, rooms []string) ([]chat.Position, error) {
	heads := make([]chat.Position, len(rooms))
	for i, room := range rooms {
		head, err := n.Head(ctx, room)
		switch {
		case err == nil:
			heads[i] = head
		case !errors.Is(err, chat.ErrNotFound):
			return nil, err
		case !n.shared.lost(room):
			heads[i].Rev = -1
		}
	}
	return heads, nil
}

// optional finds an optional power of the store below.
func optional[C any](ctx context.Context, n *SharedNode) (C, error) {
	var none C
	store, err := n.reach(ctx)
	if err != nil {
		return none, err
	}
	c, ok := capability[C](store)
	if !ok {
		return none, chat.Errorf(chat.CodeUnsupported, "the store below is no %T", (*C)(nil))
	}
	return c, nil
}

// ListRooms implements [chat.RoomLister].
func (n *SharedNode) ListRooms(ctx context.Context, prefix, after string, limit int) ([]chat.RoomSummary, bool, error) {
	l, err := optional[chat.RoomLister](ctx, n)
	if err != nil {
		return nil, false, err
	}
	return l.ListRooms(ctx, prefix, after, limit)
}

// ListDirect implements [chat.DirectLister].
func (n *SharedNode) ListDirect(ctx context.Context, prefix, user, after string, limit int) ([]chat.RoomSummary, bool, error) {
	l, err := optional[chat.DirectLister](ctx, n)
	if err != nil {
		return nil, false, err
	}
	return l.ListDirect(ctx, prefix, user, after, limit)
}

// RemoveRoom implements [chat.RoomRemover].
func (n *SharedNode) RemoveRoom(ctx context.Context, room string) error {
	unlock, err := n.shared.lock(ctx, room)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := optional[chat.RoomRemover](ctx, n)
	if err != nil {
		return err
	}
	if err := r.RemoveRoom(ctx, room); err != nil {
		return err
	}
	n.tellHead(room, chat.Position{Rev: -1}, nil)
	return nil
}

// NewEpoch implements [chat.EpochStarter].
func (n *SharedNode) NewEpoch(ctx context.Context, room string) (chat.Position, error) {
	unlock, err := n.shared.lock(ctx, room)
	if err != nil {
		return chat.Position{}, err
	}
	defer unlock()
	e, err := optional[chat.EpochStarter](ctx, n)
	if err != nil {
		return chat.Position{}, err
	}
	head, err := e.NewEpoch(ctx, room)
	if err == nil {
		n.tellHead(room, head, nil)
	}
	return head, err
}
