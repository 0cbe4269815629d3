package chat

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// attendance keeps the other servers informed of who is here, and this one of
// who is there. What the store keeps is the truth for as long as a server
// renews its lease on what it has said.
type attendance struct {
	c      *cluster
	keeper PresenceKeeper
	wake   chan struct{}
	leave  chan struct{} // closed when the server goes
	left   chan struct{} // closed when nothing is said any more

	mu      sync.Mutex
	pending map[attendee]Attendance // not said yet
	resay   bool                    // everything has to be said again
	nodes   map[string]time.Time    // those heard of, and when last
}

// attendee is a user in a room.
type attendee struct{ room, user string }

const (
	// leaseFor is how long a dead server's users are shown at most, leaseEvery
	// how often a lease is renewed.
	leaseFor   = 10 * time.Second
	leaseEvery = 3 * time.Second
	// saidAtOnce is how many changes are said in one call, and maxPending how
	// many wait for a store that does not answer.
	saidAtOnce = 1000
	maxPending = 100_000
)

func newAttendance(c *cluster, k PresenceKeeper) *attendance {
	return &attendance{
		c: c, keeper: k,
		wake: make(chan struct{}, 1), leave: make(chan struct{}), left: make(chan struct{}),
		pending: make(map[attendee]Attendance), nodes: make(map[string]time.Time),
	}
}

// say tells the other servers, soon, that a user has come to a room or is gone.
func (a *attendance) say(room string, who *User, gone bool) {
	key := a.c.srv.key(room)
	at := Attendance{Room: key, Node: a.c.node, User: User{ID: who.ID, Name: who.Name, Avatar: who.Avatar}, Gone: gone}
	a.mu.Lock()
	a.pending[attendee{key, who.ID}] = at
	if len(a.pending) > maxPending {
		clear(a.pending)
		a.resay = true
	}
	a.mu.Unlock()
	poke(a.wake)
}

// run says what there is to say, and renews the lease.
func (a *attendance) run() {
	defer close(a.left)
	ctx := a.c.srv.ctx
	next := time.NewTimer(leaseEvery)
	defer next.Stop()
	for {
		wake := a.wake
		if err := a.attend(ctx); err != nil {
			wake = nil // what there is to say waits until then
			next.Reset(doubtFor)
		} else {
			next.Reset(leaseEvery)
		}
		select {
		case <-wake:
		case <-next.C:
		case <-a.leave:
			return
		case <-ctx.Done():
			return
		}
	}
}

// attend makes one call of the store, and as many more as there is to say.
func (a *attendance) attend(ctx context.Context) error {
	for {
		a.mu.Lock()
		resay := a.resay
		a.resay = false
		said := slices.Collect(maps.Values(a.pending))
		if len(said) > saidAtOnce {
			said = said[:saidAtOnce]
		}
		for _, at := range said {
			delete(a.pending, attendee{at.Room, at.User.ID})
		}
		more := len(a.pending) > 0
		a.mu.Unlock()

		lapsed, err := a.call(ctx, said, resay)
		if err != nil {
			a.unsaid(said, resay)
			return err
		}
		if lapsed {
			a.sayAll()
		} else if !more {
			return nil
		}
	}
}

func (a *attendance) call(ctx context.Context, said []Attendance, resay bool) (lapsed bool, err error) {
	began := time.Now()
	var nodes []string
	err = a.c.srv.callStore(ctx, func(ctx context.Context) (err error) {
		if resay {
			if _, _, err = a.keeper.Attend(ctx, a.c.node, 0, nil); err != nil {
				return err
			}
		}
		nodes, lapsed, err = a.keeper.Attend(ctx, a.c.node, leaseFor, said)
		return err
	})
	if err == nil {
		a.bury(nodes, began)
	}
	return lapsed, err
}

// unsaid puts back what has not been said, behind what is newer.
func (a *attendance) unsaid(said []Attendance, resay bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resay = a.resay || resay
	for _, at := range said {
		k := attendee{at.Room, at.User.ID}
		if _, newer := a.pending[k]; !newer {
			a.pending[k] = at
		}
	}
}

