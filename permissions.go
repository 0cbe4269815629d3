package chat

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// Action is what somebody wants to do in a room.
type Action string

// The actions that Authorize is asked about.
const (
	ActionCreate   Action = "create"   // create the room, explicitly or by joining it
	ActionRead     Action = "read"     // join, read history, see who is there
	ActionWrite    Action = "write"    // send, edit and delete own messages, show as typing
	ActionModerate Action = "moderate" // edit and delete messages of others, change or delete the room
)

// Authorizer decides whether a user may do something in a room: nil means
// yes, an error no. It is asked on every command, from the room's current
// settings, so it should be quick; it may be called concurrently.
//
// Who may not read a room is told that there is none.
type Authorizer func(ctx context.Context, user User, action Action, room RoomInfo) error

// DefaultAuthorize is the table that holds where Options.Authorize is nil:
//
//	            create  read  write  moderate
//	public      yes     yes   yes    no
//	direct      peers   peers peers  no
//	others      no      no    no     no
//
// A host's own Authorizer may fall back on it. Authors may edit and delete
// their own messages wherever they may write.
func DefaultAuthorize(_ context.Context, user User, action Action, room RoomInfo) error {
	switch action {
	case ActionCreate, ActionRead, ActionWrite:
		if room.Kind == RoomPublic || room.Kind == RoomDirect && room.isPeer(user.ID) {
			return nil
		}
	}
	return &Error{Code: CodeForbidden, Message: "not allowed in this room"}
}

var errNoRoom = &Error{Code: CodeNotFound, Message: "no such room", Field: "room"}

