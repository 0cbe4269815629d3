package chat

import (
	"context"
	"slices"
	"strings"
	"time"
	"unique"
)

// away is a user in a room on another server.
type away struct {
	who  *identity // shared by all rooms; see profiles.meet
	node unique.Handle[string]
}

// find returns where the user of the node is on the list, or would be.
func (o *others) find(user, node string) (int, bool) {
	return slices.BinarySearchFunc(o.away, user, func(a away, id string) int {
		if c := strings.Compare(a.who.id(), id); c != 0 {
			return c
		}
		return strings.Compare(a.node.Value(), node)
	})
}

// attend reads who is in the room on other servers, where that is not known
// and nobody is reading it. After an error the room shows who is here.
func (r *liveRoom) attend(ctx context.Context) error {
	c := r.srv.cluster
	if c == nil || c.attendance == nil {
		return nil
	}
	r.mu.Lock()
	known := r.far().known || r.others.reading > 0
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
	known := r.far().known || r.others.reading > 0
	r.mu.Unlock()
	if key := r.key(); !known {
		c.Missed(func(room string) bool { return room == key })
	}
}

// present takes up what other servers say of who is in the room.
func (r *liveRoom) present(changes []Attendance) {
	r.mu.Lock()
	o := r.others
	if o == nil || !o.known && o.reading == 0 {
		r.mu.Unlock()
		return // read when it is needed
	}
	for i := range changes {
		r.setAway(&changes[i])
		if o.reading > 0 {
			o.heard = append(o.heard, changes[i])
		}
	}
	frame := r.presenceFrame(time.Now())
	r.mu.Unlock()
	r.signal(frame)
}

// setAway takes up one change. The room's lock is held.
func (r *liveRoom) setAway(at *Attendance) {
	if at.Node == r.srv.cluster.node || at.User.ID == "" {
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
		who := r.srv.profiles.meet(&at.User)
		o.away = insert(o.away, i, away{who, unique.Make(at.Node)})
		if j, there := p.find(who.id()); !there {
			p.here = insert(p.here, j, person{who: who})
			p.note(who, true)
		}
	case o.away[i].who.public() != public(&at.User) && (at.User.Name != "" || at.User.Avatar != ""):
		r.rename(i, &at.User)
	}
}

// rename notes that a user on another server is called something else now.
// That is no news, but whoever asks is told.
func (r *liveRoom) rename(i int, u *User) {
	who := r.srv.profiles.meet(u)
	r.others.away[i].who = who
	if j, ok := r.here.find(who.id()); ok && !r.here.here[j].local() {
		r.here.here[j].who = who
	}
}

// elsewhere reports whether the user is in the room on another server.
func (o *others) elsewhere(user string) bool {
	if o == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(o.away, user, func(a away, id string) int { return strings.Compare(a.who.id(), id) })
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
	o := r.far()
	next := make(map[attendee]*Attendance, len(list)) // by node and user
	for i := range list {
		next[attendee{list[i].Node, list[i].User.ID}] = &list[i]
	}
	for i := range o.heard {
		next[attendee{o.heard[i].Node, o.heard[i].User.ID}] = &o.heard[i]
	}
	for _, old := range slices.Clone(o.away) {
		if _, ok := next[attendee{old.node.Value(), old.who.id()}]; !ok {
			r.setAway(&Attendance{Node: old.node.Value(), User: User{ID: old.who.id()}, Gone: true})
		}
	}
	for _, at := range next {
		r.setAway(at)
	}
	return r.presenceFrame(time.Now())
}

// without takes everybody off the list who is there on dead nodes alone.
func (r *liveRoom) without(nodes []string) {
	r.mu.Lock()
	for _, a := range slices.Clone(r.far().away) {
		if slices.Contains(nodes, a.node.Value()) {
			r.setAway(&Attendance{Node: a.node.Value(), User: User{ID: a.who.id()}, Gone: true})
		}
	}
	frame := r.presenceFrame(time.Now())
	r.mu.Unlock()
	r.signal(frame)
}
