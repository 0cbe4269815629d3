package chat_test

import (
	"bytes"
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
)

// TestClusterDisconnects: a user who has to go has to go from all servers,
// whatever hints are lost, and not again later.
func TestClusterDisconnects(t *testing.T) {
	for name, lose := range map[string]func(g *group){
		"told":     func(*group) {},
		"not told": func(g *group) { g.nodes[1].Cut(); g.nodes[2].DropNext(10) },
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 3, func(t *testing.T, g *group) {
				for range 2 { // the control log exists the second time
					c := g.dial("mallory", "mallory", "mallory")
					lose(g)
					n, err := g.srvs[0].User("mallory").Disconnect(t.Context(), "out")
					require.NoError(t, err)
					require.Equal(t, 1, n)
					began := time.Now()
					for _, c := range c {
						require.Equal(t, 4501, c.CloseCode())
					}
					require.LessOrEqual(t, time.Since(began), 2100*time.Millisecond)
					// Who comes back is let in by who lets them in.
					for i := range 3 {
						g.nodes[i].Mend()
					}
					back := g.srvs[1].Dial("mallory")
					time.Sleep(time.Minute)
					back.Barrier()
					back.Cut()
				}
				// Neither does a server that is started later repeat it.
				late := g.add(chat.Options{})
				c := late.Dial("mallory")
				time.Sleep(time.Minute)
				c.Barrier()
			})
		})
	}
}

// TestClusterRevokes guards invariant 6: a permission that only the host knows
// of ends on all servers.
func TestClusterRevokes(t *testing.T) {
	for name, lose := range map[string]func(g *group){
		"told":     func(*group) {},
		"not told": func(g *group) { g.nodes[1].Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 0, func(t *testing.T, g *group) {
				var shut atomic.Bool
				for range 2 {
					g.add(chat.Options{Authorize: func(_ context.Context, u chat.User, _ chat.Action, room chat.RoomInfo) error {
						if shut.Load() && u.ID == "mallory" && room.ID == "secret" {
							return chat.ErrForbidden
						}
						return nil
					}})
				}
				c := g.dial("mallory", "mallory")
				bob := g.srvs[1].Dial("bob")
				for _, c := range append(c, bob) {
					c.Join("secret")
					c.Join("open")
				}
				synctest.Wait()
				shut.Store(true)
				lose(g)
				require.NoError(t, g.srvs[0].Revoke(t.Context(), "mallory", "secret"))
				began := time.Now()
				for _, c := range c {
					left := c.Expect("left")
					require.Equal(t, "secret", left.Room)
					require.Equal(t, chat.CodeForbidden, left.Code)
				}
				require.LessOrEqual(t, time.Since(began), 2100*time.Millisecond)
				g.nodes[1].Mend()
				bob.Send("secret", "they are gone")
				require.Equal(t, "they are gone", bob.Expect("message").Message.Content)
				bob.Send("open", "all hear this")
				for _, c := range append(c, bob) {
					require.Equal(t, "all hear this", c.Expect("message").Message.Content)
				}
			})
		})
	}
}

// TestClusterRevokesAfterALoss guards invariant 6 and E: an order that was
// lost with the store is made up for by looking at everybody.
func TestClusterRevokesAfterALoss(t *testing.T) {
	together(t, 0, func(t *testing.T, g *group) {
		var shut atomic.Bool
		for range 2 {
			g.add(chat.Options{Authorize: func(_ context.Context, u chat.User, _ chat.Action, _ chat.RoomInfo) error {
				if shut.Load() && u.ID == "mallory" {
					return chat.ErrForbidden
				}
				return nil
			}})
		}
		synctest.Wait()
		require.NoError(t, g.srvs[0].Revoke(t.Context(), "nobody", "r"))
		c := g.srvs[1].Dial("mallory")
		c.Join("r")
		time.Sleep(3 * time.Second)
		g.nodes[1].Cut()
		shut.Store(true)
		require.NoError(t, g.srvs[0].Revoke(t.Context(), "mallory", "r"))
		g.Lose(memory.New())
		require.Equal(t, "r", c.Expect("left").Room)
	})
}

// TestAStalledOrderHoldsUpNoOther guards invariant 7: a host that does not
// answer for one user does not keep orders about others waiting.
func TestAStalledOrderHoldsUpNoOther(t *testing.T) {
	together(t, 0, func(t *testing.T, g *group) {
		stall := make(chan struct{})
		var stalls atomic.Bool
		g.add(chat.Options{})
		g.add(chat.Options{Authorize: func(ctx context.Context, u chat.User, _ chat.Action, _ chat.RoomInfo) error {
			if u.ID == "alice" && stalls.Load() {
				<-stall
			}
			return nil
		}})
		alice, mallory := g.srvs[1].Dial("alice"), g.srvs[1].Dial("mallory")
		alice.Join("r")
		mallory.Join("r")
		stalls.Store(true)
		require.NoError(t, g.srvs[0].Revoke(t.Context(), "alice", "r"))
		_, err := g.srvs[0].User("mallory").Disconnect(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, 4501, mallory.CloseCode())
		close(stall)
	})
}

