package chat_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// ready returns the status of /readyz.
func ready(t *testing.T, srv *chattest.Server) int {
	t.Helper()
	res, err := srv.HTTP("").Get("http://chat.test/chat/readyz")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// outage is a group of servers each of whose stores can break.
func outage(t *testing.T, test func(t *testing.T, g *group, stores []*sick, fall, rise func())) {
	t.Helper()
	for _, how := range []string{"refuses", "hangs"} {
		t.Run(how, func(t *testing.T) {
			together(t, 0, func(t *testing.T, g *group) {
				var stores []*sick
				for range 3 {
					node := g.Node()
					s := &sick{Store: node}
					stores = append(stores, s)
					g.serve(node, chat.Options{Store: s})
				}
				set := func(down bool) func() {
					return func() {
						for i, s := range stores {
							switch {
							case how == "hangs":
								s.hangs.Store(down)
								if down {
									g.nodes[i].Cut()
								} else {
									g.nodes[i].Mend()
								}
							case down:
								g.nodes[i].Down()
							default:
								g.nodes[i].Up()
							}
						}
					}
				}
				test(t, g, stores, set(true), set(false))
			})
		})
	}
}

// TestOutage guards rows 3, 5 and 10 and H: while the store is down, sends fail
// at once, sockets stay and readiness says so; when it is back, so is
// everything, without a hand.
func TestOutage(t *testing.T) {
	outage(t, func(t *testing.T, g *group, stores []*sick, fall, rise func()) {
		c := g.dial("alice", "bob", "carol")
		for _, c := range c {
			c.Join("general")
		}
		c[0].Send("general", "before")
		time.Sleep(5 * time.Second)
		for _, srv := range g.srvs {
			require.Equal(t, http.StatusOK, ready(t, srv))
		}
		fall()
		send := map[string]any{"type": "message", "room": "general", "content": "during", "nonce": "n"}
		for i := range 3 {
			for _, c := range c {
				began := time.Now()
				ev := c.Call(send)
				require.Equal(t, chat.CodeUnavailable, ev.Code, string(ev.Raw))
				if i > 0 { // it is known by now
					require.Positive(t, ev.RetryAfter)
				}
				require.LessOrEqual(t, time.Since(began), time.Second)
			}
			time.Sleep(time.Second)
		}
		for _, srv := range g.srvs {
			began := time.Now()
			require.Equal(t, http.StatusServiceUnavailable, ready(t, srv))
			require.LessOrEqual(t, time.Since(began), time.Second)
		}
		time.Sleep(time.Minute)
		rise()
		began := time.Now()
		for {
			ev := c[0].Call(send)
			if ev.Type == "ack" {
				break
			}
			require.Less(t, time.Since(began), 2*time.Second, "first ack")
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(time.Until(began.Add(5 * time.Second)))
		for i, c := range c {
			var got []string
			for _, ev := range changes(c, "general") {
				require.Equal(t, "message", ev.Type)
				got = append(got, ev.Message.Content)
			}
			require.Equal(t, "during", got[len(got)-1], "client %d", i)
			require.Equal(t, http.StatusOK, ready(t, g.srvs[i]))
			c.Barrier()
		}
	})
}

// TestOutageCostsTheStoreLittle guards row 5, G and I: a store that is down is
// asked a few times a second, however many clients want something of it.
func TestOutageCostsTheStoreLittle(t *testing.T) {
	outage(t, func(t *testing.T, g *group, stores []*sick, fall, rise func()) {
		var clients []*chattest.Client
		for i := range 9 {
			c := g.srvs[i%3].Dial(fmt.Sprint("user", i))
			c.Join(fmt.Sprint("room", i%7))
			clients = append(clients, c)
		}
		fall()
		time.Sleep(2 * time.Second)
		for _, s := range stores {
			s.calls.Store(0)
		}
		for range 100 { // ten seconds
			for i, c := range clients {
				c.Do(map[string]any{"type": "message", "room": fmt.Sprint("room", i%7), "content": "hi", "nonce": "n"})
				c.Do(map[string]any{"type": "join", "room": fmt.Sprint("other", i)})
			}
			time.Sleep(100 * time.Millisecond)
		}
		for i, s := range stores {
			require.LessOrEqual(t, s.calls.Load(), int64(60), "calls of node %d in ten seconds", i)
		}
		rise()
		time.Sleep(2 * time.Second)
		for _, c := range clients {
			c.Drain()
			c.Barrier()
		}
		clients[0].Send("room0", "well again")
	})
}

// TestOutageAndResume guards invariant 2: who comes back while the store is
// down goes on from the ring.
func TestOutageAndResume(t *testing.T) {
	outage(t, func(t *testing.T, g *group, stores []*sick, fall, rise func()) {
		alice, bob := g.srvs[0].Dial("alice"), g.srvs[0].Dial("bob")
		alice.Join("general")
		at := bob.Join("general")
		alice.Send("general", "one")
		bob.Cut()
		fall()
		for range 3 {
			back := g.srvs[0].Dial("bob")
			again := back.Resume("general", at.Epoch, at.Head)
			require.False(t, again.Reset)
			require.Equal(t, "one", back.Expect("message").Message.Content)
			back.Expect("synced")
			back.Cut()
			time.Sleep(10 * time.Second)
		}
		rise()
	})
}

// TestUnknownOutcomes guards invariants 1 and 2 and row 18: what an append of
// unknown outcome has written reaches everybody.
func TestUnknownOutcomes(t *testing.T) {
	together(t, 0, func(t *testing.T, g *group) {
		var faults []*storagetest.FaultyStore
		for range 2 {
			node := g.Node()
			f := storagetest.Faulty(node)
			faults = append(faults, f)
			g.serve(node, chat.Options{Store: f})
		}
		c := g.dial("alice", "bob")
		c[0].Join("general")
		c[1].Join("general")
		synctest.Wait()
		faults[0].Down(storagetest.UnknownAfter)
		send := map[string]any{"type": "message", "room": "general", "content": "perhaps", "nonce": "n"}
		require.Equal(t, "error", c[0].Call(send).Type)
		require.Equal(t, "perhaps", c[1].Expect("message").Message.Content)
		faults[0].Up()
		require.Equal(t, "perhaps", c[0].Expect("message").Message.Content)
		time.Sleep(2 * time.Second)
		require.True(t, c[0].Call(send).Duplicate)
		time.Sleep(time.Minute)
		require.Empty(t, changes(c[0], "general"))
		require.Empty(t, changes(c[1], "general"))
	})
}

// TestOneSlowCallIsNoOutage guards F: a call that takes long while the store
// answers others is nobody else's trouble.
func TestOneSlowCallIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := storagetest.Faulty(memory.New())
		srv := chattest.New(t, &chat.Options{Store: f})
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		alice.Join("a")
		bob.Join("b")
		h := f.HoldNext()
		alice.Do(map[string]any{"type": "message", "room": "a", "content": "slow"})
		<-h.Entered()
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			bob.Send("b", "quick")
			require.Equal(t, http.StatusOK, ready(t, srv))
		}
		h.Release()
		require.Equal(t, "slow", alice.Expect("message").Message.Content)
	})
}

// TestOutageOfAServerAlone guards rows 3 and 5 for a store that nobody shares.
func TestOutageOfAServerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := storagetest.Faulty(memory.New())
		srv := chattest.New(t, &chat.Options{Store: f})
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		alice.Join("a")
		bob.Join("a")
		f.Down(storagetest.UnknownAfter)
		send := map[string]any{"type": "message", "room": "a", "content": "perhaps", "nonce": "n"}
		require.Equal(t, "error", alice.Call(send).Type)
		time.Sleep(time.Minute)
		calls := f.Calls()
		for range 100 {
			require.Equal(t, chat.CodeUnavailable, alice.Call(send).Code)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, f.Calls()-calls, 60)
		f.Up()
		require.Equal(t, "perhaps", bob.Expect("message").Message.Content)
		require.True(t, alice.Call(send).Duplicate)
	})
}
