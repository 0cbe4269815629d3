package chat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/chattest"
)

// watchedBy is a group of n servers at the last of which zoe has been alone in
// room "r" for long.
func watchedBy(t *testing.T, n int, test func(t *testing.T, g *group, zoe *chattest.Client)) {
	t.Helper()
	together(t, n, func(t *testing.T, g *group) {
		zoe := g.srvs[n-1].Dial("zoe")
		zoe.Join("r")
		time.Sleep(time.Minute)
		zoe.Drain()
		test(t, g, zoe)
	})
}

// whoIsThere returns who the server says is in the room, having made sure that
// all that it can be asked by say the same.
func whoIsThere(t *testing.T, srv *chattest.Server, room string) []string {
	t.Helper()
	ids := online(t, srv.Room(room))
	c := srv.Dial("asker")
	ev := c.Call(map[string]any{"type": "presence", "room": room})
	require.Equal(t, ids, ev.Users, string(ev.Raw))
	require.Equal(t, len(ids), ev.Online)
	c.Cut()
	res, err := srv.HTTP("asker").Get("http://chat.test/chat/rooms")
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	var page struct {
		Rooms []struct {
			ID     string `json:"id"`
			Online int    `json:"online"`
		} `json:"rooms"`
	}
	require.NoError(t, json.Unmarshal(body, &page), string(body))
	i := slices.IndexFunc(page.Rooms, func(r struct {
		ID     string `json:"id"`
		Online int    `json:"online"`
	}) bool {
		return r.ID == room
	})
	require.GreaterOrEqual(t, i, 0)
	require.Equal(t, len(ids), page.Rooms[i].Online)
	return ids
}

// TestPresenceAcrossServers: whoever is in a room is there for all servers, by
// name, whatever they are asked by.
func TestPresenceAcrossServers(t *testing.T) {
	watchedBy(t, 3, func(t *testing.T, g *group, zoe *chattest.Client) {
		alice := g.srvs[0].Dial("alice")
		require.Equal(t, []string{"alice", "zoe"}, alice.Join("r").Users)
		ev := zoe.Expect("presence")
		require.Equal(t, []string{"alice"}, ev.Join)
		require.Equal(t, 2, ev.Online)
		require.Contains(t, string(ev.Raw), `"name":"alice"`)
		for _, srv := range g.srvs { // on one of them nobody is in the room
			require.Equal(t, []string{"alice", "zoe"}, whoIsThere(t, srv, "r"))
		}
		joined := g.srvs[1].Dial("bob").Join("r")
		require.Equal(t, []string{"alice", "bob", "zoe"}, joined.Users)
		require.Equal(t, 3, joined.Online)
		require.Contains(t, string(joined.Raw), `"name":"alice"`)
		require.Equal(t, []string{"bob"}, zoe.Expect("presence").Join)
		alice.Leave("r")
		ev = zoe.Expect("presence")
		require.Equal(t, []string{"alice"}, ev.Leave)
		require.Equal(t, 2, ev.Online)
		for _, srv := range g.srvs {
			require.Equal(t, []string{"bob", "zoe"}, whoIsThere(t, srv, "r"))
		}
		time.Sleep(time.Minute)
		require.Empty(t, news(zoe))
	})
}

// TestPresenceIsOneOnSeveralServers: a user on two servers is there once, until
// gone from both.
func TestPresenceIsOneOnSeveralServers(t *testing.T) {
	watchedBy(t, 3, func(t *testing.T, g *group, zoe *chattest.Client) {
		a, b, c := g.srvs[0].Dial("alice"), g.srvs[1].Dial("alice"), g.srvs[2].Dial("alice")
		a.Join("r")
		zoe.Expect("presence")
		require.Equal(t, 2, b.Join("r").Online)
		require.Equal(t, 2, c.Join("r").Online)
		time.Sleep(5 * time.Second)
		a.Leave("r")
		time.Sleep(5 * time.Second)
		c.Cut()
		time.Sleep(time.Minute)
		require.Empty(t, news(zoe))
		for _, srv := range g.srvs {
			require.Equal(t, []string{"alice", "zoe"}, whoIsThere(t, srv, "r"))
		}
		b.Leave("r")
		require.Equal(t, []string{"alice"}, zoe.Expect("presence").Leave)
		time.Sleep(time.Minute)
		require.Empty(t, news(zoe))
		for _, srv := range g.srvs {
			require.Equal(t, []string{"zoe"}, whoIsThere(t, srv, "r"))
		}
	})
}

