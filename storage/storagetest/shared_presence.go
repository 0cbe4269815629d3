package storagetest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/gabblehq/chat"
)

// lease is what one running server has said of who is where.
type lease struct {
	until time.Time
	who   map[place]chat.User
}

type place struct{ room, user string }

// Attend implements [chat.PresenceKeeper]. The node that the changes name does
// not matter.
func (n *SharedNode) Attend(ctx context.Context, node string, keep time.Duration, changes []chat.Attendance) (nodes []string, lapsed bool, err error) {
	if _, err := n.reach(ctx); err != nil {
		return nil, false, err
	}
	s := n.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes, lapsed = s.attend(node, keep, changes)
	byRoom := map[string][]chat.Attendance{}
	for _, c := range changes {
		c.Node, c.User = node, shown(c.User)
		byRoom[c.Room] = append(byRoom[c.Room], c)
	}
	for _, room := range slices.Sorted(maps.Keys(byRoom)) {
		s.publish(n, event{room: room, tell: func(l chat.Listener, _ *SharedNode, _ bool) {
			l.Present(room, slices.Clone(byRoom[room]))
		}})
	}
	return nodes, lapsed, nil
}

// shown is what others see of a user.
func shown(u chat.User) chat.User {
	return chat.User{ID: u.ID, Name: u.Name, Avatar: u.Avatar}
}

// attend notes the changes. The store's mutex is held.
func (s *SharedStore) attend(node string, keep time.Duration, changes []chat.Attendance) (nodes []string, lapsed bool) {
	s.expire()
	l := s.leases[node]
	lapsed = l == nil
	if lapsed {
		l = &lease{who: map[place]chat.User{}}
		s.leases[node] = l
	}
	l.until = time.Now().Add(keep)
	for _, c := range changes {
		at := place{c.Room, c.User.ID}
		if c.Gone {
			delete(l.who, at)
		} else {
			l.who[at] = shown(c.User)
		}
	}
	s.expire()
	return slices.Sorted(maps.Keys(s.leases)), lapsed
}

// expire forgets the nodes whose lease has run out. The store's mutex is held.
func (s *SharedStore) expire() {
	now := time.Now()
	maps.DeleteFunc(s.leases, func(_ string, l *lease) bool { return !l.until.After(now) })
}

// Attendances implements [chat.PresenceKeeper].
func (n *SharedNode) Attendances(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
	if _, err := n.reach(ctx); err != nil {
		return nil, err
	}
	asked := map[string]bool{}
	for _, room := range rooms {
		asked[room] = true
	}
	s := n.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	var all []chat.Attendance
	for node, l := range s.leases {
		for at, user := range l.who {
			if asked[at.room] {
				all = append(all, chat.Attendance{Room: at.room, Node: node, User: user})
			}
		}
	}
	return all, nil
}
