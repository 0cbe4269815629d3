package chat

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/work"
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
func (a *attendance) say(room string, who *names.Identity, gone bool) {
	key := a.c.srv.key(room)
	at := Attendance{Room: key, Node: a.c.node, User: described(who), Gone: gone}
	a.mu.Lock()
	a.pending[attendee{key, who.ID()}] = at
	if len(a.pending) > maxPending {
		clear(a.pending)
		a.resay = true
	}
	a.mu.Unlock()
	work.Notify(a.wake)
}

// described is what other servers are told of a user.
func described(who *names.Identity) User {
	p := who.Public()
	return User{ID: p.ID, Name: p.Name, Avatar: p.Avatar}
}

// run says what there is to say, and renews the lease.
func (a *attendance) run() {
	defer close(a.left)
	ctx := a.c.srv.ctx
	next := time.NewTimer(leaseEvery)
	defer next.Stop()
	for {
		wake := a.wake
		if err := guard(func() error { return a.attend(ctx) }); err != nil {
			if CodeOf(err) == CodeInternal {
				a.c.srv.log.Error("chat: other servers not told who is here", "error", err)
			}
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
				k := attendee{r.key(), p.who.ID()}
				if _, newer := a.pending[k]; !newer {
					a.pending[k] = Attendance{Room: k.room, Node: a.c.node, User: described(p.who)}
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
		node := changes[i].Node
		if node == a.c.node {
			continue
		}
		if _, ok := a.nodes[node]; !ok {
			node = strings.Clone(node) // it may be part of something large
		}
		a.nodes[node] = now
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

// read brings the lists of who is in the rooms on other servers up to date, a
// few at a time: what the store answers at once is bounded. After an error the
// remaining rooms are as they were.
func (a *attendance) read(ctx context.Context, rooms []*liveRoom) error {
	for i, n := 0, len(rooms); i < n; i += presenceAtOnce {
		if i > 0 {
			work.Sleep(ctx, breather) // others have use for the store, too
		}
		if err := a.readBatch(ctx, rooms[i:min(i+presenceAtOnce, n)]); err != nil {
			return err
		}
	}
	return nil
}

func (a *attendance) readBatch(ctx context.Context, rooms []*liveRoom) error {
	keys := make([]string, 0, len(rooms))
	numbers := make([]uint32, len(rooms))
	for i, r := range rooms {
		r.mu.Lock()
		o := r.far()
		o.reading++ // what is heard from here on is newer than what is read, or as new
		o.asked++
		numbers[i] = o.asked
		r.mu.Unlock()
		keys = append(keys, r.key())
	}
	var list []Attendance
	err := a.c.srv.callStore(ctx, func(ctx context.Context) (err error) {
		list, err = a.keeper.Attendances(ctx, keys)
		return err
	})
	byRoom := make(map[string][]Attendance)
	for i := range list {
		byRoom[list[i].Room] = append(byRoom[list[i].Room], list[i])
	}
	for i, r := range rooms {
		r.mu.Lock()
		o := r.others
		o.reading--
		var frame []byte
		if err == nil && numbers[i] > o.read {
			frame = r.replaceAway(byRoom[r.key()])
			o.read = numbers[i]
		}
		if o.reading == 0 {
			o.heard = nil
		}
		r.mu.Unlock()
		r.signal(frame)
	}
	a.heard(list) // after they are on the lists: see bury
	return err
}
