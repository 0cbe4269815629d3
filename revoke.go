package chat

import (
	"context"
	"errors"
	"hash/maphash"
	"sync/atomic"

	"github.com/gabblehq/chat/internal/wire"
)

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
func (c *call) permitted(s *Server) {
	c.revoked = s.revoked.count(c.cmd.Room).Load()
	if c.s != nil {
		c.as = c.s.user()
	}
}

// current reports whether the permission that was checked is as good as new: no
// other has ended since, and the session's user is who it was then.
func (c *call) current(s *Server) bool {
	if c.s != nil && c.s.user() != c.as {
		return false
	}
	return s.revoked.count(c.cmd.Room).Load() == c.revoked
}

// again checks once more whether the command's user may read its room.
func (s *Server) again(ctx context.Context, c *call, r *liveRoom) error {
	c.permitted(s)
	user := c.cmd.User
	if c.as != nil {
		user = s.user(c.as)
	}
	info, err := r.settings(ctx)
	if errors.Is(err, ErrNotFound) {
		return errNoRoom
	}
	if err != nil {
		return err
	}
	return s.may(ctx, user, ActionRead, info)
}

// show sends a reply that shows what is in the command's room, if the user may
// still read it.
func (s *session) show(c *call, encode func(b []byte) []byte) {
	s.encoded(encode, func(frame []byte) {
		for {
			s.mu.Lock()
			if c.current(s.srv) {
				s.conn.Write(frame)
				s.mu.Unlock()
				return
			}
			s.mu.Unlock()
			r := s.srv.acquire(c.cmd.Room)
			err := s.srv.again(s.srv.ctx, c, r)
			r.release()
			if err != nil {
				s.answer(c, err)
				return
			}
		}
	})
}

// showRooms is show for the list of rooms, which is made again where any
// permission has ended meanwhile.
func (s *session) showRooms(c *call) {
	for tries := 0; ; tries++ {
		c.rooms.Ref = c.wire.Ref
		began := false
		s.encoded(func(b []byte) []byte { return wire.AppendRooms(b, &c.rooms) }, func(frame []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if began = c.rooms.Rooms == nil || c.revoked == s.srv.revoked.all() && s.user() == c.as; began {
				s.conn.Write(frame)
			}
		})
		if began {
			return
		}
		err := error(errTooManyRevoked)
		if tries < maxListings {
			c.cmd.User = s.srv.user(s.user())
			err = s.srv.listRooms(s.srv.ctx, c)
		}
		if err != nil {
			s.answer(c, err)
			return
		}
	}
}

// maxListings is how often a list of rooms is made anew at most.
const maxListings = 8

var errTooManyRevoked = &Error{Code: CodeUnavailable, Message: "permissions change too fast", RetryAfter: retryStore}

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
