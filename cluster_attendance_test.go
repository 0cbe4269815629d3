package chat_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/storagetest"
)

// TestPresenceHintsGetLost guards row 9: what a lost hint would have told of
// who is there is known two seconds later.
func TestPresenceHintsGetLost(t *testing.T) {
	for name, lose := range map[string]func(g *group){
		"dropped": func(g *group) { g.nodes[1].DropNext(2) },
		"cut":     func(g *group) { g.nodes[1].Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			watchedBy(t, 2, func(t *testing.T, g *group, zoe *chattest.Client) {
				g.srvs[0].Dial("bob").Join("r")
				zoe.Expect("presence")
				alice := g.srvs[0].Dial("alice")
				lose(g)
				began := time.Now()
				alice.Join("r")
				require.Equal(t, []string{"alice"}, zoe.Expect("presence").Join)
				require.LessOrEqual(t, time.Since(began), 3*time.Second)
				time.Sleep(time.Minute)
				lose(g)
				began = time.Now()
				alice.Leave("r")
				require.Equal(t, []string{"alice"}, zoe.Expect("presence").Leave)
				require.LessOrEqual(t, time.Since(began), 3*time.Second)
			})
		})
	}
}

// TestPresenceMissedWhileNobodyWasThere: a room that is only held on to, by a
// loop, or by a grace, does not hide what has been missed of it.
func TestPresenceMissedWhileNobodyWasThere(t *testing.T) {
	watchedBy(t, 2, func(t *testing.T, g *group, zoe *chattest.Client) {
		alice := g.srvs[0].Dial("alice")
		alice.Join("r")
		zoe.Expect("presence")
		zoe.Cut() // the grace holds the room
		synctest.Wait()
		g.nodes[1].Cut()
		alice.Leave("r")
		time.Sleep(3 * time.Second) // missed, and told so
		back := g.srvs[1].Dial("zoe")
		require.Equal(t, []string{"zoe"}, back.Join("r").Users)
	})
}

// forgetful is a node that cannot say who is where, for some calls.
type forgetful struct {
	*storagetest.SharedNode
	fails atomic.Int32
}

func (f *forgetful) Attendances(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
	if f.fails.Add(-1) >= 0 {
		return nil, chat.Errorf(chat.CodeUnavailable, "not now")
	}
	return f.SharedNode.Attendances(ctx, rooms)
}

// TestPresenceReadFails: a list that could not be read when somebody came is
// read soon after.
func TestPresenceReadFails(t *testing.T) {
	together(t, 0, func(t *testing.T, g *group) {
		g.add(chat.Options{})
		node := g.Node()
		s := &forgetful{SharedNode: node}
		g.serve(node, chat.Options{Store: s})
		g.srvs[0].Dial("alice").Join("r")
		time.Sleep(5 * time.Second)
		s.fails.Store(2)
		bob := g.srvs[1].Dial("bob")
		require.Equal(t, []string{"bob"}, bob.Join("r").Users)
		require.Equal(t, []string{"alice"}, bob.Expect("presence").Join)
		require.Equal(t, []string{"alice", "bob"}, online(t, g.srvs[1].Room("r")))
	})
}

// TestPresenceOfManyAcrossServers: two thousand users are seen everywhere, and
// go again.
func TestPresenceOfManyAcrossServers(t *testing.T) {
	const n = 2000 // users
	watchedBy(t, 2, func(t *testing.T, g *group, zoe *chattest.Client) {
		clients := make([]*chattest.Client, n)
		for i := range clients {
			clients[i] = g.srvs[0].Dial(fmt.Sprintf("user%04d", i))
			clients[i].Do(map[string]any{"type": "join", "room": "r"})
		}
		time.Sleep(5 * time.Second)
		require.Len(t, online(t, g.srvs[1].Room("r")), n+1)
		frames := news(zoe)
		require.Equal(t, n+1, frames[len(frames)-1].Online)
		for _, c := range clients {
			c.Cut()
		}
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"zoe"}, online(t, g.srvs[1].Room("r")))
		frames = news(zoe)
		require.Equal(t, 1, frames[len(frames)-1].Online)
	})
}

// TestPresenceOfATenant: servers of one tenant share who is there and who types,
// whatever the store calls their rooms.
func TestPresenceOfATenant(t *testing.T) {
	together(t, 0, func(t *testing.T, g *group) {
		for range 2 {
			g.add(chat.Options{Tenant: "acme"})
		}
		c := g.dial("alice", "bob")
		c[0].Join("r")
		time.Sleep(3 * time.Second)
		require.Equal(t, 2, c[1].Join("r").Online)
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"bob"}, c[0].Expect("presence").Join)
		for _, srv := range g.srvs {
			require.Equal(t, []string{"alice", "bob"}, online(t, srv.Room("r")))
		}
		c[0].Do(map[string]any{"type": "typing", "room": "r", "active": true})
		require.Equal(t, []string{"alice true"}, typed(c[1]))
		c[0].Do(map[string]any{"type": "typing", "room": "r", "active": false})
		require.Equal(t, []string{"alice false"}, typed(c[1])) // else bob is busy with it when she leaves
		c[0].Do(map[string]any{"type": "leave", "room": "r"})
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"alice"}, c[1].Expect("presence").Leave)
	})
}
