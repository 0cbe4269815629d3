package chat

import (
	"slices"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// presence is who is in a room, by user: a second session changes nothing, and
// neither does a drop that is mended within the grace, or being there on
// another server too. The room's lock guards it.
type presence struct {
	here []person // by user id
	news *presenceNews
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

// presenceNews is what has not been told yet: who has come and who has gone, in
// the order in which they have.
type presenceNews struct {
	list  []presenceChange
	at    map[string]int // where a user is in the list; nil while it is short
	count int            // of changes that have not been taken back
}

// presenceChange is one user who has come or gone; nil has been taken back.
type presenceChange struct {
	who    *names.Identity
	joined bool
}

// shortNews is up to how many changes are looked through one by one.
const shortNews = 16

const (
	// presenceEvery is how far apart presence frames of a room are at least.
	presenceEvery = time.Second
	// presenceNames is how many names a presence frame has in a large room.
	presenceNames = 20
)

func (p *presence) find(user string) (int, bool) {
	return slices.BinarySearchFunc(p.here, user, func(a person, id string) int {
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

// arrive counts a session of the user in.
func (r *liveRoom) arrive(who *names.Identity) {
	r.mu.Lock()
	i, ok := r.here.find(who.ID())
	if !ok {
		r.here.here = insert(r.here.here, i, person{})
		r.here.note(who, true)
	}
	p := &r.here.here[i]
	fresh := !p.local()
	p.who, p.dropped = who, false
	p.sessions++
	if fresh {
		r.announce(who, false)
	}
	var frame []byte
	if !ok {
		frame = r.presenceFrame(time.Now())
	}
	r.mu.Unlock()
	r.signal(frame)
}

// announce tells the other servers, where there are any, that a user has come
// to the room on this one or is gone. The room's lock is held.
func (r *liveRoom) announce(who *names.Identity, gone bool) {
	if c := r.srv.cluster; c != nil && c.attendance != nil {
		c.attendance.say(r.id, who, gone)
	}
}

// depart counts a session of the user out and reports whether it was the last.
// Then the user is gone at once if they said so, else after the grace.
func (r *liveRoom) depart(who *names.Identity, said bool) (last bool) {
	r.mu.Lock()
	i, ok := r.here.find(who.ID())
	if !ok || r.here.here[i].sessions == 0 {
		r.mu.Unlock()
		return false
	}
	p := &r.here.here[i]
	if p.sessions--; p.sessions > 0 {
		r.mu.Unlock()
		return false
	}
	if !said && !r.srv.closing.Load() {
		p.drops++
		p.dropped = true
		r.hold()
		r.srv.timers.At(time.Now().Add(r.srv.opt.Limits.LeaveGrace), &grace{r, who.ID(), p.drops})
		r.mu.Unlock()
		return true
	}
	frame := r.departed(who, time.Now())
	r.mu.Unlock()
	r.signal(frame)
	return true
}

// departed notes that a person has no session here any more, and takes them off
// the list unless another server has one. The room's lock is held.
func (r *liveRoom) departed(who *names.Identity, now time.Time) []byte {
	if !r.srv.closing.Load() {
		// Of a server that goes, the others forget everybody when its lease
		// has run out: by then they are back somewhere else.
		r.announce(who, true)
	}
	r.vacate(who.ID())
	return r.presenceFrame(now)
}

// grace is the time in which a user who dropped may come back unnoticed.
type grace struct {
	room  *liveRoom
	user  string
	drops uint16
}

func (g *grace) Ring(now time.Time) {
	r := g.room
	var frame []byte
	r.mu.Lock()
	if i, ok := r.here.find(g.user); ok && r.here.here[i].dropped && r.here.here[i].drops == g.drops {
		p := &r.here.here[i]
		p.dropped = false
		frame = r.departed(p.who, now)
	}
	r.mu.Unlock()
	r.signal(frame)
	r.release()
}

// note adds to the news. Somebody who came and went in between is no news.
func (p *presence) note(who *names.Identity, joined bool) {
	if p.news == nil {
		p.news = &presenceNews{}
	}
	p.news.add(who, joined)
}

func (n *presenceNews) add(who *names.Identity, joined bool) {
	if i := n.find(who.ID()); i >= 0 && n.list[i].joined != joined {
		n.list[i].who = nil
		delete(n.at, who.ID())
		n.count--
		return
	}
	n.list = append(n.list, presenceChange{who, joined})
	n.count++
	if n.at != nil {
		n.at[who.ID()] = len(n.list) - 1
	} else if len(n.list) > shortNews {
		n.at = make(map[string]int, 2*len(n.list))
		for i, c := range n.list {
			if c.who != nil {
				n.at[c.who.ID()] = i
			}
		}
	}
}

// find returns where the user's change is, -1 where there is none.
func (n *presenceNews) find(user string) int {
	if n.at != nil {
		if i, ok := n.at[user]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(n.list, func(c presenceChange) bool { return c.who != nil && c.who.ID() == user })
}

// names returns up to max users who have come or have gone.
func (n *presenceNews) names(joined bool, max int) (list []wire.User) {
	for _, c := range n.list {
		if len(list) >= max {
			break
		}
		if c.who != nil && c.joined == joined {
			list = append(list, c.who.Public())
		}
	}
	return list
}

// presenceFrame returns the frame that tells the news, or nil when there are
// none or their time has not come. The room's lock is held.
func (r *liveRoom) presenceFrame(now time.Time) []byte {
	p := &r.here
	if p.news == nil {
		return nil
	}
	tick := r.srv.tick(now)
	if since := time.Duration(tick-r.presenceAt) * time.Millisecond; since < presenceEvery {
		wait := presenceEvery - since
		if !r.presenceDue {
			r.presenceDue = true
			r.hold()
			r.srv.timers.At(now.Add(wait), (*presenceTimer)(r))
		}
		return nil
	}
	news := p.news
	p.news, r.presenceAt = nil, tick
	if news.count == 0 || r.Topic.Len() == 0 {
		return nil
	}
	names := news.count
	if len(p.here) > r.srv.opt.Limits.Presence {
		names = presenceNames
	}
	f := wire.Presence{Room: r.id, Online: len(p.here)}
	var left int
	f.Join, left = fitting(news.names(true, names), r.srv.opt.Limits.PageBytes)
	f.Leave, _ = fitting(news.names(false, names-len(f.Join)), left)
	return wire.Seal(wire.AppendPresence(wire.NewFrame(128), &f))
}

// presenceTimer tells the news that had to wait.
type presenceTimer liveRoom

func (t *presenceTimer) Ring(now time.Time) {
	r := (*liveRoom)(t)
	r.mu.Lock()
	r.presenceDue = false
	frame := r.presenceFrame(now)
	r.mu.Unlock()
	r.signal(frame)
	r.release()
}

// signal sends a frame that is not of the log to everybody who is here.
func (r *liveRoom) signal(frame []byte) {
	if frame != nil {
		r.Topic.Signal(frame)
	}
}

// fitting returns the first of the users, the very first and as many as bytes
// allow, and how many of these are left.
func fitting(users []wire.User, bytes int) (list []wire.User, left int) {
	for i := range users {
		n := wire.UserSize(&users[i])
		if i > 0 && n > bytes {
			return users[:i], bytes
		}
		bytes -= n
	}
	return users, bytes
}

// online returns how many users are here and, appended to users, the first of
// them by id, after the given one: at most limit, and so many bytes.
func (r *liveRoom) online(users []wire.User, after string, limit, bytes int) (count int, list []wire.User, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.here.find(after)
	if ok {
		i++
	}
	rest := r.here.here[i:]
	for i := range rest {
		u := rest[i].who.Public()
		if i >= limit || i > 0 && bytes < wire.UserSize(&u) {
			return len(r.here.here), users, true
		}
		users, bytes = append(users, u), bytes-wire.UserSize(&u)
	}
	return len(r.here.here), users, false
}
