package presence

import (
	"slices"
	"time"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// news is what has not been told yet: who has come and who has gone, in the
// order in which they have.
type news struct {
	list  []change
	at    map[string]int // where a user is in the list; nil while it is short
	count int            // of changes that have not been taken back
}

// change is one user who has come or gone; nil has been taken back.
type change struct {
	who    *names.Identity
	joined bool
}

const (
	// shortNews is up to how many changes are looked through one by one.
	shortNews = 16
	// newsEvery is how far apart the presence frames of a room are at least.
	newsEvery = time.Second
	// namedAtMost is how many names a presence frame has in a large room.
	namedAtMost = 20
)

// addNews notes who has come or gone. Somebody who came and went in between is
// no news.
func (r *Room) addNews(who *names.Identity, joined bool) {
	if r.news == nil {
		r.news = &news{}
	}
	r.news.add(who, joined)
}

func (n *news) add(who *names.Identity, joined bool) {
	if i := n.find(who.ID()); i >= 0 && n.list[i].joined != joined {
		n.list[i].who = nil
		delete(n.at, who.ID())
		n.count--
		return
	}
	n.list = append(n.list, change{who, joined})
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
func (n *news) find(user string) int {
	if n.at != nil {
		if i, ok := n.at[user]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(n.list, func(c change) bool { return c.who != nil && c.who.ID() == user })
}

// users returns up to max users who have come or have gone.
func (n *news) users(joined bool, max int) (list []wire.User) {
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

// newsFrame returns the frame that tells the news, or nil when there is none or
// its time has not come.
func (r *Room) newsFrame(now time.Time) []byte {
	if r.news == nil {
		return nil
	}
	h := r.Home()
	o := &h.Board().opt
	tick := h.Board().tick(now)
	if since := time.Duration(tick-r.told) * time.Millisecond; since < newsEvery {
		if !r.due {
			r.due = true
			h.Hold()
			o.Timers.At(now.Add(newsEvery-since), (*newsTimer)(r))
		}
		return nil
	}
	n := r.news
	r.news, r.told = nil, tick
	if n.count == 0 || r.topic.Len() == 0 {
		return nil
	}
	named := n.count
	if len(r.people) > o.Listed {
		named = namedAtMost
	}
	f := wire.Presence{Room: h.ID(), Online: len(r.people)}
	var left int
	f.Join, left = fitting(n.users(true, named), o.FrameBytes)
	f.Leave, _ = fitting(n.users(false, named-len(f.Join)), left)
	return wire.Seal(wire.AppendPresence(wire.NewFrame(128), &f))
}

// newsTimer tells the news that had to wait.
type newsTimer Room

func (t *newsTimer) Ring(now time.Time) {
	r := (*Room)(t)
	r.mu.Lock()
	r.due = false
	frame := r.newsFrame(now)
	r.mu.Unlock()
	r.signal(frame)
	r.Home().Release()
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
