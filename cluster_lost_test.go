package chat_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// titled is a group in whose room "general", which has a title, there is one
// client at each of two servers.
func titled(t *testing.T, test func(t *testing.T, g *group, c []*chattest.Client, at chat.Position)) {
	t.Helper()
	together(t, 2, func(t *testing.T, g *group) {
		room := g.srvs[0].Room("general")
		_, err := room.Create(t.Context(), chat.RoomInfo{Title: "Title", Meta: []byte(`{"a":1}`)})
		require.NoError(t, err)
		c := g.dial("alice", "bob")
		for _, c := range c {
			c.Join("general")
			c.Send("general", "hello")
		}
		topic := "Topic"
		_, err = room.Update(t.Context(), chat.RoomUpdate{Topic: &topic})
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		for _, c := range c {
			c.Drain()
		}
		test(t, g, c, headOf(t, room))
	})
}

// restarted checks that every client has been told, once, that the room begins
// anew, and that it is the same room.
func restarted(t *testing.T, g *group, c []*chattest.Client, was chat.Position, want ...string) {
	t.Helper()
	time.Sleep(5 * time.Second)
	now := headOf(t, g.srvs[1].Room("general"))
	require.NotEqual(t, was.Epoch, now.Epoch)
	for i, c := range c {
		var got []string
		resets := 0
		for _, ev := range changes(c, "general") {
			switch ev.Type {
			case "reset":
				require.Equal(t, now.Epoch, ev.Epoch)
				resets++
				got = nil
				for _, m := range ev.Messages {
					got = append(got, m.Content)
				}
			case "message":
				got = append(got, ev.Message.Content)
			default:
				require.Equal(t, "room", ev.Type, string(ev.Raw))
			}
		}
		require.Equal(t, 1, resets, "client %d", i)
		require.Equal(t, want, got, "client %d", i)
	}
	for _, srv := range g.srvs {
		info, err := srv.Room("general").Info(context.Background())
		require.NoError(t, err)
		require.Equal(t, []any{"Title", "Topic", `{"a":1}`}, []any{info.Title, info.Topic, string(info.Meta)})
	}
	c[0].Send("general", "after")
	for _, c := range c {
		require.Equal(t, "after", c.Expect("message").Message.Content)
	}
}

// TestLostRooms guards E and row 4: of a store that has lost everything, the
// rooms begin anew with their settings, and everybody is told.
func TestLostRooms(t *testing.T) {
	t.Run("by the next message", func(t *testing.T) {
		titled(t, func(t *testing.T, g *group, c []*chattest.Client, at chat.Position) {
			g.Lose(memory.New())
			_, err := g.srvs[0].Room("general").Send(t.Context(), chat.Message{User: "host", Content: "anew"})
			require.NoError(t, err)
			restarted(t, g, c, at, "anew")
		})
	})
	t.Run("by a client's next message", func(t *testing.T) {
		titled(t, func(t *testing.T, g *group, c []*chattest.Client, at chat.Position) {
			g.Lose(memory.New())
			c[1].Send("general", "anew")
			restarted(t, g, c, at, "anew")
		})
	})
	t.Run("by messages everywhere", func(t *testing.T) {
		titled(t, func(t *testing.T, g *group, c []*chattest.Client, at chat.Position) {
			g.Lose(memory.New())
			var all sync.WaitGroup
			for _, srv := range g.srvs {
				all.Go(func() {
					_, err := srv.Room("general").Send(context.Background(), chat.Message{User: "host", Content: "anew"})
					require.NoError(t, err)
				})
			}
			all.Wait()
			restarted(t, g, c, at, "anew", "anew")
		})
	})
	t.Run("by themselves", func(t *testing.T) {
		titled(t, func(t *testing.T, g *group, c []*chattest.Client, at chat.Position) {
			g.Lose(memory.New())
			restarted(t, g, c, at)
		})
	})
	t.Run("by somebody who comes", func(t *testing.T) {
		titled(t, func(t *testing.T, g *group, c []*chattest.Client, at chat.Position) {
			g.Lose(memory.New())
			require.False(t, g.srvs[0].Dial("carol").Join("general").Reset)
			restarted(t, g, c, at)
		})
	})
	t.Run("unless they have been removed", func(t *testing.T) {
		titled(t, func(t *testing.T, g *group, c []*chattest.Client, _ chat.Position) {
			g.Lose(memory.New())
			time.Sleep(5 * time.Second)
			require.NoError(t, g.srvs[0].Room("general").Remove(t.Context()))
			for _, c := range c {
				c.Expect("left")
			}
			time.Sleep(time.Minute)
			_, err := g.srvs[0].Room("general").Info(t.Context())
			require.ErrorIs(t, err, chat.ErrNotFound)
		})
	})
}

