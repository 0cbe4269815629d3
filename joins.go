package chat

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// joinedUsers is the part of a joined frame that who is there may take at
// least: one in so many.
const joinedUsers = 8

// crowds are lists of who is online, for as long as it takes to encode them.
var crowds = sync.Pool{New: func() any { return new([]wire.User) }}

// joinCommand has its session follow a room.
var joinCommand = command{
	typ: CmdJoin, class: ClassJoin,
	take: func(c *call) {
		w := &c.wire
		c.takeJoin(wire.Join{Room: w.Room, User: w.User, Epoch: w.Epoch, History: w.History, After: w.After})
	},
	run: (*call).joinRoom, silent: true, // the joined frame has to go out before the room's own
}

// leaveCommand ends what joinCommand has begun.
var leaveCommand = command{typ: CmdLeave, class: ClassJoin, run: (*call).leaveRoom}

// takeJoin takes which room is joined, and from where on.
func (c *call) takeJoin(j wire.Join) {
	c.join = j
	c.cmd.Room = j.Room
	if j.User != "" {
		c.cmd.Peer = j.User
		c.cmd.Room = DirectID(c.cmd.User.ID, j.User)
	}
}

// joinRoom subscribes a session to a room. Whether it starts with a page of
// history or goes on from where it was, the client is told what it has joined
// before anything else of the room.
func (c *call) joinRoom(ctx context.Context, _ visit) error {
	s, sess, cmd := c.srv, c.s, &c.cmd
	if sess == nil {
		return Errorf(CodeUnsupported, "only a WebSocket can join")
	}
	r := s.acquire(cmd.Room)
	// The topic is there before anything is read: what is committed from here
	// on moves its head, so that nothing can fall between the page that is read
	// now and the cursor that follows it.
	joined, after, err := c.enter(ctx, r)
	// A second join is a new start: the old cursor is of no use any more.
	var again *subscription
	if err == nil {
		again = sess.unlink(cmd.Room)
		sess.mu.Lock()
		if int(sess.nsubs) >= s.opt.Limits.Rooms {
			err = (&Error{Code: CodeTooLarge, Message: "too many rooms joined"}).WithField("room")
		} else {
			sess.nsubs++ // nobody else of this session joins meanwhile
		}
		sess.mu.Unlock()
	}
	if err != nil {
		r.release()
		return err
	}
	who := sess.user()
	_ = r.presence.Load(ctx) // see LoadSoon, below
	r.presence.Join(who)
	if again != nil {
		again.end(who, true)
	}
	resume := after >= 0
	if !resume {
		after = joined.Head
	}
	joined.Ref, joined.Room = c.wire.Ref, r.id
	users := crowds.Get().(*[]wire.User)
	joined.Online, *users, _ = r.presence.List(*users, "", s.opt.Limits.Presence, c.spare+s.opt.Limits.PageBytes/joinedUsers)
	joined.Users = *users
	began := false
	sess.encoded(func(b []byte) []byte { return wire.AppendJoined(b, joined) }, func(frame []byte) {
		for err == nil {
			sess.mu.Lock()
			switch {
			case sess.ended:
				sess.mu.Unlock()
				return
			case c.current():
				// Under the session's lock, so that the end of the session, or of
				// a permission, finds either nothing or all of it.
				sess.conn.Write(frame)
				sub := &subscription{}
				r.Topic.Attach(&sub.Sub, sess, joined.Epoch, after, joined.Head, resume)
				sub.next = sess.subs
				sess.subs = sub
				began = true
				sess.mu.Unlock()
				return
			}
			sess.mu.Unlock()
			err = c.readable(ctx, r)
		}
		sess.mu.Lock()
		sess.nsubs--
		sess.mu.Unlock()
		if again != nil { // it is over, and this one has not taken its place
			sess.send(func(b []byte) []byte { return wire.AppendLeft(b, r.id, string(CodeForbidden)) })
		}
	})
	clear(*users)
	*users = (*users)[:0]
	crowds.Put(users)
	if !began {
		r.presence.Leave(who, err != nil)
		r.release()
		return err
	}
	r.wakeCommitter() // what has been told while nobody was here
	r.presence.LoadSoon()
	if !c.current() {
		// The room may have been removed, and who did it not have found us here.
		s.recheck(ctx, sess, r, false)
	}
	return nil
}

