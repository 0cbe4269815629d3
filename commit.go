package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
)

// commit is one change on its way into a room's log. Who has it committed
// either waits for done, or has left the answer to its call to who commits it.
type commit struct {
	change Change
	author wire.User // of the message, as others will see them
	trace  string
	result Result
	done   chan struct{}
	call   *call // to be answered; nil: somebody waits
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

// enter puts a change behind those that wait to be put into the room's log:
// the order in which it is called is their order. Where it reports true, nobody
// is committing: the caller has it done.
func (r *liveRoom) enter(c *commit) (lead bool) {
	c.change.At = now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.backlog == nil {
		r.backlog = &backlog{}
	}
	r.backlog.commits = append(r.backlog.commits, c)
	return r.upkeep.lead()
}

// commit puts a change into the room's log and gets it on its way to everybody
// who follows. Changes made at the same time are committed as a group. ctx ends
// the waiting, not the commit.
func (r *liveRoom) commit(ctx context.Context, c *commit) (Result, error) {
	c.done = make(chan struct{})
	if r.enter(c) {
		// Who waits without a deadline may as well do the work: it saves
		// handing it to somebody else, twice.
		if done := ctx.Done(); done == nil || done == r.srv.ctx.Done() {
			r.commitGroup()
		} else {
			r.handOn()
		}
	}
	return c.wait(ctx)
}

func (c *commit) wait(ctx context.Context) (Result, error) {
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

// committer goes on committing what others have queued.
type committer struct{ *liveRoom }

func (c committer) Work() {
	defer c.release()
	c.commitGroup()
}

// handOn leaves the committing to a goroutine of its own.
func (r *liveRoom) handOn() {
	r.hold()
	r.srv.workers.commits.Run(committer{r})
}

// commitGroup commits what is queued, once, and leaves what has come in
// meanwhile to another goroutine, so that nobody who only wants to send one
// message works for all others without end. Whatever panics on the way, the
// room goes on and everybody is answered.
func (r *liveRoom) commitGroup() {
	r.mu.Lock()
	group := r.backlog.take()
	known := r.known
	r.mu.Unlock()
	// Last, so that the next group is under way while this one is answered.
	defer r.settle(group)
	defer r.goOn()
	if len(group) > 0 {
		r.append(group, known)
	}
	r.mu.Lock()
	due := r.upkeep.due(r.followed())
	r.mu.Unlock()
	if due {
		// That may take long.
		r.settle(group)
		r.sync()
	}
	r.srv.repairs.next()
}

// sync applies what other servers have told, and repairs what may be stale.
func (r *liveRoom) sync() {
	defer work.Recover(r.srv.log, "a room's committer")
	r.applyHints()
	r.repair()
}

// goOn leaves what has come in meanwhile to another committer; where there is
// nothing, the room has none.
func (r *liveRoom) goOn() {
	r.mu.Lock()
	more := r.upkeep.stop(r.backlog.waits(), r.followed())
	if !more {
		r.backlog = nil
	}
	r.mu.Unlock()
	if more {
		r.handOn()
	}
}

// settle tells everybody of a group how it went. It may be called again.
func (r *liveRoom) settle(group []*commit) {
	for i, c := range group {
		group[i] = nil
		switch {
		case c == nil:
		case c.call != nil:
			c.call.settle(r, c)
		default:
			close(c.done)
		}
	}
}

// append writes a group to the store and gets it on its way. Each commit has a
// result then.
func (r *liveRoom) append(group []*commit, known Position) {
	for _, c := range group {
		c.result.Err = errNotKnown // until it is
	}
	published := false
	defer func() {
		v := recover()
		if !published {
			r.markStale() // what of it the topic has been told
		}
		if v != nil {
			work.LogPanic(r.srv.log, "a room's committer", v)
		}
	}()
	changes := make([]Change, len(group))
	for i, c := range group {
		changes[i] = c.change
	}
	results, err := r.store(known, changes)
	if err != nil {
		published = !errors.Is(err, ErrUnknown) && CodeOf(err) != CodeInternal // nothing is there to be
		for _, c := range group {
			c.result = Result{Err: err}
		}
		if !r.srv.health.Down() { // which has been said
			r.srv.unstored.WarnOf(asError(err).Message, r.srv.log, "chat: not stored", "room", r.id, "changes", len(changes), "error", err)
		}
		return
	}
	for i, c := range group {
		c.result = results[i]
		c.result.Message.Room, c.result.Room.ID = r.id, r.id
	}
	r.publish(group)
	published = true
}

// errNotKnown is the result of a commit while nobody knows a better one.
var errNotKnown = (&Error{Code: CodeInternal, Message: "internal error"}).WithCause(ErrUnknown)

// store appends changes to the log, and to a new one where the store has lost
// the room.
func (r *liveRoom) store(known Position, changes []Change) (results []Result, err error) {
	results, err = r.write(known, changes)
	if err != nil || len(results) == 0 || !errors.Is(results[0].Err, ErrLost) {
		return results, err
	}
	again, err := r.recreate(changes)
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
		for i := range results {
			results[i].Err = guard(func() error { return results[i].Err })
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
			r.markStale()
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
	if !r.Topic.Append(last.Epoch, first.Rev-1, last.Rev, false, frames) {
		r.markStale() // something is missing; nobody's answer waits until it is read
	}
}

// review looks whether what a group has found in the store, without changing
// anything, is news to the topic: a retry finds the message that an append of
// unknown outcome has written.
func (r *liveRoom) review(group []*commit) {
	epoch, head := r.Topic.Head()
	for _, c := range group {
		if at := c.result.Position; c.result.Err == nil && (at.Epoch != epoch || at.Rev > head) && head >= 0 {
			r.markStale()
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
	case ChangeCreateRoom, ChangeUpdateRoom:
		// Nobody is asked for names here: the whole room waits for its
		// committer.
		w := r.srv.wireRoom(&res.Room, r.srv.names.Known)
		return wire.Seal(wire.AppendRoom(wire.NewFrame(256), &w))
	}
	// What a frame of another kind says would be wrong. The room goes on, and
	// reads the change from the store.
	panic(fmt.Sprintf("chat: no frame for a change of kind %d", c.change.Kind))
}
