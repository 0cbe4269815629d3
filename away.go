package chat

import (
	"context"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// away is a user in a room on another server.
type away struct {
	who  *names.Identity // shared by all rooms; see names.Cache
	node unique.Handle[string]
}

// compareAway orders a list by user and node.
func compareAway(a, b away) int {
	if c := strings.Compare(a.who.ID(), b.who.ID()); c != 0 {
		return c
	}
	return strings.Compare(a.node.Value(), b.node.Value())
}

// find returns where the user of the node is on the list, or would be.
func (o *others) find(user, node string) (int, bool) {
	return slices.BinarySearchFunc(o.away, user, func(a away, id string) int {
		if c := strings.Compare(a.who.ID(), id); c != 0 {
			return c
		}
		return strings.Compare(a.node.Value(), node)
	})
}

// manyChanges is from how many changes at once on the lists are made anew: each
// by itself moves what is behind it.
const manyChanges = 32

// attend reads who is in the room on other servers, where that is not known
// and nobody is reading it. After an error the room shows who is here.
func (r *liveRoom) attend(ctx context.Context) error {
	c := r.srv.cluster
	if c == nil || c.attendance == nil {
		return nil
	}
	r.mu.Lock()
	known := r.far().known() || r.others.reading > 0
	r.mu.Unlock()
	if known {
		return nil
	}
	return c.attendance.read(ctx, []*liveRoom{r})
}

// sure has the list of who is in the room on other servers read, soon, where
// that has not been possible before.
func (r *liveRoom) sure() {
	c := r.srv.cluster
	if c == nil || c.attendance == nil {
		return
	}
	r.mu.Lock()
	known := r.far().known() || r.others.reading > 0
	r.mu.Unlock()
	if key := r.key(); !known {
		c.doubtful(func(room string) bool { return room == key })
	}
}

// present takes up what other servers say of who is in the room.
func (r *liveRoom) present(changes []Attendance) {
	r.mu.Lock()
	o := r.others
	if o == nil || !o.known() && o.reading == 0 {
		r.mu.Unlock()
		return // read when it is needed
	}
	if o.reading > 0 {
		o.heard = append(o.heard, changes...)
	}
	if len(changes) > manyChanges {
		r.mergeAway(changes, false)
	} else {
		for i := range changes {
			r.setAway(&changes[i])
		}
	}
	frame := r.presenceFrame(time.Now())
	r.mu.Unlock()
	r.signal(frame)
}

// setAway takes up one change. The room's lock is held.
func (r *liveRoom) setAway(at *Attendance) {
	if at.Node == r.srv.cluster.node || !wire.ValidUserID(at.User.ID) {
		return
	}
	p, o := &r.here, r.far()
	i, ok := o.find(at.User.ID, at.Node)
	switch {
	case at.Gone && ok:
		o.away = slices.Delete(o.away, i, i+1)
		r.vacate(at.User.ID)
	case at.Gone:
	case !ok:
		who := r.srv.names.Remote(public(&at.User))
		o.away = insert(o.away, i, away{who, unique.Make(at.Node)})
		if j, there := p.find(who.ID()); !there {
			p.here = insert(p.here, j, person{who: who})
			p.note(who, true)
		}
	case o.away[i].who.Public() != public(&at.User) && (at.User.Name != "" || at.User.Avatar != ""):
		r.rename(i, &at.User)
	}
}

// rename notes that a user on another server is called something else now.
// That is no news, but whoever asks is told.
func (r *liveRoom) rename(i int, u *User) {
	who := r.srv.names.Remote(public(u))
	r.others.away[i].who = who
	if j, ok := r.here.find(who.ID()); ok && !r.here.here[j].local() {
		r.here.here[j].who = who
	}
}

// elsewhere reports whether the user is in the room on another server.
func (o *others) elsewhere(user string) bool {
	if o == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(o.away, user, func(a away, id string) int { return strings.Compare(a.who.ID(), id) })
	return ok
}

// vacate takes the user off the list if they are neither here nor elsewhere.
// The room's lock is held.
func (r *liveRoom) vacate(user string) {
	p := &r.here
	if i, ok := p.find(user); ok && !p.here[i].local() && !r.others.elsewhere(user) {
		p.note(p.here[i].who, false)
		p.here = slices.Delete(p.here, i, i+1)
		if len(p.here) == 0 {
			p.here = nil
		}
	}
}

// replaceAway makes list, and what has been heard since it was asked for, all
// that is known of other servers. The room's lock is held.
func (r *liveRoom) replaceAway(list []Attendance) []byte {
	r.mergeAway(slices.Concat(list, r.far().heard), true)
	return r.presenceFrame(time.Now())
}

// mergeAway takes up many changes in one pass over the lists, however long these
// are. With all, who is not named in them is gone. The room's lock is held.
func (r *liveRoom) mergeAway(changes []Attendance, all bool) {
	o := r.far()
	latest := make(map[attendee]*Attendance, len(changes)) // by node and user
	for i := range changes {
		if at := &changes[i]; at.Node != r.srv.cluster.node && at.User.ID != "" {
			latest[attendee{at.Node, at.User.ID}] = at
		}
	}
	next := make([]away, 0, len(latest))
	for _, old := range o.away {
		at, named := latest[attendee{old.node.Value(), old.who.ID()}]
		switch {
		case !named && !all:
			next = append(next, old)
		case !named || at.Gone:
		default:
			if old.who.Public() != public(&at.User) && (at.User.Name != "" || at.User.Avatar != "") {
				old.who = r.srv.names.Remote(public(&at.User))
			}
			next = append(next, old)
		}
		if named {
			delete(latest, attendee{old.node.Value(), old.who.ID()})
		}
	}
	for _, at := range latest {
		if !at.Gone {
			next = append(next, away{r.srv.names.Remote(public(&at.User)), unique.Make(at.Node)})
		}
	}
	slices.SortFunc(next, compareAway)
	r.setAllAway(next)
}

// setAllAway makes next, which is sorted, the list of who is there on other
// servers, and brings the list of who is in the room into line with it. The
// room's lock is held.
func (r *liveRoom) setAllAway(next []away) {
	p := &r.here
	here := make([]person, 0, max(len(p.here), len(next)))
	i := 0
	pass := func(in func(id string) bool) { // those who are not on next
		for ; i < len(p.here) && in(p.here[i].who.ID()); i++ {
			if p.here[i].local() {
				here = append(here, p.here[i])
			} else {
				p.note(p.here[i].who, false)
			}
		}
	}
	for j, a := range next {
		id := a.who.ID()
		if j > 0 && next[j-1].who.ID() == id {
			continue // on two servers
		}
		pass(func(other string) bool { return other < id })
		if i < len(p.here) && p.here[i].who.ID() == id {
			one := p.here[i]
			if !one.local() {
				one.who = a.who // may be called something else now
			}
			here = append(here, one)
			i++
			continue
		}
		here = append(here, person{who: a.who})
		p.note(a.who, true)
	}
	pass(func(string) bool { return true })
	p.here, r.far().away = fit(here), fit(next)
}

// fit returns the list in no more memory than insert would give it.
func fit[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	if cap(list) > len(list)+len(list)/8+1 {
		return append(make([]T, 0, len(list)), list...)
	}
	return list
}

// without takes everybody off the list who is there on dead nodes alone.
func (r *liveRoom) without(nodes []string) {
	dead := make(map[unique.Handle[string]]bool, len(nodes))
	for _, n := range nodes {
		dead[unique.Make(n)] = true
	}
	r.mu.Lock()
	old := r.far().away
	next := make([]away, 0, len(old))
	for _, a := range old {
		if !dead[a.node] {
			next = append(next, a)
		}
	}
	if len(next) < len(old) {
		r.setAllAway(next)
	}
	frame := r.presenceFrame(time.Now())
	r.mu.Unlock()
	r.signal(frame)
}