// enter finds out what a join gets: the joined frame, and where the cursor
// goes on from; -1 means from the head. A public or direct room that does not
// exist is made on the way if the user may.
func (c *call) enter(ctx context.Context, r *liveRoom) (*wire.Joined, int64, error) {
	s, j := c.srv, &c.join
	if !ValidRoomID(c.cmd.Room) {
		return nil, 0, (&Error{Code: CodeInvalid, Message: "not a room id"}).WithField("room")
	}
	if c.cmd.Room == controlRoom {
		return nil, 0, errNoRoom
	}
	resume := j.After >= 0
	n := min(j.History, s.opt.Limits.MaxHistory)
	if j.History < 0 {
		n = s.opt.Limits.History
	}
	if resume {
		if joined := c.resumeFromRing(ctx, r); joined != nil {
			return joined, j.After, nil
		}
		n = 0
	}
	c.permitted()
	page, err := r.messages(ctx, Query{Limit: n})
	if errors.Is(err, ErrNotFound) && r.remembered() {
		if err = r.vanished(); err == nil {
			page, err = r.messages(ctx, Query{Limit: n})
		}
	}
	if errors.Is(err, ErrNotFound) {
		if err = c.createByJoining(ctx, r); err == nil {
			page, err = r.messages(ctx, Query{Limit: n})
		}
	}
	if err != nil {
		return nil, 0, err
	}
	if err := s.may(ctx, c.cmd.User, ActionRead, page.Room); err != nil {
		s.refused(ctx, c.cmd.User.ID, r, err)
		return nil, 0, err
	}
	after := int64(-1)
	joined := &wire.Joined{Epoch: page.Head.Epoch, Head: page.Head.Rev}
	if resume {
		if r.continues(Position{Epoch: j.Epoch, Rev: j.After}, &page) {
			after = j.After
		} else {
			joined.Reset = true
			if page, err = r.messages(ctx, Query{Limit: s.opt.Limits.History}); err != nil {
				return nil, 0, err
			}
			joined.Epoch, joined.Head = page.Head.Epoch, page.Head.Rev
		}
	}
	state := s.wireRoom(page.Room, s.names.Many(ctx, page.Room.Peers))
	state.ID = r.id
	joined.State = &state
	var cut bool
	var size int
	left := s.opt.Limits.PageBytes - roomSize(&state) - s.opt.Limits.PageBytes/joinedUsers
	joined.Messages, cut, size = r.wireMessages(ctx, page.Messages, toNewest, left)
	joined.More = page.More || cut
	c.spare = max(left-size, 0)
	return joined, after, nil
}

// resumeFromRing lets a client that is hardly behind go on without asking the
// store: thousands do at once when a network or a server comes back. It
// returns nil where the store has to be asked.
func (c *call) resumeFromRing(ctx context.Context, r *liveRoom) *wire.Joined {
	s, j := c.srv, &c.join
	c.permitted()
	epoch, head, ok := r.Topic.Holds(j.Epoch, j.After)
	r.mu.Lock()
	info := r.info
	r.mu.Unlock()
	if !ok || info == nil || r.fresh() == nil && !s.health.Down() || s.may(ctx, c.cmd.User, ActionRead, info) != nil {
		return nil
	}
	// Some of what the ring holds may not be to be had any more. While the store
	// does not answer nobody can tell, and who is hardly behind goes on.
	if floor, err := r.floor(ctx); j.After < floor || err != nil && !unanswered(err) {
		return nil
	}
	state := s.wireRoom(info, s.names.Many(ctx, info.Peers))
	return &wire.Joined{Epoch: epoch, Head: head, State: &state}
}