// may asks the host whether the user may do something in a room. Who may not
// read the room learns nothing of it, not even that it is there.
func (s *Server) may(ctx context.Context, user User, action Action, info *RoomInfo) error {
	room := *info
	if s.judged { // by the host, who may do with it what it likes
		room.Peers, room.Meta = slices.Clone(room.Peers), slices.Clone(room.Meta)
	}
	err := guard(func() error { return s.opt.Authorize(ctx, user, action, room) })
	if err == nil {
		return nil
	}
	if e := asError(err); e.Code == CodeInternal || e.Code == CodeUnavailable {
		if _, ok := errors.AsType[*Error](err); ok {
			return err
		}
	}
	if action == ActionRead || action == ActionCreate {
		return errNoRoom.WithCause(err)
	}
	if s.may(ctx, user, ActionRead, info) != nil {
		return errNoRoom.WithCause(err)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return (&Error{Code: CodeForbidden, Message: "not allowed in this room"}).WithCause(err)
}

// open returns the room of a command if the user may do the action there. The
// caller releases it.
func (c *call) open(ctx context.Context, action Action) (visit, error) {
	s := c.srv
	if c.cmd.Room == controlRoom {
		return visit{}, errNoRoom
	}
	if !ValidRoomID(c.cmd.Room) {
		return visit{}, (&Error{Code: CodeInvalid, Message: "not a room id"}).WithField("room")
	}
	r := s.acquire(c.cmd.Room)
	c.permitted()
	info, err := r.settings(ctx)
	if err == nil {
		if err = s.may(ctx, c.cmd.User, action, info); err != nil {
			s.refused(ctx, c.cmd.User.ID, r, err)
		}
	} else if errors.Is(err, ErrNotFound) {
		err = errNoRoom
	}
	if err != nil {
		r.release()
		return visit{}, err
	}
	return visit{r, info}, nil
}

// revocations count how often permissions have ended, by room: several rooms
// share a count, which costs no more than a needless look.
//
// A permission may end while a command that rests on it is under way. Who ends
// it counts first, and then passes through the lock of each of the user's
// sessions; what shows a room to a session is begun under that lock, and only
// if nothing has been counted since the permission was checked. So either it
// was begun before Revoke has returned, or it is checked again.
type revocations struct {
	seed maphash.Seed
	n    [64]atomic.Uint32
}

func (v *revocations) init() { v.seed = maphash.MakeSeed() }

func (v *revocations) count(room string) *atomic.Uint32 {
	return &v.n[maphash.String(v.seed, room)%uint64(len(v.n))]
}

// all is the sum over all rooms.
func (v *revocations) all() (sum uint32) {
	for i := range v.n {
		sum += v.n[i].Load()
	}
	return sum
}

// everywhere counts for all rooms.
func (v *revocations) everywhere() {
	for i := range v.n {
		v.n[i].Add(1)
	}
}

// permitted notes what the check of the command's permission, which comes next,
// is worth: see current.
func (c *call) permitted() {
	c.checked, c.revoked = true, c.ended()
	if c.s != nil {
		c.as = c.s.user()
	}
}

// ended counts the permissions that have ended of those that the command rests on.
func (c *call) ended() uint32 {
	if c.everywhere {
		return c.srv.revoked.all()
	}
	return c.srv.revoked.count(c.cmd.Room).Load()
}

// current reports whether the permission that was checked is as good as new: no
// other has ended since, and the session's user is who it was then. Where none
// was checked, because a middleware has kept the command, nothing is shown.
func (c *call) current() bool {
	if !c.checked {
		return true
	}
	if c.s != nil && c.s.user() != c.as {
		return false
	}
	return c.ended() == c.revoked
}

// mayRead checks once more whether the command's user may read its room.
func (c *call) mayRead(ctx context.Context) error {
	r := c.srv.acquire(c.cmd.Room)
	defer r.release()
	return c.readable(ctx, r)
}

func (c *call) readable(ctx context.Context, r *liveRoom) error {
	c.permitted()
	user := c.cmd.User
	if c.as != nil {
		user = c.srv.user(c.as)
	}
	info, err := r.settings(ctx)
	if errors.Is(err, ErrNotFound) {
		return errNoRoom
	}
	if err != nil {
		return err
	}
	return c.srv.may(ctx, user, ActionRead, info)
}

// show sends a reply that shows what a permission is needed for, if the user
// still has it.
func (s *session) show(c *call, k *command) {
	for {
		reply, err := c.answer(s.srv.ctx, k.reply)
		if err == nil {
			began := false
			s.encoded(reply.AppendFrame, func(frame []byte) {
				s.mu.Lock()
				defer s.mu.Unlock()
				if began = c.current(); began {
					s.conn.Write(frame)
				}
			})
			if began {
				return
			}
			err = k.again(c, s.srv.ctx)
		}
		if err != nil {
			s.answer(c, err)
			return
		}
	}
}

// Revoke looks again whether the user may read the room and, where not, ends
// the user's subscriptions to it: when Revoke has returned, no frame of the
// room is begun to them by this server, whatever they have under way. Servers
// that share the store do the same within two seconds, once Revoke has returned
// nil; its error says that they have not been told. It is for permissions that
// only the host knows of, right after they have ended.
func (s *Server) Revoke(ctx context.Context, user, room string) error {
	if !s.inUse.Enter() {
		return ErrServerClosed
	}
	defer s.inUse.Leave()
	s.revoke(ctx, user, room)
	if s.cluster == nil {
		return nil
	}
	return s.cluster.order(ctx, controlOrder{Type: orderRevoke, User: user, Room: room})
}

// revoke looks again at the user's subscriptions to the room on this server.
func (s *Server) revoke(ctx context.Context, user, room string) {
	s.revoked.count(room).Add(1) // who is being answered is looked at again
	r := s.peek(room)
	for _, sess := range s.users.Under(user) {
		if r == nil { // nobody is in it
			sess.fence()
			continue
		}
		s.recheck(ctx, sess, r, false)
	}
	if r != nil {
		r.release()
	}
}

// refused is told that a user may not read a room, as a command has found out:
// none of their sessions is to go on receiving it.
func (s *Server) refused(ctx context.Context, user string, r *liveRoom, err error) {
	if CodeOf(err) != CodeNotFound || r.Topic.Len() == 0 {
		return
	}
	for _, sess := range s.users.Under(user) {
		if sess.follows(r.id) {
			s.recheck(ctx, sess, r, true)
		}
	}
}

// recheck ends a session's subscription if the user may not read the room, or,
// unless it has to be sure, if that cannot be found out.
func (s *Server) recheck(ctx context.Context, sess *session, r *liveRoom, sure bool) {
	code := CodeForbidden
	info, err := r.settings(ctx)
	if err == nil {
		who := sess.user()
		if who == nil {
			return
		}
		err = s.may(ctx, s.user(who), ActionRead, info)
		if err == nil {
			sess.fence()
			return
		}
	} else {
		code = CodeOf(err)
	}
	if sure && CodeOf(err) != CodeNotFound {
		return
	}
	r.expel(sess, code)
}

// recheckAll looks again whether everybody may read the rooms they are in.
func (s *Server) recheckAll() {
	s.revoked.everywhere()
	for _, sess := range s.users.All() {
		sess.recheckAll(false)
	}
}

// recheckAll looks again at the session's subscriptions.
func (s *session) recheckAll(sure bool) {
	for _, r := range s.rooms() {
		s.srv.recheck(s.srv.ctx, s, r, sure)
		r.release()
	}
}

// fence returns when nothing is being begun on the session whose permission was
// checked before this was called.
func (s *session) fence() {
	s.mu.Lock()
	defer s.mu.Unlock()
}
