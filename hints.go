package chat

import (
	"context"
)

// addHint has a committer apply a hint, unless it says what is known.
func (r *liveRoom) addHint(h Hint) {
	epoch, head := r.Topic.Head()
	if h.Head.Epoch == epoch && h.Head.Rev >= 0 && h.Head.Rev <= head {
		return // our own doing, mostly
	}
	r.note(func(u *upkeep) { u.addHint(h, r.followed()) })
}

// applyHints gives the topic what hints have brought, and marks it stale where
// they have not brought enough. The caller is the room's committer.
func (r *liveRoom) applyHints() {
	r.mu.Lock()
	hints := r.upkeep.takeHints()
	r.mu.Unlock()
	for i := range hints {
		epoch, head := r.Topic.Head()
		h := &hints[i]
		if h.Head.Epoch == epoch && h.Head.Rev >= 0 && h.Head.Rev <= head {
			continue
		}
		if h.Head.Rev < 0 || h.Head.Epoch != epoch || h.Entries == nil || h.After > head || !r.applyHint(h) {
			r.markStale()
			return // what follows comes with the page
		}
	}
}

// applyHint makes frames of what a hint has brought. It reports false where the
// store has to be asked.
func (r *liveRoom) applyHint(h *Hint) bool {
	var entries []Entry
	err := guard(func() (err error) {
		entries, err = h.Entries()
		return err
	})
	if err != nil {
		return false
	}
	var info *RoomInfo
	for i := range entries {
		if entries[i].Room != nil {
			info = entries[i].Room
		}
	}
	r.learn(h.Head, info)
	r.endTyping(entries)
	return r.Topic.Append(h.Head.Epoch, h.After, h.Head.Rev, false, r.stepFrames(r.srv.ctx, entries))
}

// head asks the store where the room's log ends.
func (r *liveRoom) head() (at Position, err error) {
	err = r.srv.callStore(r.srv.ctx, func(ctx context.Context) error {
		at, err = r.srv.opt.Store.Head(ctx, r.key())
		return err
	})
	return at, err
}
