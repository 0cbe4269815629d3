package chat

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat/internal/directory"
	"github.com/gabblehq/chat/internal/names"
)

// presenceServer is a server of which only presence is there.
func presenceServer() *Server {
	s := &Server{}
	s.users = directory.New[*session]()
	s.names = newNames(s.users, nil)
	s.cluster = &cluster{srv: s, node: "self"}
	return s
}

// identityOf is who somebody is that has no token.
func identityOf(u *User) *names.Identity { return names.NewIdentity(public(u), nil, nil, names.Never) }

func presenceRoom(s *Server) *liveRoom {
	return &liveRoom{srv: s, id: "r", others: &others{read: 1}}
}

// seen is all that can be told of who is in a room.
type seen struct{ Here, Away, Join, Leave []string }

func (r *liveRoom) seen() (s seen) {
	for _, p := range r.here.here {
		s.Here = append(s.Here, fmt.Sprint(p.who.ID(), p.who.Public().Name, p.sessions))
	}
	for _, a := range r.others.away {
		s.Away = append(s.Away, fmt.Sprint(a.who.ID(), a.who.Public().Name, a.node.Value()))
	}
	if n := r.here.news; n != nil {
		for _, u := range n.names(true, len(n.list)) {
			s.Join = append(s.Join, u.ID)
		}
		for _, u := range n.names(false, len(n.list)) {
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
	rapid.Check(t, func(t *rapid.T) {
		s := presenceServer()
		one, many := presenceRoom(s), presenceRoom(s)
		user := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("u", rapid.IntRange(0, 40).Draw(t, "user")) })
		node := rapid.SampledFrom([]string{"a", "b", "self"})
		change := rapid.Custom(func(t *rapid.T) Attendance {
			id := user.Draw(t, "id")
			return Attendance{Node: node.Draw(t, "node"), User: User{ID: id, Name: "N" + id}, Gone: rapid.Bool().Draw(t, "gone")}
		})
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0: // somebody comes here
				who := identityOf(&User{ID: user.Draw(t, "local")})
				for _, r := range []*liveRoom{one, many} {
					if i, ok := r.here.find(who.ID()); ok {
						r.here.here[i].sessions++
					} else {
						r.here.here = insert(r.here.here, i, person{who: who, sessions: 1})
						r.here.note(who, true)
					}
				}
			case 1:
				changes := rapid.SliceOfN(change, 0, 60).Draw(t, "changes")
				for i := range changes {
					one.setAway(&changes[i])
				}
				many.mergeAway(changes, false)
			case 2: // the store says who is there
				changes := rapid.SliceOfN(change, 0, 60).Draw(t, "all")
				named := make(map[attendee]bool)
				for i := range changes {
					named[attendee{changes[i].Node, changes[i].User.ID}] = true
				}
				for _, a := range slices.Clone(one.others.away) {
					if !named[attendee{a.node.Value(), a.who.ID()}] {
						one.setAway(&Attendance{Node: a.node.Value(), User: User{ID: a.who.ID()}, Gone: true})
					}
				}
				for i := range changes {
					one.setAway(&changes[i])
				}
				many.mergeAway(changes, true)
			case 3: // a node dies
				dead := node.Draw(t, "dead")
				for _, a := range slices.Clone(one.others.away) {
					if a.node.Value() == dead {
						one.setAway(&Attendance{Node: dead, User: User{ID: a.who.ID()}, Gone: true})
					}
				}
				many.mergeAway(goneFrom(many, dead), false)
			}
			require.Equal(t, one.seen(), many.seen())
		}
	})
}

func goneFrom(r *liveRoom, node string) (list []Attendance) {
	for _, a := range r.others.away {
		if a.node.Value() == node {
			list = append(list, Attendance{Node: node, User: User{ID: a.who.ID()}, Gone: true})
		}
	}
	return list
}
