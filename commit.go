package chat

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/wire"
)

// commit is one change on its way into a room's log.
type commit struct {
	change Change
	author wire.User // of the message, as others will see them
	trace  string
	result Result
	done   chan struct{}
}

// maxGroup bounds how many changes are committed together.
const maxGroup = 256

// commit puts a change into the room's log and gets it on its way to everybody
// who follows. Changes made at the same time are committed as a group; the
// order in which commit was entered is their order.
//
// entered, where given, is called as soon as that order is fixed. ctx ends the
// waiting, not the commit.
func (r *liveRoom) commit(ctx context.Context, c *commit, entered func()) (Result, error) {
	c.done = make(chan struct{})
	c.change.At = now()
	r.mu.Lock()
	r.queue = append(r.queue, c)
	lead := !r.committing
	r.committing = true
	r.mu.Unlock()
	if entered != nil {
		entered()
	}
	if lead {
		// Who waits without a deadline may as well do the work: it saves
		// handing it to somebody else, twice.
		if done := ctx.Done(); done == nil || done == r.srv.ctx.Done() {
			r.commitGroup()
		} else {
			r.hold()
			r.srv.pool.run(committer{r})
		}
	}
	select {
	case <-c.done:
	default:
		select {
		case <-c.done:
		case <-ctx.Done():
			return Result{}, (&Error{Code: CodeUnavailable, Message: "gave up waiting; retry with the same nonce"}).WithCause(context.Cause(ctx))
		}
	}
	return c.result, c.result.Err
}

// hold takes a further reference for a task, which releases it.
func (r *liveRoom) hold() { r.srv.acquire(r.id) }

// committer goes on committing what others have queued meanwhile.
type committer struct{ *liveRoom }

func (c committer) work() {
	c.commitGroup()
	c.release()
}

// commitGroup commits what is queued, once, and leaves what has come in
// meanwhile to a goroutine of the pool, so that nobody who only wants to send
// one message works for all others without end.
func (r *liveRoom) commitGroup() {
	r.mu.Lock()
	n := min(len(r.queue), maxGroup)
	group := r.queue[:n:n]
	r.queue = r.queue[n:]
	known := r.known
	r.mu.Unlock()

	if len(group) > 0 {
		r.append(group, known)
	}
	r.heed()
	r.makeSure()

	r.mu.Lock()
	more := len(r.queue) > 0 || r.due()
	if !more {
		r.queue = nil
		r.committing = false
	}
	r.mu.Unlock()
	if more {
		r.hold()
		r.srv.pool.run(committer{r})
	}
}

// append writes a group to the store, gets it on its way, and answers.
func (r *liveRoom) append(group []*commit, known Position) {
	changes := make([]Change, len(group))
	for i, c := range group {
		changes[i] = c.change
	}
	results, err := r.store(known, changes)
	if err != nil {
		if errors.Is(err, ErrUnknown) {
			r.doubt()
		}
		for _, c := range group {
			c.result = Result{Err: err}
			close(c.done)
		}
		if !r.srv.health.down() { // which has been said
			r.srv.log.Warn("chat: not stored", "room", r.id, "changes", len(changes), "error", err)
		}
		return
	}
	for i, c := range group {
		c.result = results[i]
		if c.result.Message.Room == "" {
			c.result.Message.Room = r.id
		}
		c.result.Message.Room, c.result.Room.ID = r.id, r.id
	}
	r.publish(group)
	for _, c := range group {
		close(c.done)
	}
}

// store appends changes to the log, and to a new one where the store has lost
// the room.
func (r *liveRoom) store(known Position, changes []Change) (results []Result, err error) {
	err = r.srv.callStore(r.srv.ctx, func(ctx context.Context) (err error) {
		results, err = r.srv.opt.Store.Append(ctx, r.key(), known, changes)
		if err == nil && len(results) != len(changes) {
			err = Errorf(CodeInternal, "the store answered %d changes with %d results", len(changes), len(results))
		}
		return err
	})
	if err != nil || len(results) == 0 || !errors.Is(results[0].Err, ErrLost) {
		return results, err
	}
	again, err := r.remake(changes)
	if again == nil {
		return results, err
	}
	return again, err
}

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
	err = r.srv.callStore(r.srv.ctx, func(ctx context.Context) (err error) {
		results, err = r.srv.opt.Store.Append(ctx, r.key(), Position{}, all)
		if err == nil && len(results) != len(all) {
			err = Errorf(CodeInternal, "the store answered %d changes with %d results", len(all), len(results))
		}
		return err
	})
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

// publish makes frames of what a group has changed and gives them to the hub.
func (r *liveRoom) publish(group []*commit) {
	var first, last Position
	var info *RoomInfo
	for _, c := range group {
		if res := &c.result; res.took() {
			if first.Rev == 0 {
				first = res.Position
			}
			last = res.Position
			if k := c.change.Kind; k == ChangeCreateRoom || k == ChangeUpdateRoom {
				info = cloneInfo(&res.Room)
			}
		}
	}
	if first.Rev == 0 {
		r.suspect(group)
		return
	}
	r.learn(last, info)
	if r.Topic.Len() == 0 {
		// Whoever comes now is served from the store, but the topic has to know
		// how far that goes.
		r.Topic.Skip(last.Epoch, last.Rev)
		return
	}
	frames := make([]hub.Frame, 0, len(group))
	for _, c := range group {
		if c.result.took() {
			frames = append(frames, hub.Frame{Rev: c.result.Position.Rev, Data: r.frame(c)})
		}
	}
	if r.srv.log.Enabled(r.srv.ctx, slog.LevelDebug) {
		for _, c := range group {
			r.srv.log.Debug("chat: published", "trace", c.trace, "room", r.id, "rev", c.result.Position.Rev, "sessions", r.Topic.Len())
		}
	}
	if !r.Topic.Append(last.Epoch, first.Rev-1, last.Rev, false, frames) && r.catchUp() != nil {
		r.doubt()
	}
}

// suspect looks whether what a group has found in the store, without changing
// anything, is news to the topic: a retry finds the message that an append of
// unknown outcome has written.
func (r *liveRoom) suspect(group []*commit) {
	epoch, head := r.Topic.Head()
	for _, c := range group {
		if at := c.result.Position; c.result.Err == nil && (at.Epoch != epoch || at.Rev > head) && head >= 0 {
			r.doubt()
			return
		}
	}
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

// took reports whether the change has taken a position in the log.
func (res *Result) took() bool { return res.Err == nil && !res.Duplicate && !res.Unchanged }

// frame is what everybody who follows the room is sent of a commit.
func (r *liveRoom) frame(c *commit) []byte {
	res := &c.result
	author := c.author
	if author.ID != res.Message.User {
		author = wire.User{ID: res.Message.User} // hard-deleted, for one
	}
	switch c.change.Kind {
	case ChangeCreate:
		return r.messageFrame(wire.TypeMessage, &res.Message, author)
	case ChangeEdit:
		return r.messageFrame(wire.TypeEdit, &res.Message, author)
	case ChangeDelete:
		return r.messageFrame(wire.TypeDelete, &res.Message, author)
	default:
		// Nobody is asked for names here: the whole room waits for its
		// committer.
		w := r.srv.wireRoom(&res.Room, r.srv.profiles.known)
		return wire.Seal(wire.AppendRoom(wire.NewFrame(256), &w))
	}
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
	return r.srv.callStore(r.srv.ctx, func(ctx context.Context) error {
		_, err := r.srv.opt.Store.Append(ctx, r.key(), known, nil)
		return err
	})
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
