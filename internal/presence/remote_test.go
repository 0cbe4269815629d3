package presence

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat/internal/wire"
)

// seen is all that can be told of who is in a room.
type seen struct{ People, Remote, Join, Leave []string }

func (r *Room) seen() (s seen) {
	for _, p := range r.people {
		s.People = append(s.People, fmt.Sprint(p.who.ID(), p.who.Public().Name, p.sessions))
	}
	for _, a := range r.remote.users {
		s.Remote = append(s.Remote, fmt.Sprint(a.who.ID(), a.who.Public().Name, a.node.Value()))
	}
	if n := r.news; n != nil {
		for _, u := range n.users(true, len(n.list)) {
			s.Join = append(s.Join, u.ID)
		}
		for _, u := range n.users(false, len(n.list)) {
			s.Leave = append(s.Leave, u.ID)
		}
	}
	slices.Sort(s.Join)
	slices.Sort(s.Leave)
	return s
}

// TestManyChangesOfPresenceAreAsOneByOne guards that the lists which are made
// anew are those that changes one by one lead to.
func TestManyChangesOfPresenceAreAsOneByOne(t *testing.T) {
	b := newBoard(t, func(o *Options) { o.Peers = &Peers{Node: "self"} })
	rapid.Check(t, func(t *rapid.T) {
		one, many := b.room(), b.room()
		user := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("u", rapid.IntRange(0, 40).Draw(t, "user")) })
		node := rapid.SampledFrom([]string{"a", "b", "self"})
		change := rapid.Custom(func(t *rapid.T) Seat {
			id := user.Draw(t, "id")
			return Seat{Node: node.Draw(t, "node"), User: wire.User{ID: id, Name: "N" + id}, Gone: rapid.Bool().Draw(t, "gone")}
		})
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0: // somebody comes here
				who := identity(user.Draw(t, "local"))
				for _, r := range []*Room{one, many} {
					if i, ok := r.find(who.ID()); ok {
						r.people[i].sessions++
					} else {
						r.people = insert(r.people, i, person{who: who, sessions: 1})
						r.addNews(who, true)
					}
				}
			case 1:
				changes := rapid.SliceOfN(change, 0, 60).Draw(t, "changes")
				for i := range changes {
					one.set(&changes[i])
				}
				many.merge(changes, false)
			case 2: // the store says who is there
				changes := rapid.SliceOfN(change, 0, 60).Draw(t, "all")
				named := make(map[place]bool)
				for i := range changes {
					named[place{changes[i].Node, changes[i].User.ID}] = true
				}
				for _, a := range slices.Clone(one.remote.users) {
					if !named[a.place()] {
						one.set(&Seat{Node: a.node.Value(), User: wire.User{ID: a.who.ID()}, Gone: true})
					}
				}
				for i := range changes {
					one.set(&changes[i])
				}
				many.merge(changes, true)
			case 3: // a node dies
				dead := node.Draw(t, "dead")
				for _, a := range slices.Clone(one.remote.users) {
					if a.node.Value() == dead {
						one.set(&Seat{Node: dead, User: wire.User{ID: a.who.ID()}, Gone: true})
					}
				}
				many.merge(goneFrom(many, dead), false)
			}
			require.Equal(t, one.seen(), many.seen())
		}
	})
}

func goneFrom(r *Room, node string) (list []Seat) {
	for _, a := range r.remote.users {
		if a.node.Value() == node {
			list = append(list, Seat{Node: node, User: wire.User{ID: a.who.ID()}, Gone: true})
		}
	}
	return list
}