// eavesdropper is a node whose server can be told what never was.
type eavesdropper struct {
	*storagetest.SharedNode
	l chat.Listener
}

func (e *eavesdropper) Watch(ctx context.Context, l chat.Listener) error {
	e.l = l
	return e.SharedNode.Watch(ctx, l)
}

// TestRolledBackRooms guards E and row 6: a store whose log ends before what
// has been seen of it does not give the same positions a second time.
func TestRolledBackRooms(t *testing.T) {
	for _, how := range []string{"found by a message", "found by comparing"} {
		t.Run(how, func(t *testing.T) {
			together(t, 0, func(t *testing.T, g *group) {
				var ears []*eavesdropper
				for range 2 {
					e := &eavesdropper{SharedNode: g.Node()}
					ears = append(ears, e)
					g.serve(e.SharedNode, chat.Options{Store: e})
				}
				c := g.dial("alice", "bob")
				c[0].Join("general")
				c[1].Join("general")
				c[0].Send("general", "kept")
				time.Sleep(5 * time.Second)
				was := headOf(t, g.srvs[0].Room("general"))
				lost := chat.Message{ID: "01J00000000000000000000000", Seq: was.Seq + 1, Rev: was.Rev + 1, FirstRev: was.Rev + 1, User: "alice", Content: "lost"}
				for _, e := range ears {
					e.l.Appended(chat.Hint{
						Room: "general", Head: chat.Position{Epoch: was.Epoch, Rev: was.Rev + 1, Seq: was.Seq + 1}, After: was.Rev,
						Entries: func() ([]chat.Entry, error) { return []chat.Entry{{Rev: lost.Rev, Message: &lost}}, nil },
					})
				}
				synctest.Wait()
				for _, c := range c {
					require.Equal(t, "kept", c.Expect("message").Message.Content)
					require.Equal(t, "lost", c.Expect("message").Message.Content)
				}
				want := []string{"kept"}
				if how == "found by a message" {
					c[1].Send("general", "next")
					want = append(want, "next")
				} else {
					ears[0].l.Missed(nil)
				}
				time.Sleep(5 * time.Second)
				now := headOf(t, g.srvs[0].Room("general"))
				require.NotEqual(t, was.Epoch, now.Epoch)
				for i, c := range c {
					var got []string
					resets := 0
					for _, ev := range changes(c, "general") {
						switch ev.Type {
						case "reset":
							resets++
							require.Equal(t, now.Epoch, ev.Epoch)
							for _, m := range ev.Messages {
								got = append(got, m.Content)
							}
						case "message":
							got = append(got, ev.Message.Content)
						}
					}
					require.Equal(t, 1, resets, "client %d", i)
					require.Equal(t, want, got, "client %d", i)
				}
			})
		})
	}
}

// TestWhatWasMissedElsewhereCostsNothingHere: rooms that nothing was missed of
// are not read.
func TestWhatWasMissedElsewhereCostsNothingHere(t *testing.T) {
	together(t, 0, func(t *testing.T, g *group) {
		ear := &eavesdropper{SharedNode: g.Node()}
		s := &sick{Store: ear}
		g.serve(ear.SharedNode, chat.Options{Store: s})
		alice := g.srvs[0].Dial("alice")
		alice.Join("here")
		alice.Send("here", "one")
		time.Sleep(time.Second)
		s.calls.Store(0)
		ear.l.Missed(func(room string) bool { return room == "elsewhere" })
		synctest.Wait()
		require.Zero(t, s.calls.Load())
		alice.Send("here", "two")
		synctest.Wait()
		require.EqualValues(t, 1, s.calls.Load(), "the append alone")
	})
}
