package chat

import (
	"slices"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// presence is who is in a room on this server, by user: a second session
// changes nothing, and neither does a drop that is mended within the grace.
// The room's lock guards it.
type presence struct {
	here []person // by user id
	news *presenceNews
	last int64 // when the last frame went out, Unix milliseconds
}

// person is one user in a room. Rooms are many and so are people, so it is 16
// bytes.
type person struct {
	who      *User
	sessions int32  // 0: has dropped, and is about to be shown as gone
	drops    uint32 // tells the drops apart
}

// presenceNews is what has not been told yet.
type presenceNews struct{ join, leave []*User }

const (
	// presenceEvery is how far apart presence frames of a room are at least.
	presenceEvery = time.Second
	// presenceNames is how many names a presence frame has in a large room.
	presenceNames = 20
)

func (p *presence) find(user string) (int, bool) {
	return slices.BinarySearchFunc(p.here, user, func(a person, id string) int {
		return strings.Compare(a.who.ID, id)
	})
}

// arrive counts a session of the user in.
func (r *liveRoom) arrive(who *User) {
	r.mu.Lock()
	i, ok := r.here.find(who.ID)
	if ok {
		r.here.here[i].sessions++
		r.here.here[i].who = who
		r.mu.Unlock()
		return
	}
	r.here.here = slices.Insert(r.here.here, i, person{who: who, sessions: 1})
	r.here.note(who, true)
	frame := r.presenceFrame(time.Now())
	r.mu.Unlock()
	r.signal(frame)
}

// depart counts a session of the user out and reports whether it was the last.
// Then the user is gone at once if they said so, else after the grace.
func (r *liveRoom) depart(who *User, said bool) (last bool) {
	r.mu.Lock()
	i, ok := r.here.find(who.ID)
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
		r.hold()
		r.srv.timers.at(time.Now().Add(r.srv.opt.Limits.LeaveGrace), &grace{r, who.ID, p.drops})
		r.mu.Unlock()
		return true
	}
	frame := r.gone(i, time.Now())
	r.mu.Unlock()
	r.signal(frame)
	return true
}

// gone takes a person off the list. The room's lock is held.
func (r *liveRoom) gone(i int, now time.Time) []byte {
	who := r.here.here[i].who
	r.here.here = slices.Delete(r.here.here, i, i+1)
	if len(r.here.here) == 0 {
		r.here.here = nil
	}
	r.here.note(who, false)
	return r.presenceFrame(now)
}

// grace is the time in which a user who dropped may come back unnoticed.
type grace struct {
	room  *liveRoom
	user  string
	drops uint32
}

func (g *grace) ring(now time.Time) {
	r := g.room
	var frame []byte
	r.mu.Lock()
	if i, ok := r.here.find(g.user); ok && r.here.here[i].sessions == 0 && r.here.here[i].drops == g.drops {
		frame = r.gone(i, now)
	}
	r.mu.Unlock()
	r.signal(frame)
	r.release()
}

// note adds to the news. Somebody who came and went in between is no news.
func (p *presence) note(who *User, joined bool) {
	if p.news == nil {
		p.news = &presenceNews{}
	}
	list, other := &p.news.join, &p.news.leave
	if !joined {
		list, other = other, list
	}
	if i := slices.IndexFunc(*other, func(u *User) bool { return u.ID == who.ID }); i >= 0 {
		*other = slices.Delete(*other, i, i+1)
		return
	}
	*list = append(*list, who)
}

// presenceFrame returns the frame that tells the news, or nil when there are
// none or their time has not come. The room's lock is held.
func (r *liveRoom) presenceFrame(now time.Time) []byte {
	p := &r.here
	if p.news == nil {
		return nil
	}
	if wait := time.UnixMilli(p.last).Add(presenceEvery).Sub(now); wait > 0 {
		if p.last >= 0 && !r.presenceDue {
			r.presenceDue = true
			r.hold()
			r.srv.timers.at(now.Add(wait), (*presenceTimer)(r))
		}
		return nil
	}
	news := p.news
	p.news, p.last = nil, now.UnixMilli()
	if len(news.join)+len(news.leave) == 0 || r.Topic.Len() == 0 {
		return nil
	}
	names := len(news.join) + len(news.leave)
	if len(p.here) > r.srv.opt.Limits.Presence {
		names = presenceNames
	}
	f := wire.Presence{Room: r.id, Online: len(p.here)}
	for _, u := range news.join[:min(names, len(news.join))] {
		f.Join = append(f.Join, public(u))
	}
	for _, u := range news.leave[:min(names-len(f.Join), len(news.leave))] {
		f.Leave = append(f.Leave, public(u))
	}
	return wire.Seal(wire.AppendPresence(wire.NewFrame(128), &f))
}

// presenceTimer tells the news that had to wait.
type presenceTimer liveRoom

func (t *presenceTimer) ring(now time.Time) {
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

// online returns how many users are here and the first of them by id, after
// the given one.
func (r *liveRoom) online(after string, limit int) (count int, users []wire.User, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.here.find(after)
	if ok {
		i++
	}
	rest := r.here.here[i:]
	for _, p := range rest[:min(limit, len(rest))] {
		users = append(users, public(p.who))
	}
	return len(r.here.here), users, len(rest) > limit
}
