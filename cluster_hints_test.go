package chat_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/storagetest"
)

// TestClusterFindsTheLastHint guards invariant 2 and row 9: a hint that is lost
// and followed by silence is made up for within two seconds.
func TestClusterFindsTheLastHint(t *testing.T) {
	for name, lose := range map[string]func(*storagetest.SharedNode){
		"dropped": func(n *storagetest.SharedNode) { n.DropNext(1) },
		"cut":     (*storagetest.SharedNode).Cut,
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 2, func(t *testing.T, g *group) {
				c := g.dial("alice", "bob")
				c[0].Join("general")
				c[1].Join("general")
				time.Sleep(3 * time.Second)
				lose(g.nodes[1])
				ack, began := c[0].Send("general", "last words"), time.Now()
				require.Equal(t, ack.ID, c[1].Expect("message").ID)
				require.LessOrEqual(t, time.Since(began), 2100*time.Millisecond)
				time.Sleep(time.Minute)
				require.Empty(t, changes(c[1], "general"), "once")
			})
		})
	}
}

// TestClusterResumesAnywhere guards invariant 2: any server goes on with what
// another began, also one that has not heard of the newest yet.
func TestClusterResumesAnywhere(t *testing.T) {
	for name, prepare := range map[string]func(g *group){
		"nobody there":     func(*group) {},
		"somebody there":   func(g *group) { g.srvs[1].Dial("carol").Join("general") },
		"behind the store": func(g *group) { g.srvs[1].Dial("carol").Join("general"); synctest.Wait(); g.nodes[1].Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 2, func(t *testing.T, g *group) {
				alice, bob := g.srvs[0].Dial("alice"), g.srvs[0].Dial("bob")
				joined := bob.Join("general")
				alice.Join("general")
				prepare(g)
				alice.Send("general", "one")
				at := bob.Expect("message").Rev
				bob.Cut()
				alice.Send("general", "two")
				alice.Send("general", "three")
				back := g.srvs[1].Dial("bob")
				again := back.Resume("general", joined.Epoch, at)
				require.False(t, again.Reset)
				require.Empty(t, again.Messages)
				time.Sleep(3 * time.Second)
				alice.Send("general", "four")
				time.Sleep(3 * time.Second)
				require.Equal(t, oneTo(at+1, at+3), revs(changes(back, "general")))
			})
		})
	}
}

// TestClusterNonces guards invariant 1 and row 29: a retry at another server
// gets the first answer.
func TestClusterNonces(t *testing.T) {
	together(t, 3, func(t *testing.T, g *group) {
		first := g.srvs[0].Dial("alice")
		first.Join("general")
		send := map[string]any{"type": "message", "room": "general", "content": "hello", "nonce": "n1"}
		ack := first.Call(send)
		require.Equal(t, "ack", ack.Type)
		require.False(t, ack.Duplicate)
		first.Cut()
		again := g.srvs[1].Dial("alice").Call(send)
		require.True(t, again.Duplicate)
		require.Equal(t, []any{ack.ID, ack.Seq, ack.Rev}, []any{again.ID, again.Seq, again.Rev})

		// At once on all of them.
		send["nonce"] = "n2"
		ids := make(chan string, 3)
		for i := range 3 {
			go func() {
				m, err := g.srvs[i].Room("general").Send(context.Background(), chat.Message{User: "alice", Content: "hi", Nonce: "n2"})
				require.NoError(t, err)
				ids <- m.ID
			}()
		}
		id := <-ids
		require.Equal(t, id, <-ids)
		require.Equal(t, id, <-ids)
		page, err := g.srvs[2].Room("general").History(t.Context(), chat.Query{Limit: 10})
		require.NoError(t, err)
		require.Len(t, page.Messages, 2)
	})
}

// TestClusterRemovesRooms guards invariant 6: a room that is removed on one
// server is gone on all.
func TestClusterRemovesRooms(t *testing.T) {
	for name, lose := range map[string]bool{"told": false, "not told": true} {
		t.Run(name, func(t *testing.T) {
			together(t, 2, func(t *testing.T, g *group) {
				c := g.dial("alice", "bob")
				c[0].Join("general")
				c[1].Join("general")
				ended := make(chan error, 1)
				go func() {
					for _, err := range g.srvs[1].Room("general").Changes(context.Background(), chat.Position{}) {
						if err != nil {
							ended <- err
						}
					}
				}()
				synctest.Wait()
				if lose {
					g.nodes[1].DropNext(1)
				}
				require.NoError(t, g.srvs[0].Room("general").Remove(t.Context()))
				for _, c := range c {
					left := c.Expect("left")
					require.Equal(t, chat.CodeNotFound, left.Code)
					require.Equal(t, "general", left.Room)
				}
				require.ErrorIs(t, <-ended, chat.ErrNotFound)
				// What is made anew is another room.
				joined := c[1].Join("general")
				require.Empty(t, joined.Messages)
				c[0].Join("general")
				c[0].Send("general", "fresh")
				require.Equal(t, "fresh", c[1].Expect("message").Message.Content)
				time.Sleep(time.Minute)
				for _, ev := range c[1].Drain() {
					require.NotContains(t, []string{"left", "reset"}, ev.Type)
				}
			})
		})
	}
}

// TestClusterTenantsAreApart guards invariant 9: servers with different tenants
// share nothing but the store.
func TestClusterTenantsAreApart(t *testing.T) {
	together(t, 0, func(t *testing.T, g *group) {
		for _, tenant := range []string{"", "a", "b"} {
			g.add(chat.Options{Tenant: tenant})
		}
		c := g.dial("alice", "bob", "carol")
		for _, c := range c {
			require.Equal(t, 1, c.Join("general").Online)
		}
		time.Sleep(3 * time.Second)
		for _, c := range c {
			c.Drain()
		}
		c[0].Send("general", "for us alone")
		c[0].Do(map[string]any{"type": "typing", "room": "general", "active": true})
		require.NoError(t, g.srvs[0].Revoke(t.Context(), "bob", "general"))
		_, err := g.srvs[1].User("carol").Disconnect(t.Context(), "")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Empty(t, c[1].Drain())
		require.Empty(t, c[2].Drain())
		c[2].Barrier()
		for _, srv := range g.srvs {
			page, err := srv.Rooms(t.Context(), "", 10)
			require.NoError(t, err)
			require.Len(t, page.Rooms, 1)
		}
	})
}
