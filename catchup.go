package chat

import (
	"errors"
	"time"

	"github.com/gabblehq/chat/internal/work"
)

// recreate makes a room that the store has lost anew, with the settings that it
// had, and appends the changes. It returns nil where the settings are not
// known.
func (r *liveRoom) recreate(changes []Change) (results []Result, err error) {
	r.mu.Lock()
	info := r.info
	r.mu.Unlock()
	if info == nil {
		return nil, nil
	}
	r.srv.log.Error("chat: the store has lost a room; it begins anew", "room", r.id)
	all := append([]Change{{Kind: ChangeCreateRoom, At: info.CreatedAt, Room: *info}}, changes...)
	results, err = r.write(Position{}, all)
	if err != nil {
		return nil, err
	}
	now := results[0].Room
	now.ID = r.id
	r.mu.Lock()
	r.info, r.known = &now, Position{}
	r.mu.Unlock()
	// Another server may have been faster; then the room is there all the same.
	return results[1:], nil
}

// repair compares the log with the topic where this may be stale, and tries
// again in a second where the store does not say.
func (r *liveRoom) repair() {
	r.mu.Lock()
	begin := r.upkeep.takeStale(r.followed())
	if begin && !r.srv.repairs.begin(r) {
		r.upkeep.postpone() // until it is its turn
		begin = false
	}
	r.mu.Unlock()
	if !begin {
		return
	}
	err := guard(r.catchUp)
	r.srv.repairs.end()
	if err == nil {
		return
	}
	if p, ok := errors.AsType[*work.Panic](err); ok {
		r.srv.log.Error("chat: hole in a room not read", "room", r.id, "error", p)
	}
	r.note((*upkeep).postpone)
	if r.srv.health.Down() {
		return // looked after when the store answers again
	}
	r.hold()
	r.srv.timers.At(time.Now().Add(retryAfter), (*retryTimer)(r))
}

// retryAfter is how long a room waits before it asks the store again.
const retryAfter = time.Second

// retryTimer has a committer repair the topic.
type retryTimer liveRoom

func (d *retryTimer) Ring(time.Time) {
	r := (*liveRoom)(d)
	r.note((*upkeep).retry)
	r.release()
}

// maxTurns is how often a log may be found in another epoch while it is read.
const maxTurns = 16

// catchUp reads from the store what the topic has missed, and has it go over
// into the log's epoch. The caller is the room's committer, so nobody else
// appends.
func (r *liveRoom) catchUp() error {
	turns := 0
	for back := false; ; {
		epoch, head := r.Topic.Head()
		if head < 0 {
			return nil // nobody is here
		}
		page, turn, err := r.read(r.srv.ctx, r.reader(head))
		if errors.Is(err, ErrNotFound) {
			return r.vanished()
		}
		if err == nil && turn && page.Head.Epoch != epoch {
			now, at := r.Topic.Head()
			if now != page.Head.Epoch || at != head {
				if turns++; turns > maxTurns {
					return errors.New("the log has another epoch each time it is read")
				}
				continue // what follows the common past has not been read
			}
			epoch = now
		}
		if err == nil && page.Head.Epoch == epoch && page.Head.Rev < head {
			if back {
				return errors.New("the store goes on with a log whose end it has lost")
			}
			if err = r.rolledBack(Position{Epoch: epoch, Rev: head}); err == nil {
				back = true
				continue
			}
		}
		if err != nil {
			if !r.srv.health.Down() {
				r.srv.log.Warn("chat: hole in a room not read", "room", r.id, "after", head, "error", err)
			}
			return err
		}
		if page.Head.Rev-head > r.srv.opt.Limits.Resume {
			r.Topic.Skip(epoch, page.Head.Rev) // nobody can go on from there
			return nil
		}
		r.endTyping(page.Entries)
		frames := r.entryFrames(r.srv.ctx, page.Entries, head)
		if r.Topic.Append(epoch, head, page.Through, true, frames) && page.Through >= page.Head.Rev {
			return nil
		}
	}
}

// rolledBack has the store start a new epoch, because it has lost the end of
// the room's log.
func (r *liveRoom) rolledBack(known Position) error {
	r.srv.log.Error("chat: the store has lost the end of a room; a new epoch begins", "room", r.id, "known", known.Rev)
	_, err := r.write(known, nil)
	return err
}

// remembered reports whether this server knows of a room what a store that has
// lost it would need to be told.
func (r *liveRoom) remembered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.srv.cluster != nil && r.info != nil
}

// vanished finds out why the room is not in the store any more, and makes it
// anew where the store has lost it.
func (r *liveRoom) vanished() error {
	if c := r.srv.cluster; c != nil {
		at, err := c.heads(r.srv.ctx, []*liveRoom{r})
		if err != nil {
			return err
		}
		if at[0].Rev >= 0 { // there again, or lost
			if at[0] == (Position{}) {
				if made, err := r.recreate(nil); err != nil {
					return err
				} else if made == nil {
					r.gone()
					return nil
				}
			}
			_, err := r.history(r.srv.ctx, Query{})
			return err
		}
	}
	r.gone()
	return nil
}
