package chat

import (
	"context"
	"time"

	"github.com/gabblehq/chat/internal/presence"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
)

// newPresence returns what knows who is in the rooms of a server, and of its
// cluster where it is part of one.
func newPresence(s *Server) *presence.Board {
	l := &s.opt.Limits
	o := presence.Options{
		Start: s.start, Timers: s.timers, Names: s.names, Log: s.log,
		LeaveGrace: l.LeaveGrace, TypingExpiry: l.TypingExpiry, Listed: l.Presence, FrameBytes: l.PageBytes,
		Closing: s.closing.Load, Clean: shown,
	}
	if s.cluster != nil {
		o.Peers = s.cluster.peers()
	}
	return presence.New(o)
}

// peers are the other servers, as far as presence has to do with them.
func (c *cluster) peers() *presence.Peers {
	s := c.srv
	p := &presence.Peers{
		Node: c.node,
		Call: s.callStore,
		Signal: func(ctx context.Context, room string, data []byte) error {
			return s.callStore(ctx, func(ctx context.Context) error { return c.watcher.Signal(ctx, s.key(room), data) })
		},
		Rooms: func(yield func(*presence.Room) bool) {
			s.rooms.each(func(r *liveRoom) bool { return yield(&r.presence) })
		},
		Stale: func(room string) {
			key := s.key(room)
			c.compareSoon(func(room string) bool { return room == key })
		},
		Failed: func(err error) {
			if CodeOf(err) == CodeInternal {
				s.log.Error("chat: other servers not told who is here", "error", err)
			}
		},
	}
	if k, ok := capability[PresenceKeeper](s.opt.Store); ok {
		p.Keeper = keeper{s, k}
	}
	return p
}

// keeper is the store's, by the ids of the server's rooms.
type keeper struct {
	srv   *Server
	store PresenceKeeper
}

func (k keeper) Attend(ctx context.Context, node string, lease time.Duration, changes []presence.Seat) ([]string, bool, error) {
	var list []Attendance
	if len(changes) > 0 {
		list = make([]Attendance, len(changes))
	}
	for i := range changes {
		c := &changes[i]
		u := User{ID: c.User.ID, Name: c.User.Name, Avatar: c.User.Avatar}
		list[i] = Attendance{Room: k.srv.key(c.Room), Node: c.Node, User: u, Gone: c.Gone}
	}
	return k.store.Attend(ctx, node, lease, list)
}

func (k keeper) Attendances(ctx context.Context, rooms []string) ([]presence.Seat, error) {
	keys := make([]string, len(rooms))
	for i, id := range rooms {
		keys[i] = k.srv.key(id)
	}
	list, err := k.store.Attendances(ctx, keys)
	seats := make([]presence.Seat, 0, len(list))
	for i := range list {
		if id, ok := k.srv.roomOf(list[i].Room); ok {
			seats = appendSeats(seats, id, list[i:i+1])
		}
	}
	return seats, err
}

// appendSeats appends what has been said of a room. Most of the time that is
// little, so that the caller has memory for it.
func appendSeats(seats []presence.Seat, room string, list []Attendance) []presence.Seat {
	for i := range list {
		a := &list[i]
		u := wire.User{ID: a.User.ID, Name: a.User.Name, Avatar: a.User.Avatar}
		seats = append(seats, presence.Seat{Room: room, Node: a.Node, User: u, Gone: a.Gone})
	}
	return seats
}

// Present implements [Listener].
func (c *cluster) Present(room string, changes []Attendance) {
	defer work.Recover(c.srv.log, "a hint")
	id, ok := c.srv.roomOf(room)
	if !ok {
		return
	}
	var few [4]presence.Seat
	seats := appendSeats(few[:0], id, changes)
	var live *presence.Room
	if r := c.srv.peek(id); r != nil {
		defer r.release()
		live = &r.presence
	}
	c.srv.presence.Update(live, seats)
}

// Signal implements [Listener].
func (c *cluster) Signal(room string, data []byte) {
	defer work.Recover(c.srv.log, "a signal")
	id, ok := c.srv.roomOf(room)
	if !ok {
		return
	}
	if r := c.srv.peek(id); r != nil {
		defer r.release()
		r.presence.TakeSignal(data)
	}
}

// Board, ID, Hold and Release are for the room's presence; see presence.Home.
func (r *liveRoom) Board() *presence.Board { return r.srv.presence }
func (r *liveRoom) ID() string             { return r.id }
func (r *liveRoom) Hold()                  { r.hold() }
func (r *liveRoom) Release()               { r.release() }

// endTyping ends the typing of those whose messages come from other servers: a
// signal of its own may come late.
func (r *liveRoom) endTyping(entries []Entry) {
	if !r.presence.AnybodyTyping() {
		return
	}
	for i := range entries {
		if m := entries[i].Message; m != nil && m.FirstRev == m.Rev {
			r.presence.EndTyping(m.User)
		}
	}
}
