package chat_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// ownCalls matches the functions that run on goroutines of the server's own.
var ownCalls = regexp.MustCompile(`gabblehq/chat(\.\(\*(cluster|attendance)\)|/internal/(work\.\(\*(Pool|Timers)|outage\.\(\*Detector)\))\.\w+`)

// running returns which of the server's own goroutines there are.
func running() []string {
	synctest.Wait()
	buf := make([]byte, 4<<20)
	return ownCalls.FindAllString(string(buf[:runtime.Stack(buf, true)]), -1)
}

// TestAServerAloneHasNoCluster: a store that nobody shares costs nothing.
func TestAServerAloneHasNoCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Store: storagetest.Faulty(memory.New())})
		alice := srv.Dial("alice")
		alice.Join("r")
		alice.Send("r", "hello")
		require.NoError(t, srv.Revoke(t.Context(), "alice", "r"))
		for _, f := range running() {
			require.NotRegexp(t, "cluster|attendance", f)
		}
		list, err := srv.Rooms(t.Context(), "", 10)
		require.NoError(t, err)
		require.Len(t, list.Rooms, 1, "there is no control room")
	})
}

// deaf is a node whose Watch does not work, for some calls.
type deaf struct {
	*storagetest.SharedNode
	how     func() error
	fails   atomic.Int32
	watches atomic.Int32
}

func (d *deaf) Watch(ctx context.Context, l chat.Listener) error {
	d.watches.Add(1)
	if d.fails.Add(-1) >= 0 {
		return d.how()
	}
	return d.SharedNode.Watch(ctx, l)
}

// TestWatchIsTriedAgain guards row 32 and H: a Watch that ends, with an error or
// a panic, is begun again, and makes up for what has been missed.
func TestWatchIsTriedAgain(t *testing.T) {
	for name, how := range map[string]func() error{
		"error":   func() error { return errors.New("no") },
		"nothing": func() error { return nil },
		"panic":   func() error { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 1, func(t *testing.T, g *group) {
				d := &deaf{SharedNode: g.Node(), how: how}
				d.fails.Store(30)
				g.serve(d.SharedNode, chat.Options{Store: d})
				c := g.dial("alice", "bob")
				c[0].Join("r")
				c[1].Join("r")
				c[0].Send("r", "while deaf")
				time.Sleep(20 * time.Second)
				require.Empty(t, changes(c[1], "r"))
				require.LessOrEqual(t, d.watches.Load(), int32(25), "not all the time")
				time.Sleep(20 * time.Second)
				require.Equal(t, "while deaf", c[1].Expect("message").Message.Content)
				c[0].Send("r", "well again")
				require.Equal(t, "well again", c[1].Expect("message").Message.Content)
			})
		})
	}
}

// TestTheEndOfAClusterLeavesNothing guards invariant 8: in whatever state the
// store and the others are, Shutdown and Close return soon and leave nothing
// behind.
func TestTheEndOfAClusterLeavesNothing(t *testing.T) {
	states := map[string]func(g *group, s *sick, d *deaf){
		"all is well":   func(*group, *sick, *deaf) {},
		"down":          func(g *group, _ *sick, _ *deaf) { g.nodes[1].Down() },
		"found down":    func(g *group, _ *sick, _ *deaf) { g.nodes[1].Down(); time.Sleep(5 * time.Second) },
		"hanging":       func(_ *group, s *sick, _ *deaf) { s.hangs.Store(true) },
		"found hanging": func(_ *group, s *sick, _ *deaf) { s.hangs.Store(true); time.Sleep(5 * time.Second) },
		"comparing":     func(g *group, s *sick, _ *deaf) { s.hangs.Store(true); g.nodes[1].Mend(); synctest.Wait() },
		"lost":          func(g *group, _ *sick, _ *deaf) { g.Lose(memory.New()); time.Sleep(1900 * time.Millisecond) },
	}
	for name, state := range states {
		for _, how := range []string{"shutdown", "close"} {
			t.Run(fmt.Sprint(how, " while ", name), func(t *testing.T) {
				together(t, 1, func(t *testing.T, g *group) {
					d := &deaf{SharedNode: g.Node()}
					s := &sick{Store: d}
					srv, err := chat.New(&chat.Options{Store: s, Authenticate: chattest.TokenIsUser, Logger: quiet})
					require.NoError(t, err)
					g.nodes = append(g.nodes, d.SharedNode)
					before := len(running())
					for i := range 10 {
						_, err := srv.Room(fmt.Sprint("r", i)).Create(t.Context(), chat.RoomInfo{})
						require.NoError(t, err)
					}
					state(g, s, d)
					began := time.Now()
					if how == "close" {
						require.NoError(t, srv.Close())
					} else {
						require.NoError(t, srv.Shutdown(t.Context()))
					}
					require.Less(t, time.Since(began), 2*time.Second)
					after := running()
					require.Less(t, len(after), before)
					// What is left belongs to the other server.
					other := g.srvs[0]
					require.NoError(t, other.Close())
					require.Empty(t, running())
				})
			})
		}
	}
	for _, how := range []string{"error", "panic"} {
		t.Run("close while deaf by "+how, func(t *testing.T) {
			together(t, 0, func(t *testing.T, g *group) {
				d := &deaf{SharedNode: g.Node(), how: func() error {
					if how == "panic" {
						panic("no")
					}
					return errors.New("no")
				}}
				d.fails.Store(1 << 30)
				srv, err := chat.New(&chat.Options{Store: d, Authenticate: chattest.TokenIsUser, Logger: quiet})
				require.NoError(t, err)
				time.Sleep(500 * time.Millisecond)
				require.NoError(t, srv.Close())
				require.Empty(t, running())
			})
		})
	}
}

// TestTheEndUnderTraffic guards invariants 1 and 8 and row 33: a server that
// shuts down while others write and it hears of them leaves nothing behind.
func TestTheEndUnderTraffic(t *testing.T) {
	for _, how := range []string{"shutdown", "close"} {
		t.Run(how, func(t *testing.T) {
			together(t, 2, func(t *testing.T, g *group) {
				c := g.dial("alice", "bob")
				c[0].Join("r")
				c[1].Join("r")
				for i := range 50 {
					c[0].Do(map[string]any{"type": "message", "room": "r", "content": fmt.Sprint(i)})
					c[1].Do(map[string]any{"type": "message", "room": "r", "content": fmt.Sprint(i)})
				}
				if how == "close" {
					require.NoError(t, g.srvs[1].Close())
				} else {
					require.NoError(t, g.srvs[1].Shutdown(t.Context()))
				}
				c[0].Barrier()
				time.Sleep(3 * time.Second)
				head := headOf(t, g.srvs[0].Room("r"))
				require.Equal(t, oneTo(2, head.Rev), revs(changes(c[0], "r")))
				require.NoError(t, g.srvs[0].Close())
				require.Empty(t, running())
			})
		})
	}
}
