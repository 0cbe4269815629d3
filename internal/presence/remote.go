package presence

import (
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// remote is what other servers have said of a room. The room's lock guards it.
type remote struct {
	users   []remoteUser // by user id and node
	reading int          // how many Loads are under way
	since   []Seat       // what has been said since they began

	// Loads are numbered, for one that has begun earlier may end later: asked is
	// how many have begun, read the newest that has brought the list, and missed
	// how many had begun when something may have been missed.
	asked, read, missed uint32
}

// remoteUser is a user in a room on another server.
type remoteUser struct {
	who  *names.Identity // shared by all rooms; see names.Cache
	node unique.Handle[string]
}

// place is where a user is: in a room, or on a node.
type place struct{ at, user string }

func (u *remoteUser) place() place { return place{u.node.Value(), u.who.ID()} }

// manyChanges is from how many changes at once on the lists are made anew: each
// by itself moves what is behind it.
const manyChanges = 32

// current reports whether the list is up to date.
func (rs *remote) current() bool { return rs != nil && rs.read > rs.missed }

// find returns where the user of the node is on the list, or would be.
func (rs *remote) find(user, node string) (int, bool) {
	return slices.BinarySearchFunc(rs.users, user, func(a remoteUser, id string) int {
		if c := strings.Compare(a.who.ID(), id); c != 0 {
			return c
		}
		return strings.Compare(a.node.Value(), node)
	})
}

// has reports whether the user is in the room on another server.
func (rs *remote) has(user string) bool {
	if rs == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(rs.users, user, func(a remoteUser, id string) int { return strings.Compare(a.who.ID(), id) })
	return ok
}

// compareRemote orders a list by user and node.
func compareRemote(a, b remoteUser) int {
	if c := strings.Compare(a.who.ID(), b.who.ID()); c != 0 {
		return c
	}
	return strings.Compare(a.node.Value(), b.node.Value())
}

// makeRemote returns r.remote, which it makes where there is none.
func (r *Room) makeRemote() *remote {
	if r.remote == nil {
		r.remote = &remote{}
	}
	return r.remote
}

// Update takes up what other servers say of who is in a room, which is nil where
// this server does not hold it. It does not keep changes.
func (b *Board) Update(r *Room, changes []Seat) {
	if !b.Shared() {
		return
	}
	if r != nil {
		r.update(changes)
	}
	b.heard(changes) // after they are on the list: see removeDead
}

// update takes up changes. The lock is not held.
func (r *Room) update(changes []Seat) {
	r.mu.Lock()
	rs := r.remote
	if rs == nil || !rs.current() && rs.reading == 0 {
		r.mu.Unlock()
		return // read when it is needed
	}
	if rs.reading > 0 {
		rs.since = append(rs.since, changes...)
	}
	if len(changes) > manyChanges {
		r.merge(changes, false)
	} else {
		for i := range changes {
			r.set(&changes[i])
		}
	}
	frame := r.newsFrame(time.Now())
	r.mu.Unlock()
	r.signal(frame)
}

// Outdate notes that changes on other servers may have been missed.
func (r *Room) Outdate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rs := r.remote; rs != nil {
		rs.missed = rs.asked
	}
}

// set takes up one change.
func (r *Room) set(s *Seat) {
	b := r.board()
	if s.Node == b.peers.Node || !wire.ValidUserID(s.User.ID) {
		return
	}
	rs := r.makeRemote()
	i, ok := rs.find(s.User.ID, s.Node)
	switch {
	case s.Gone && ok:
		rs.users = slices.Delete(rs.users, i, i+1)
		r.removeAbsent(s.User.ID)
	case s.Gone:
	case !ok:
		who := b.identity(s)
		rs.users = insert(rs.users, i, remoteUser{who, unique.Make(s.Node)})
		if j, here := r.find(who.ID()); !here {
			r.people = insert(r.people, j, person{who: who})
			r.addNews(who, true)
		}
	case b.renamed(rs.users[i].who, s):
		// That is no news, but whoever asks is told.
		who := b.identity(s)
		rs.users[i].who = who
		if j, ok := r.find(who.ID()); ok && !r.people[j].local() {
			r.people[j].who = who
		}
	}
}