// TestTheControlRoomIsInvisible guards invariant 9: not even a host that allows
// everything opens the servers' own room to clients.
func TestTheControlRoomIsInvisible(t *testing.T) {
	together(t, 0, func(t *testing.T, g *group) {
		allow := func(context.Context, chat.User, chat.Action, chat.RoomInfo) error { return nil }
		for range 2 {
			g.add(chat.Options{Authorize: allow})
		}
		synctest.Wait()
		for _, made := range []bool{false, true} {
			if made {
				require.NoError(t, g.srvs[0].Revoke(t.Context(), "alice", "r"))
			}
			for _, srv := range g.srvs {
				c := srv.Dial("alice")
				for _, cmd := range []map[string]any{
					{"type": "join", "room": "~control"},
					{"type": "join", "room": "~control", "epoch": "e", "after": 0},
					{"type": "history", "room": "~control"},
					{"type": "members", "room": "~control"},
					{"type": "presence", "room": "~control"},
					{"type": "message", "room": "~control", "content": "hi", "nonce": "n"},
					{"type": "edit", "room": "~control", "id": "01J00000000000000000000000", "content": "hi"},
					{"type": "typing", "room": "~control", "active": true},
				} {
					require.Equal(t, chat.CodeNotFound, c.Call(cmd).Code, "%v", cmd)
				}
				rooms := c.Call(map[string]any{"type": "rooms"})
				require.NotContains(t, string(rooms.Raw), "control")
				page, err := srv.Rooms(t.Context(), "", 10)
				require.NoError(t, err)
				require.Empty(t, page.Rooms)
				require.Zero(t, srv.Stats().Rooms)
				http := srv.HTTP("alice")
				for _, row := range []struct {
					method, path, body string
					status             int
				}{
					{"GET", "/rooms/~control", "", 404},
					{"GET", "/rooms/~control/messages", "", 404},
					{"GET", "/rooms/~control/online", "", 404},
					{"POST", "/rooms/~control/messages", `{"content":"hi"}`, 404},
					{"PATCH", "/rooms/~control", `{"title":"hi"}`, 404},
					{"DELETE", "/rooms/~control", "", 404},
					{"POST", "/rooms", `{"id":"~control"}`, 400},
				} {
					req, err := newRequest(row.method, "http://chat.test/chat"+row.path, row.body)
					require.NoError(t, err)
					res, err := http.Do(req)
					require.NoError(t, err)
					require.NoError(t, res.Body.Close())
					require.Equal(t, row.status, res.StatusCode, "%v", row)
				}
				c.Cut()
			}
		}
	})
}

func newRequest(method, url, body string) (*http.Request, error) {
	req, err := http.NewRequest(method, url, bytes.NewBufferString(body))
	if err == nil && body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// TestTheControlLogStaysShort guards that orders which have been carried out
// go, and that a server which has missed some of them looks at everybody.
func TestTheControlLogStaysShort(t *testing.T) {
	together(t, 2, func(t *testing.T, g *group) {
		srv := g.srvs[0]
		order := func(n int) {
			for range n {
				require.NoError(t, srv.Revoke(t.Context(), "nobody", "r"))
			}
			synctest.Wait()
		}
		order(1)
		mallory, alice := g.srvs[1].Dial("mallory"), g.srvs[1].Dial("alice")
		g.nodes[1].Cut()
		_, err := srv.User("mallory").Disconnect(t.Context(), "out")
		require.NoError(t, err)
		_, err = srv.User("alice").Disconnect(t.Context(), "out")
		require.NoError(t, err)
		order(1500) // before anybody has found out what has been missed
		require.Equal(t, 4000, mallory.CloseCode(), "shows anew who they are")
		require.Equal(t, 4000, alice.CloseCode())

		page, err := g.nodes[0].History(t.Context(), "~control", chat.Query{Limit: 5000})
		require.NoError(t, err)
		require.Less(t, len(page.Messages), 1200)
		require.EqualValues(t, 1503, page.Head.Seq)

		// What is still there is carried out as ever.
		g.nodes[1].Mend()
		mallory = g.srvs[1].Dial("mallory")
		_, err = srv.User("mallory").Disconnect(t.Context(), "out")
		require.NoError(t, err)
		require.Equal(t, 4501, mallory.CloseCode())
	})
}
