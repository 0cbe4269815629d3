package chat_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// group is some servers that share a store.
type group struct {
	*storagetest.SharedStore
	t     *testing.T
	nodes []*storagetest.SharedNode
	srvs  []*chattest.Server
}

// together runs a test with n servers that share a store, in fake time.
func together(t *testing.T, n int, test func(t *testing.T, g *group)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &group{SharedStore: storagetest.Shared(memory.New()), t: t}
		for range n {
			g.add(chat.Options{})
		}
		synctest.Wait() // all of them listen
		test(t, g)
	})
}

// add starts another server on the store.
func (g *group) add(o chat.Options) *chattest.Server {
	node := g.Node()
	o.Store = node
	return g.serve(node, o)
}

// quiet is for tests in which much fails that is to be logged.
var quiet = slog.New(slog.DiscardHandler)

// serve starts a server whose options say how it reaches its node.
func (g *group) serve(node *storagetest.SharedNode, o chat.Options) *chattest.Server {
	o.Logger = quiet
	srv := chattest.New(g.t, &o)
	g.nodes, g.srvs = append(g.nodes, node), append(g.srvs, srv)
	return srv
}

// dial connects a user of that name to each of the servers.
func (g *group) dial(users ...string) (list []*chattest.Client) {
	for i, user := range users {
		list = append(list, g.srvs[i].Dial(user))
	}
	return list
}

// habits are the ways in which servers may be told of each other's doings.
var habits = map[string]storagetest.Habits{
	"as they come": {},
	"all bare":     {Bare: 1},
	"none bare":    {Bare: -1},
	"repeated":     {Bare: 3, Repeat: 1},
	"delayed":      {Delay: 1500 * time.Millisecond},
	"no echo":      {Bare: -1, NoEcho: true},
	"everything":   {Bare: 2, Repeat: 3, Delay: 700 * time.Millisecond, Shuffle: true, NoEcho: true},
}

// changes returns what the client has got of the room's log.
func changes(c *chattest.Client, room string) (list []chattest.Event) {
	for _, ev := range c.Drain() {
		switch ev.Type {
		case "message", "edit", "delete", "room", "reset", "left":
			if ev.Room == room || ev.ID == room {
				list = append(list, ev)
			}
		}
	}
	return list
}

// revs returns the positions of events.
func revs(list []chattest.Event) (revs []int64) {
	for _, ev := range list {
		revs = append(revs, ev.Rev)
	}
	return revs
}

// oneTo returns the numbers from first to last.
func oneTo(first, last int64) (list []int64) {
	for i := first; i <= last; i++ {
		list = append(list, i)
	}
	return list
}

// TestTwoServersAreOneChat guards invariants 2 and 3: who is on another server
// sees the same changes, each once, in the same order.
func TestTwoServersAreOneChat(t *testing.T) {
	for name, h := range habits {
		t.Run(name, func(t *testing.T) {
			together(t, 3, func(t *testing.T, g *group) {
				g.Behave(h)
				c := g.dial("alice", "bob", "carol")
				for _, c := range c {
					c.Join("general")
				}
				time.Sleep(3 * time.Second)
				for _, c := range c {
					c.Drain()
				}
				ctx := t.Context()
				a, b := g.srvs[0].Room("general"), g.srvs[1].Room("general")
				title := "Title"
				var first, last chattest.Event
				for _, step := range []func() error{
					func() error { first = c[0].Send("general", "hello"); return nil },
					func() error { _, err := b.Update(ctx, chat.RoomUpdate{Title: &title}); return err },
					func() error { c[1].Send("general", "hi"); return nil },
					func() error { _, err := b.Edit(ctx, chat.Message{ID: first.ID, Content: "hello!"}); return err },
					func() error { last = c[2].Send("general", "hey"); return nil },
					func() error { _, err := a.Delete(ctx, last.ID, false); return err },
				} {
					require.NoError(t, step())
					time.Sleep(2 * time.Second) // else what is read from the store may come folded
				}
				for i, c := range c {
					var got []string
					for _, ev := range changes(c, "general") {
						got = append(got, fmt.Sprint(ev.Type, " ", ev.Rev))
					}
					require.Equal(t, []string{"message 2", "room 3", "message 4", "edit 5", "message 6", "delete 7"}, got, "client %d", i)
				}
				for _, srv := range g.srvs {
					info, err := srv.Room("general").Info(ctx)
					require.NoError(t, err)
					require.Equal(t, "Title", info.Title)
				}
			})
		})
	}
}

// TestClusterKeepsOneOrder guards invariants 1, 2 and 3: of messages alone,
// nothing is folded whichever way they come.
func TestClusterKeepsOneOrder(t *testing.T) {
	for name, h := range habits {
		t.Run(name, func(t *testing.T) {
			together(t, 3, func(t *testing.T, g *group) {
				g.Behave(h)
				c := g.dial("alice", "bob", "carol")
				for _, c := range c {
					c.Join("general")
				}
				time.Sleep(3 * time.Second)
				for i := range 60 {
					c[i%3].Do(map[string]any{"type": "message", "room": "general", "content": fmt.Sprint(i)})
				}
				time.Sleep(3 * time.Second)
				var order []string
				for i, c := range c {
					list := changes(c, "general")
					require.Equal(t, oneTo(2, 61), revs(list), "client %d", i)
					var ids []string
					for j, ev := range list {
						require.EqualValues(t, j+1, ev.Seq)
						require.Equal(t, ev.User, ev.Message.User)
						ids = append(ids, ev.ID)
					}
					if order == nil {
						order = ids
					}
					require.Equal(t, order, ids)
				}
			})
		})
	}
}

// TestClusterDirectRooms guards invariant 2: the direct room of two is one
// wherever they are.
func TestClusterDirectRooms(t *testing.T) {
	together(t, 2, func(t *testing.T, g *group) {
		c := g.dial("alice", "bob")
		room := c[0].JoinUser("bob").Room
		require.Equal(t, room, c[1].JoinUser("alice").Room)
		ack := c[0].Send(room, "psst")
		require.Equal(t, ack.ID, c[1].Expect("message").ID)
		c[1].Send(room, "yes?")
		require.Equal(t, "psst", c[0].Expect("message").Message.Content)
		require.Equal(t, "yes?", c[0].Expect("message").Message.Content)
	})
}