// identity returns who is in a seat on another server.
func (b *Board) identity(s *Seat) *names.Identity { return b.opt.Names.Remote(b.opt.Clean(s.User)) }

// renamed reports whether the one in the seat is called something else than is
// known.
func (b *Board) renamed(known *names.Identity, s *Seat) bool {
	return known.Public() != b.opt.Clean(s.User) && (s.User.Name != "" || s.User.Avatar != "")
}

// replace makes list, and what has been said since it was asked for, all that
// is known of other servers.
func (r *Room) replace(list []Seat) []byte {
	r.merge(slices.Concat(list, r.makeRemote().since), true)
	return r.newsFrame(time.Now())
}

// merge takes up many changes in one pass over the lists, however long these
// are. With all, who is not named in them is gone.
func (r *Room) merge(changes []Seat, all bool) {
	b, rs := r.board(), r.makeRemote()
	latest := make(map[place]int, len(changes))
	for i := range changes {
		if s := &changes[i]; s.Node != b.peers.Node && s.User.ID != "" {
			latest[place{s.Node, s.User.ID}] = i
		}
	}
	next := make([]remoteUser, 0, len(latest))
	for _, old := range rs.users {
		i, named := latest[old.place()]
		switch {
		case !named && !all:
			next = append(next, old)
		case !named || changes[i].Gone:
		default:
			if b.renamed(old.who, &changes[i]) {
				old.who = b.identity(&changes[i])
			}
			next = append(next, old)
		}
		if named {
			delete(latest, old.place())
		}
	}
	for _, i := range latest {
		if s := &changes[i]; !s.Gone {
			next = append(next, remoteUser{b.identity(s), unique.Make(s.Node)})
		}
	}
	slices.SortFunc(next, compareRemote)
	r.setRemote(next)
}

// setRemote makes next, which is sorted, the list of who is there on other
// servers, and brings the list of who is in the room into line with it.
func (r *Room) setRemote(next []remoteUser) {
	people := make([]person, 0, max(len(r.people), len(next)))
	i := 0
	pass := func(in func(id string) bool) { // those who are not on next
		for ; i < len(r.people) && in(r.people[i].who.ID()); i++ {
			if r.people[i].local() {
				people = append(people, r.people[i])
			} else {
				r.addNews(r.people[i].who, false)
			}
		}
	}
	for j, a := range next {
		id := a.who.ID()
		if j > 0 && next[j-1].who.ID() == id {
			continue // on two servers
		}
		pass(func(other string) bool { return other < id })
		if i < len(r.people) && r.people[i].who.ID() == id {
			one := r.people[i]
			if !one.local() {
				one.who = a.who // may be called something else now
			}
			people = append(people, one)
			i++
			continue
		}
		people = append(people, person{who: a.who})
		r.addNews(a.who, true)
	}
	pass(func(string) bool { return true })
	r.people, r.makeRemote().users = fit(people), fit(next)
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

// removeNodes takes everybody off the list who is there on dead nodes alone.
// The lock is not held.
func (r *Room) removeNodes(nodes []string) {
	dead := make(map[unique.Handle[string]]bool, len(nodes))
	for _, n := range nodes {
		dead[unique.Make(n)] = true
	}
	r.mu.Lock()
	old := r.makeRemote().users
	next := make([]remoteUser, 0, len(old))
	for _, u := range old {
		if !dead[u.node] {
			next = append(next, u)
		}
	}
	if len(next) < len(old) {
		r.setRemote(next)
	}
	frame := r.newsFrame(time.Now())
	r.mu.Unlock()
	r.signal(frame)
}
