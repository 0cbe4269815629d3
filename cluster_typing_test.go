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

// typed returns the typing frames that the client has got.
func typed(c *chattest.Client) (list []string) {
	synctest.Wait()
	for _, ev := range c.Drain() {
		if ev.Type == "typing" {
			list = append(list, fmt.Sprint(ev.User, " ", ev.Active))
		}
	}
	return list
}

// TestTypingAcrossServers: who types is seen to on all servers, once, and for
// no longer than they do.
func TestTypingAcrossServers(t *testing.T) {
	together(t, 3, func(t *testing.T, g *group) {
		c := g.dial("alice", "bob", "carol")
		for _, c := range c {
			c.Join("r")
		}
		dave := g.srvs[0].Dial("dave")
		dave.Join("r")
		time.Sleep(time.Minute)
		show := func(active bool) { c[0].Do(map[string]any{"type": "typing", "room": "r", "active": active}) }
		others := []*chattest.Client{c[1], c[2], dave}
		told := func(want ...string) {
			t.Helper()
			for _, c := range others {
				require.Equal(t, want, typed(c))
			}
		}
		told()
		show(true)
		told("alice true")
		show(true)
		told()
		show(false)
		told("alice false")
		time.Sleep(time.Minute)
		told()

		show(true)
		told("alice true")
		time.Sleep(7 * time.Second)
		told("alice false")
		time.Sleep(time.Minute)
		told()

		show(true)
		told("alice true")
		c[0].Send("r", "done")
		told("alice false")

		g.srvs[1].Room("r").Typing(chat.User{ID: "bot", Name: "Bot"}, true)
		told("bot true")
		time.Sleep(time.Minute)
		told("bot false")

		// By a server where nobody is in the room.
		late := g.add(chat.Options{})
		synctest.Wait()
		late.Room("r").Typing(chat.User{ID: "bot", Name: "Bot"}, true)
		told("bot true")
	})
}