// createByJoining makes the public or direct room that somebody wants to join.
func (c *call) createByJoining(ctx context.Context, r *liveRoom) error {
	info := RoomInfo{ID: r.id, Kind: RoomPublic, CreatedBy: c.cmd.User.ID}
	if c.cmd.Peer != "" {
		info.Kind, info.Peers = RoomDirect, sortedPeers(c.cmd.User.ID, c.cmd.Peer)
	} else if r.id[0] == '~' {
		return errNoRoom // ours; a direct room is joined by its peer
	}
	if err := c.srv.may(ctx, c.cmd.User, ActionCreate, &info); err != nil {
		return err
	}
	if err := c.mayMake(ctx); err != nil {
		return err
	}
	_, err := r.commit(ctx, &commit{change: Change{Kind: ChangeCreateRoom, Room: info}, trace: c.cmd.TraceID})
	if errors.Is(err, ErrConflict) {
		return nil // somebody else was faster
	}
	return err
}

// leaveRoom ends a session's subscription.
func (c *call) leaveRoom(context.Context, visit) error {
	if c.s == nil {
		return Errorf(CodeUnsupported, "only a WebSocket can leave")
	}
	sub := c.s.unlink(c.cmd.Room)
	if sub == nil {
		return (&Error{Code: CodeNotFound, Message: "not joined"}).WithField("room")
	}
	sub.end(c.s.user(), true)
	return nil
}

// joins are the rooms of one frame that are still to be joined.
type joins struct {
	ref  string
	rest []wire.Join
}

// joinMany has the rooms of one frame joined, each by a command of its own to
// the middleware, and answered by itself. The frame keeps the turn until all
// are joined, and each waits until the answer before it has gone out: what one
// frame leads to is made as fast as the client reads.
func (s *session) joinMany(c *call) {
	seen := make(map[string]struct{}, len(c.wire.Rooms))
	for i, j := range c.wire.Rooms {
		room, field := j.Room, "room"
		if j.User != "" {
			room, field = DirectID(c.cmd.User.ID, j.User), "user"
		}
		if _, twice := seen[room]; twice {
			s.refuse(c, &Error{Code: CodeInvalid, Message: "the same room twice", Field: fmt.Sprintf("rooms[%d].%s", i, field)})
			return
		}
		seen[room] = struct{}{}
	}
	s.mu.Lock()
	s.inbox.SetRest(&joins{c.wire.Ref, c.wire.Rooms})
	s.mu.Unlock()
	c.wire.Rooms = nil
}

// joinNext joins the next room of a frame.
func (s *session) joinNext(c *call, f *joins) {
	j := f.rest[0]
	s.mu.Lock()
	if f.rest = f.rest[1:]; len(f.rest) == 0 {
		s.inbox.SetRest(nil)
	}
	s.mu.Unlock()
	c.wire = wire.NewCommand(wire.TypeJoin)
	c.wire.Ref = f.ref
	c.cmd.Type, c.cmd.Ref = CmdJoin, f.ref
	if !s.speaks(c) {
		return
	}
	c.takeJoin(j)
	s.answer(c, s.srv.dispatch(s.srv.ctx, c))
}

// subscription is a session's cursor into a room.
type subscription struct {
	hub.Sub
	next *subscription
}

// room is what the subscription holds a reference to, once it is attached.
func (sub *subscription) room() *liveRoom { return sub.Topic().Log().(*liveRoom) }

// end detaches a subscription. said tells that the user meant to leave.
func (sub *subscription) end(who *names.Identity, said bool) {
	r := sub.room()
	sub.Detach()
	if r.presence.Leave(who, said) {
		r.presence.SetTyping(who.Public(), false)
	}
	r.release()
}

// unlink takes the session's subscription to a room off its list and returns
// it, or nil.
func (s *session) unlink(room string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := &s.subs; *p != nil; p = &(*p).next {
		if sub := *p; sub.room().id == room {
			*p = sub.next
			sub.next = nil
			s.nsubs--
			return sub
		}
	}
	return nil
}

// rooms returns the rooms that the session is in; the caller releases them.
func (s *session) rooms() (list []*liveRoom) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := s.subs; sub != nil; sub = sub.next {
		r := sub.room()
		r.hold()
		list = append(list, r)
	}
	return list
}

// follows reports whether the session is in the room.
func (s *session) follows(room string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := s.subs; sub != nil; sub = sub.next {
		if sub.room().id == room {
			return true
		}
	}
	return false
}
