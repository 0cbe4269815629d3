package job

import (
	"sync"

	"github.com/gabblehq/chat/internal/wire"
)

// Conn is one connection of a library.
type Conn interface {
	// Send sends one message, or queues it. It must not block for long, since
	// the room waits, and may be called concurrently. The payload is shared.
	Send(payload []byte)
}

// Broadcast sends one payload to all members.
type Broadcast func(members map[Conn]struct{}, payload []byte)

// ToEach is the broadcast of a library that has none.
func ToEach(members map[Conn]struct{}, payload []byte) {
	for c := range members {
		c.Send(payload)
	}
}

// Rooms is all rooms of a server that keeps members in a map under a mutex, as
// most documentation does. It may be used concurrently.
type Rooms struct {
	broadcast Broadcast
	mu        sync.RWMutex
	rooms     map[string]*room
}

type room struct {
	mu      sync.Mutex
	log     *Log
	members map[Conn]struct{}
}

// NewRooms returns rooms without members.
func NewRooms(b Broadcast) *Rooms { return &Rooms{broadcast: b, rooms: make(map[string]*room)} }

func (rs *Rooms) room(name string) *room {
	rs.mu.RLock()
	r := rs.rooms[name]
	rs.mu.RUnlock()
	if r != nil {
		return r
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r = rs.rooms[name]; r == nil {
		r = &room{log: NewLog(name), members: make(map[Conn]struct{})}
		rs.rooms[name] = r
	}
	return r
}

// Session is what a connection may do. It must not be used concurrently.
type Session struct {
	rooms  *Rooms
	conn   Conn
	user   wire.User
	joined []*room
}

// Enter greets a connection.
func (rs *Rooms) Enter(c Conn, u wire.User) *Session {
	c.Send(Welcome(u))
	return &Session{rooms: rs, conn: c, user: u}
}

// Handle carries out a command of the client. The payload is not kept.
func (s *Session) Handle(payload []byte) {
	var cmd wire.Command
	if err := cmd.Decode(payload); err != nil {
		s.conn.Send(Refused(cmd.Ref, err.Error()))
		return
	}
	r := s.rooms.room(cmd.Room)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch cmd.Type {
	case wire.TypeJoin:
		r.members[s.conn] = struct{}{}
		s.joined = append(s.joined, r)
		s.conn.Send(r.log.Joined(cmd.Ref))
	case wire.TypeMessage:
		message, ack := r.log.Append(s.user, &cmd)
		s.conn.Send(ack)
		s.rooms.broadcast(r.members, message)
	default:
		s.conn.Send(Refused(cmd.Ref, "not part of this job"))
	}
}

// Leave takes the connection out of its rooms.
func (s *Session) Leave() {
	for _, r := range s.joined {
		r.mu.Lock()
		delete(r.members, s.conn)
		r.mu.Unlock()
	}
	s.joined = nil
}