// TestPresenceGraceAcrossServers: who drops and comes back within the grace, to
// whichever server, has not been away.
func TestPresenceGraceAcrossServers(t *testing.T) {
	watchedBy(t, 3, func(t *testing.T, g *group, zoe *chattest.Client) {
		alice := g.srvs[0].Dial("alice")
		alice.Join("r")
		zoe.Expect("presence")
		for i := range 6 {
			alice.Cut()
			time.Sleep(4 * time.Second)
			alice = g.srvs[i%3].Dial("alice")
			require.Equal(t, 2, alice.Join("r").Online)
		}
		time.Sleep(time.Minute)
		require.Empty(t, news(zoe))
		alice.Cut()
		time.Sleep(4900 * time.Millisecond)
		require.Empty(t, news(zoe))
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, []string{"alice"}, zoe.Expect("presence").Leave)
	})
}

// TestPresenceOfADeadServer guards B and H: the users of a server that is not
// heard of any more are gone after its lease, and back when it is.
func TestPresenceOfADeadServer(t *testing.T) {
	watchedBy(t, 3, func(t *testing.T, g *group, zoe *chattest.Client) {
		alice, bob := g.srvs[0].Dial("alice"), g.srvs[1].Dial("bob")
		alice.Join("r")
		bob.Join("r")
		time.Sleep(10 * time.Second)
		zoe.Drain()
		g.nodes[0].Down()
		time.Sleep(6 * time.Second)
		require.Empty(t, news(zoe), "the lease is not up")
		time.Sleep(8 * time.Second)
		frames := news(zoe)
		require.Len(t, frames, 1)
		require.Equal(t, []string{"alice"}, frames[0].Leave)
		require.Equal(t, []string{"bob", "zoe"}, online(t, g.srvs[1].Room("r")))
		time.Sleep(time.Minute)
		g.nodes[0].Up()
		time.Sleep(3 * time.Second)
		frames = news(zoe)
		require.Len(t, frames, 1)
		require.Equal(t, []string{"alice"}, frames[0].Join)
		for _, srv := range g.srvs {
			require.Equal(t, []string{"alice", "bob", "zoe"}, online(t, srv.Room("r")))
		}
		time.Sleep(time.Minute)
		require.Empty(t, news(zoe))
		alice.Leave("r")
		require.Equal(t, []string{"alice"}, zoe.Expect("presence").Leave)
	})
}

// TestPresenceOfAServerThatWasAway: what a server has missed of others while it
// could not reach the store, it learns when it can.
func TestPresenceOfAServerThatWasAway(t *testing.T) {
	watchedBy(t, 2, func(t *testing.T, g *group, zoe *chattest.Client) {
		alice, bob := g.srvs[0].Dial("alice"), g.srvs[0].Dial("bob")
		alice.Join("r")
		time.Sleep(5 * time.Second)
		zoe.Drain()
		g.nodes[1].Down()
		alice.Leave("r")
		bob.Join("r")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"bob"}, online(t, g.srvs[0].Room("r")), "zoe's server is given up")
		g.nodes[1].Up()
		time.Sleep(6 * time.Second) // probed, attended again, read, told: each may be put off for a second
		frames := news(zoe)
		require.Len(t, frames, 1)
		require.Equal(t, []string{"alice"}, frames[0].Leave)
		require.Equal(t, []string{"bob"}, frames[0].Join)
		require.Equal(t, []string{"bob", "zoe"}, online(t, g.srvs[0].Room("r")))
	})
}

// TestPresenceThroughAShutdown guards row 17: those who go from a server that
// shuts down and come to another have not been away; who does not, is gone.
func TestPresenceThroughAShutdown(t *testing.T) {
	watchedBy(t, 3, func(t *testing.T, g *group, zoe *chattest.Client) {
		for i := range 4 {
			g.srvs[0].Dial(fmt.Sprint("user", i)).Join("r")
		}
		time.Sleep(10 * time.Second)
		zoe.Drain()
		require.NoError(t, g.srvs[0].Shutdown(context.Background()))
		time.Sleep(3 * time.Second)
		for i := range 3 { // the fourth stays away
			c := g.srvs[1].Dial(fmt.Sprint("user", i))
			require.Equal(t, 5, c.Join("r").Online)
		}
		time.Sleep(time.Second)
		require.Empty(t, news(zoe))
		time.Sleep(8 * time.Second)
		frames := news(zoe)
		require.Len(t, frames, 1)
		require.Equal(t, []string{"user3"}, frames[0].Leave)
		require.Empty(t, frames[0].Join)
		require.Equal(t, []string{"user0", "user1", "user2", "zoe"}, online(t, g.srvs[1].Room("r")))
	})
}
