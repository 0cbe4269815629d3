package chat

import (
	"errors"
	"time"
)

// remake makes a room that the store has lost anew, with the settings that it
// had, and appends the changes. It returns nil where the settings are not
// known.
func (r *liveRoom) remake(changes []Change) (results []Result, err error) {
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

// makeSure compares the log with the topic where an append has left a doubt,
// and tries again in a second where the store does not say.
func (r *liveRoom) makeSure() {
	if r.Topic.Len() == 0 {
		return // whoever comes first makes sure
	}
	r.mu.Lock()
	unsure := r.unsure
	r.unsure = false
	r.mu.Unlock()
	if !unsure {
		return
	}
	// Many rooms may have missed something at once.
	r.srv.repairs <- struct{}{}
	err := r.catchUp()
	<-r.srv.repairs
	if err == nil {
		return
	}
	r.mu.Lock()
	r.unsure, r.putOff = true, true
	r.mu.Unlock()
	if r.srv.health.down() {
		return // looked after when the store answers again
	}
	r.hold()
	r.srv.timers.at(time.Now().Add(doubtFor), (*doubt)(r))
}

// doubtFor is how long a room waits before it asks the store again.
const doubtFor = time.Second

// doubt has a committer make sure.
type doubt liveRoom

func (d *doubt) ring(time.Time) {
	r := (*liveRoom)(d)
	r.reopen()
	r.nudge()
	r.release()
}

// doubt notes that the log may hold what the topic has not been told of.
func (r *liveRoom) doubt() {
	r.mu.Lock()
	r.unsure, r.putOff = true, false
	r.mu.Unlock()
}

// reopen has a doubt that was put off looked after.
func (r *liveRoom) reopen() {
	r.mu.Lock()
	r.putOff = false
	r.mu.Unlock()
}

// due reports whether there is something for a committer to look after that
// nobody has committed. The lock is held.
func (r *liveRoom) due() bool {
	return r.others.hinted() || r.unsure && !r.putOff && r.Topic.Len() > 0
}

// nudge has a committer look after what has been heard and what is in doubt.
func (r *liveRoom) nudge() {
	if !r.srv.inUse.enter() {
		return // nobody is here any more
	}
	r.mu.Lock()
	run := r.due() && !r.committing
	r.committing = r.committing || run
	r.mu.Unlock()
	if !run {
		r.srv.inUse.leave()
		return
	}
	r.hold()
	r.srv.pool.run(mender{r})
}

// mender is a committer that nobody's commit has called for.
type mender struct{ *liveRoom }

func (m mender) work() {
	s := m.srv
	m.commitGroup()
	m.release()
	s.inUse.leave()
}

// catchUp reads from the store what the topic has missed. The caller is the
// room's committer, so nobody else appends.
func (r *liveRoom) catchUp() error {
	for back := false; ; {
		epoch, head := r.Topic.Head()
		page, err := r.changes(r.srv.ctx, max(head, 0))
		if errors.Is(err, ErrNotFound) {
			return r.vanished()
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
			if !r.srv.health.down() {
				r.srv.log.Warn("chat: hole in a room not read", "room", r.id, "after", head, "error", err)
			}
			return err
		}
		if page.Head.Epoch != epoch {
			r.Topic.Renew(page.Head.Epoch, page.Head.Rev)
			return nil
		}
		if page.Head.Rev-head > r.srv.opt.Limits.Resume {
			r.Topic.Skip(epoch, page.Head.Rev) // nobody can go on from there
			return nil
		}
		r.spoken(page.Entries)
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
				if made, err := r.remake(nil); err != nil {
					return err
				} else if made == nil {
					r.gone()
					return nil
				}
			}
			now, err := r.head()
			if err == nil {
				r.Topic.Renew(now.Epoch, now.Rev)
			}
			return err
		}
	}
	r.gone()
	return nil
}
