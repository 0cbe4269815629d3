package chat_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// news returns the presence frames that the client has got.
func news(c *chattest.Client) (list []chattest.Event) {
	synctest.Wait()
	for _, ev := range c.Drain() {
		if ev.Type == "presence" {
			list = append(list, ev)
		}
	}
	return list
}

// watched is a room that bob watches, in which nothing has happened for long.
func watched(t *testing.T, o *chat.Options, test func(t *testing.T, srv *chattest.Server, bob *chattest.Client)) {
	t.Helper()
	bubble(t, o, func(t *testing.T, srv *chattest.Server) {
		bob := srv.Dial("bob")
		bob.Join("r")
		time.Sleep(time.Minute)
		bob.Drain()
		test(t, srv, bob)
	})
}

func TestPresenceIsPerUser(t *testing.T) {
	watched(t, nil, func(t *testing.T, srv *chattest.Server, bob *chattest.Client) {
		first, second := srv.Dial("alice"), srv.Dial("alice")
		first.Join("r")
		require.Equal(t, []string{"alice"}, bob.Expect("presence").Join)
		require.Equal(t, 2, second.Join("r").Online)
		first.Join("r")
		time.Sleep(time.Minute)
		require.Empty(t, news(bob), "a second tab changes nothing")
		second.Cut()
		time.Sleep(time.Minute)
		require.Empty(t, news(bob), "closing one of two changes nothing")
		first.Leave("r")
		require.Equal(t, []string{"alice"}, bob.Expect("presence").Leave)
	})
}

func TestPresenceSurvivesADropWithinTheGrace(t *testing.T) {
	watched(t, nil, func(t *testing.T, srv *chattest.Server, bob *chattest.Client) {
		for range 3 { // each drop has a grace of its own
			alice := srv.Dial("alice")
			alice.Join("r")
			time.Sleep(3 * time.Second)
			alice.Cut()
			time.Sleep(4 * time.Second)
			require.Equal(t, []string{"alice", "bob"}, online(t, srv.Room("r")))
		}
		frames := news(bob)
		require.Len(t, frames, 1)
		require.Equal(t, []string{"alice"}, frames[0].Join)
		time.Sleep(900 * time.Millisecond)
		require.Empty(t, news(bob))
		time.Sleep(200 * time.Millisecond)
		frames = news(bob)
		require.Len(t, frames, 1)
		require.Equal(t, []string{"alice"}, frames[0].Leave)
		require.Equal(t, 1, frames[0].Online)
		require.Equal(t, []string{"bob"}, online(t, srv.Room("r")))
	})
}

func TestPresenceEndsAtOnceForWhoLeaves(t *testing.T) {
	watched(t, nil, func(t *testing.T, srv *chattest.Server, bob *chattest.Client) {
		alice := srv.Dial("alice")
		alice.Join("r")
		time.Sleep(2 * time.Second)
		bob.Drain()
		alice.Leave("r")
		frames := news(bob)
		require.Len(t, frames, 1)
		require.Equal(t, []string{"alice"}, frames[0].Leave)
		require.Equal(t, []string{"bob"}, online(t, srv.Room("r")))
	})
}

func TestPresenceIsToldAtMostOnceASecond(t *testing.T) {
	watched(t, nil, func(t *testing.T, srv *chattest.Server, bob *chattest.Client) {
		alice := srv.Dial("alice")
		var last time.Time
		here, frames := false, 0
		for i := range 95 { // ends with alice in the room
			if i%2 == 0 {
				alice.Join("r")
			} else {
				alice.Leave("r")
			}
			for _, ev := range news(bob) {
				require.GreaterOrEqual(t, time.Since(last), time.Second)
				last = time.Now()
				here = len(ev.Join) > 0
				frames++
			}
			time.Sleep(70 * time.Millisecond)
		}
		require.LessOrEqual(t, frames, 8)
		time.Sleep(2 * time.Second)
		for _, ev := range news(bob) {
			here = len(ev.Join) > 0
		}
		require.True(t, here, "the last word is true")
	})
}

func TestPresenceOfManyIsASample(t *testing.T) {
	const limit, many = 30, 70
	o := &chat.Options{Limits: chat.Limits{Presence: limit}}
	watched(t, o, func(t *testing.T, srv *chattest.Server, bob *chattest.Client) {
		var crowd []*chattest.Client
		for i := range many {
			c := srv.Dial(fmt.Sprintf("user-%03d", i))
			c.Join("r")
			crowd = append(crowd, c)
			if i%40 == 20 {
				time.Sleep(2 * time.Second)
			}
		}
		time.Sleep(2 * time.Second)
		last := 0
		for _, ev := range news(bob) {
			if ev.Online > limit {
				require.LessOrEqual(t, len(ev.Join)+len(ev.Leave), 20)
			} else {
				require.Equal(t, ev.Online-max(last, 1), len(ev.Join), "all of them in a small room")
			}
			last = ev.Online
		}
		require.Equal(t, many+1, last)
		joined := srv.Dial("bob").Join("r")
		require.Equal(t, many+1, joined.Online)
		require.Len(t, joined.Users, limit)
		require.Len(t, online(t, srv.Room("r")), many+1)

		for _, c := range crowd {
			c.Leave("r")
		}
		time.Sleep(2 * time.Second)
		for _, ev := range news(bob) {
			require.LessOrEqual(t, len(ev.Leave), many)
			last = ev.Online
		}
		require.Equal(t, 1, last)
	})
}

func TestJoinedListsWhoIsOnline(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		for _, user := range []string{"dora", "alice", "carol", "bob", "carol"} {
			joined := srv.Dial(user).Join("r")
			require.Equal(t, online(t, srv.Room("r")), joined.Users)
			require.Equal(t, len(joined.Users), joined.Online)
			require.Contains(t, joined.Users, user)
		}
		c := srv.Dial("erin")
		ev := c.Call(map[string]any{"type": "presence", "room": "r"})
		require.Equal(t, []string{"alice", "bob", "carol", "dora"}, ev.Users, "asking is not joining")
		ev = c.Call(map[string]any{"type": "members", "room": "r", "limit": 1})
		require.Equal(t, []string{"alice"}, ev.Users)
		cursor := decoded[struct{ Cursor string }](t, ev.Raw).Cursor
		ev = c.Call(map[string]any{"type": "members", "room": "r", "limit": 3, "cursor": cursor})
		require.Equal(t, []string{"bob", "carol", "dora"}, ev.Users)
		require.Empty(t, online(t, srv.Room("nowhere")))
	})
}
