package chat

import (
	"context"
	"errors"
	"log/slog"

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

// backlog is what waits to be committed, in order. The room's lock guards it. A
// nil one is empty.
type backlog struct{ commits []*commit }

func (b *backlog) waits() bool { return b != nil && len(b.commits) > 0 }

// take takes the next group off the front.
func (b *backlog) take() []*commit {
	if b == nil {
		return nil
	}
	n := min(len(b.commits), maxGroup)
	group := b.commits[:n:n]
	b.commits = b.commits[n:]
	return group
}

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
	if r.backlog == nil {
		r.backlog = &backlog{}
	}
	r.backlog.commits = append(r.backlog.commits, c)
	lead := r.upkeep.lead()
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
	group := r.backlog.take()
	known := r.known
	r.mu.Unlock()

	if len(group) > 0 {
		r.append(group, known)
	}
	r.heed()
	r.makeSure()

	r.mu.Lock()
	more := r.upkeep.stop(r.backlog.waits(), r.followed())
	if !more {
		r.backlog = nil
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
			r.suspect()
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
	results, err = r.write(known, changes)
	if err != nil || len(results) == 0 || !errors.Is(results[0].Err, ErrLost) {
		return results, err
	}
	again, err := r.remake(changes)
	if again == nil {
		return results, err
	}
	return again, err
}

// write appends changes to the log that there is.
func (r *liveRoom) write(known Position, changes []Change) (results []Result, err error) {
	err = r.srv.callStore(r.srv.ctx, func(ctx context.Context) (err error) {
		results, err = r.srv.opt.Store.Append(ctx, r.key(), known, changes)
		if err == nil && len(results) != len(changes) {
			err = Errorf(CodeInternal, "the store answered %d changes with %d results", len(changes), len(results))
		}
		return err
	})
	return results, err
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
		r.review(group)
		return
	}
	r.learn(last, info)
	if r.Topic.Len() == 0 {
		// Whoever comes now is served from the store, but the topic has to know
		// how far that goes.
		if !r.Topic.Skip(last.Epoch, last.Rev) {
			r.suspect()
		}
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
		r.suspect()
	}
}

// review looks whether what a group has found in the store, without changing
// anything, is news to the topic: a retry finds the message that an append of
// unknown outcome has written.
func (r *liveRoom) review(group []*commit) {
	epoch, head := r.Topic.Head()
	for _, c := range group {
		if at := c.result.Position; c.result.Err == nil && (at.Epoch != epoch || at.Rev > head) && head >= 0 {
			r.suspect()
			return
		}
	}
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