// sayAll has everybody who is here said again: the store has forgotten it, or
// has never known.
func (a *attendance) sayAll() {
	for r := range a.c.srv.rooms.each {
		r.mu.Lock()
		for i := range r.here.here {
			if p := &r.here.here[i]; p.local() {
				a.mu.Lock()
				k := attendee{r.key(), p.who.ID}
				if _, newer := a.pending[k]; !newer {
					a.pending[k] = Attendance{Room: k.room, Node: a.c.node, User: User{ID: p.who.ID, Name: p.who.Name, Avatar: p.who.Avatar}}
				}
				a.mu.Unlock()
			}
		}
		r.mu.Unlock()
		r.release()
	}
}

// heard notes that nodes have said something.
func (a *attendance) heard(changes []Attendance) {
	now := time.Now()
	a.mu.Lock()
	for i := range changes {
		if changes[i].Node != a.c.node {
			a.nodes[changes[i].Node] = now
		}
	}
	a.mu.Unlock()
}

// bury takes those nodes out of all rooms whose lease has run out. Whoever puts
// one of a node's users on a list tells heard of the node afterwards, so that
// none stays behind.
func (a *attendance) bury(alive []string, asOf time.Time) {
	var dead []string
	a.mu.Lock()
	for n, last := range a.nodes {
		if last.Before(asOf) && !slices.Contains(alive, n) {
			dead = append(dead, n)
			delete(a.nodes, n)
		}
	}
	a.mu.Unlock()
	if len(dead) == 0 {
		return
	}
	for r := range a.c.srv.rooms.each {
		r.without(dead)
		r.release()
	}
}

// read brings the lists of who is in the rooms on other servers up to date.
func (a *attendance) read(ctx context.Context, rooms []*liveRoom) error {
	keys := make([]string, 0, len(rooms))
	for _, r := range rooms {
		r.mu.Lock()
		r.far().reading++ // what is heard from here on is newer than what is read, or as new
		r.mu.Unlock()
		keys = append(keys, r.key())
	}
	var list []Attendance
	err := a.c.srv.callStore(ctx, func(ctx context.Context) (err error) {
		list, err = a.keeper.Attendances(ctx, keys)
		return err
	})
	a.c.srv.profiles.meet(list)
	byRoom := make(map[string][]Attendance)
	for i := range list {
		byRoom[list[i].Room] = append(byRoom[list[i].Room], list[i])
	}
	for _, r := range rooms {
		r.mu.Lock()
		r.others.reading--
		var frame []byte
		if err == nil {
			frame = r.replaceAway(byRoom[r.key()])
			r.others.known = true
		}
		if r.others.reading == 0 {
			r.others.heard = nil
		}
		r.mu.Unlock()
		r.signal(frame)
	}
	a.heard(list) // after they are on the lists: see bury
	return err
}

// away is a user in a room on another server.
type away struct {
	who  *User
	node string
}

func compareAway(a, b away) int {
	if c := strings.Compare(a.who.ID, b.who.ID); c != 0 {
		return c
	}
	return strings.Compare(a.node, b.node)
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
	r.srv.profiles.meet(changes)
	r.signal(frame)
}

// setAway takes up one change. The room's lock is held.
func (r *liveRoom) setAway(at *Attendance) {
	if at.Node == r.srv.cluster.node || at.User.ID == "" {
		return
	}
	p, o := &r.here, r.far()
	entry := away{&User{ID: at.User.ID, Name: at.User.Name, Avatar: at.User.Avatar}, at.Node}
	i, ok := slices.BinarySearchFunc(o.away, entry, compareAway)
	switch {
	case at.Gone && ok:
		o.away = slices.Delete(o.away, i, i+1)
		r.vacate(at.User.ID)
	case !at.Gone && !ok:
		o.away = slices.Insert(o.away, i, entry)
		if j, there := p.find(at.User.ID); !there {
			p.here = slices.Insert(p.here, j, person{who: entry.who})
			p.note(entry.who, true)
		}
	}
}

// elsewhere reports whether the user is in the room on another server.
func (o *others) elsewhere(user string) bool {
	if o == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(o.away, user, func(a away, id string) int { return strings.Compare(a.who.ID, id) })
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
		if _, ok := next[attendee{old.node, old.who.ID}]; !ok {
			r.setAway(&Attendance{Node: old.node, User: *old.who, Gone: true})
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
		if slices.Contains(nodes, a.node) {
			r.setAway(&Attendance{Node: a.node, User: *a.who, Gone: true})
		}
	}
	frame := r.presenceFrame(time.Now())
	r.mu.Unlock()
	r.signal(frame)
}
