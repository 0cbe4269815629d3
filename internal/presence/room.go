package presence

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// Room is who is in a room, by user: a second session changes nothing, and
// neither does a drop that is mended within the grace, or being there on
// another server too. Rooms are many, so it is small. All methods are safe for
// concurrent use.
type Room struct {
	topic *hub.Topic // of a Home

	mu     sync.Mutex
	told   uint32   // tick of the last frame of news
	due    bool     // a newsTimer is set
	people []person // by user id
	news   *news    // nil: there is none
	typing *typing  // nil while nobody types
	remote *remote  // nil where no other server has said anything of the room
}

// Home is what a Room is a part of, and its topic is of.
type Home interface {
	hub.Log
	Board() *Board
	ID() string // of the room
	// Hold takes a further reference, which Release gives back. Neither waits
	// for anything that calls a Room.
	Hold()
	Release()
}

// person is one user in a room. Rooms are many and so are people, so it is 16
// bytes.
type person struct {
	who      *names.Identity
	sessions int32  // on this server
	drops    uint16 // tells the drops apart
	dropped  bool   // has no session any more, but a grace to come back in
}

// local reports whether the person is there because of this server.
func (p *person) local() bool { return p.sessions > 0 || p.dropped }

// Init makes the room that of a topic, which is of its Home. It comes first.
func (r *Room) Init(topic *hub.Topic) { r.topic = topic }

// Home is what the room is a part of.
func (r *Room) Home() Home { return r.topic.Log().(Home) }

func (r *Room) board() *Board { return r.Home().Board() }

// find returns where the user is on the list, or would be. The lock is held, as
// it is wherever a method is not exported, if not said otherwise.
func (r *Room) find(user string) (int, bool) {
	return slices.BinarySearchFunc(r.people, user, func(a person, id string) int {
		return strings.Compare(a.who.ID(), id)
	})
}

// insert is slices.Insert for lists that are many and mostly short: they grow
// by an eighth instead of doubling.
func insert[T any](list []T, i int, v T) []T {
	if n := len(list); n == cap(list) {
		list = append(make([]T, 0, n+1+n/8), list...)
	}
	return slices.Insert(list, i, v)
}

// Join counts a session of the user in.
func (r *Room) Join(who *names.Identity) {
	r.mu.Lock()
	i, ok := r.find(who.ID())
	if !ok {
		r.people = insert(r.people, i, person{})
		r.addNews(who, true)
	}
	p := &r.people[i]
	fresh := !p.local()
	p.who, p.dropped = who, false
	p.sessions++
	if fresh {
		r.publish(who, false)
	}
	var frame []byte
	if !ok {
		frame = r.newsFrame(time.Now())
	}
	r.mu.Unlock()
	r.signal(frame)
}

// Leave counts a session of the user out and reports whether it was the last.
// Then the user is gone at once if they meant to leave, else after the grace.
func (r *Room) Leave(who *names.Identity, meant bool) (last bool) {
	r.mu.Lock()
	i, ok := r.find(who.ID())
	if !ok || r.people[i].sessions == 0 {
		r.mu.Unlock()
		return false
	}
	p := &r.people[i]
	if p.sessions--; p.sessions > 0 {
		r.mu.Unlock()
		return false
	}
	if b := r.board(); !meant && !b.opt.Closing() {
		p.drops++
		p.dropped = true
		r.Home().Hold()
		b.opt.Timers.At(time.Now().Add(b.opt.LeaveGrace), &graceTimer{r, who.ID(), p.drops})
		r.mu.Unlock()
		return true
	}
	frame := r.left(who, time.Now())
	r.mu.Unlock()
	r.signal(frame)
	return true
}

// left notes that a person has no session here any more, and takes them off the
// list unless another server has one.
func (r *Room) left(who *names.Identity, now time.Time) []byte {
	if !r.board().opt.Closing() {
		// Of a server that goes, the others forget everybody when its lease
		// has run out: by then they are back somewhere else.
		r.publish(who, true)
	}
	r.removeAbsent(who.ID())
	return r.newsFrame(now)
}

// removeAbsent takes the user off the list if they are neither here nor on
// another server.
func (r *Room) removeAbsent(user string) {
	if i, ok := r.find(user); ok && !r.people[i].local() && !r.remote.has(user) {
		r.addNews(r.people[i].who, false)
		r.people = slices.Delete(r.people, i, i+1)
		if len(r.people) == 0 {
			r.people = nil
		}
	}
}

// publish tells the other servers, where there are any, that a user has come to
// the room on this one or is gone.
func (r *Room) publish(who *names.Identity, gone bool) {
	if h := r.Home(); h.Board().Shared() {
		h.Board().publish(h.ID(), who, gone)
	}
}

// graceTimer ends the time in which a user who dropped may come back unnoticed.
type graceTimer struct {
	room  *Room
	user  string
	drops uint16
}

func (g *graceTimer) Ring(now time.Time) {
	r := g.room
	var frame []byte
	r.mu.Lock()
	if i, ok := r.find(g.user); ok && r.people[i].dropped && r.people[i].drops == g.drops {
		p := &r.people[i]
		p.dropped = false
		frame = r.left(p.who, now)
	}
	r.mu.Unlock()
	r.signal(frame)
	r.Home().Release()
}

// signal sends a frame to everybody who is here. The lock is not held.
func (r *Room) signal(frame []byte) {
	if frame != nil {
		r.topic.Signal(frame)
	}
}

// Count returns how many users are in the room.
func (r *Room) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.people)
}

// IDs returns the ids of all users in the room, sorted.
func (r *Room) IDs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make([]string, 0, len(r.people))
	for i := range r.people {
		ids = append(ids, r.people[i].who.ID())
	}
	return ids
}

// List returns how many users are in the room and, appended to users, the first
// of them by id, after the given one: at most limit, and so many bytes.
func (r *Room) List(users []wire.User, after string, limit, bytes int) (count int, list []wire.User, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.find(after)
	if ok {
		i++
	}
	rest := r.people[i:]
	for i := range rest {
		u := rest[i].who.Public()
		if i >= limit || i > 0 && bytes < wire.UserSize(&u) {
			return len(r.people), users, true
		}
		users, bytes = append(users, u), bytes-wire.UserSize(&u)
	}
	return len(r.people), users, false
}
