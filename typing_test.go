package chat_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

func typing(c *chattest.Client, active bool) {
	c.Do(map[string]any{"type": "typing", "room": "r", "active": active})
}

// typings returns what the client has been told of who types: "alice" when she
// has begun, "-alice" when she has ended.
func typings(c *chattest.Client) (list []string) {
	synctest.Wait()
	for _, ev := range c.Drain() {
		if ev.Type == "typing" {
			if !ev.Active {
				ev.User = "-" + ev.User
			}
			list = append(list, ev.User)
		}
	}
	return list
}

// audience runs a test with alice and bob in a room.
func audience(t *testing.T, test func(t *testing.T, srv *chattest.Server, alice, bob *chattest.Client)) {
	t.Helper()
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		alice.Join("r")
		bob.Join("r")
		synctest.Wait() // a signal reaches who has all of the joined frame behind them
		test(t, srv, alice, bob)
	})
}

func TestTypingExpiresAfterSixSeconds(t *testing.T) {
	audience(t, func(t *testing.T, _ *chattest.Server, alice, bob *chattest.Client) {
		typing(alice, true)
		require.Equal(t, []string{"alice"}, typings(bob))
		time.Sleep(5900 * time.Millisecond)
		require.Empty(t, typings(bob))
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, []string{"-alice"}, typings(bob))
		time.Sleep(time.Hour)
		require.Empty(t, typings(bob))
	})
}

func TestTypingThatGoesOnIsToldAtMostEveryTwoSeconds(t *testing.T) {
	audience(t, func(t *testing.T, _ *chattest.Server, alice, bob *chattest.Client) {
		for range 100 {
			typing(alice, true)
			time.Sleep(100 * time.Millisecond)
		}
		told := typings(bob)
		require.GreaterOrEqual(t, len(told), 4)
		require.LessOrEqual(t, len(told), 6)
		require.NotContains(t, told, "-alice")
		time.Sleep(5 * time.Second)
		require.Empty(t, typings(bob), "six seconds from the last, not from the first")
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"-alice"}, typings(bob))
	})
}

func TestTypingEndsWithWhatEndsIt(t *testing.T) {
	for name, end := range map[string]func(alice *chattest.Client){
		"saying so":     func(alice *chattest.Client) { typing(alice, false) },
		"a message":     func(alice *chattest.Client) { alice.Send("r", "x") },
		"leaving":       func(alice *chattest.Client) { alice.Leave("r") },
		"disconnecting": func(alice *chattest.Client) { alice.Close() },
		"dropping":      func(alice *chattest.Client) { alice.Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			audience(t, func(t *testing.T, _ *chattest.Server, alice, bob *chattest.Client) {
				typing(alice, true)
				require.Equal(t, []string{"alice"}, typings(bob))
				end(alice)
				require.Equal(t, []string{"-alice"}, typings(bob))
				time.Sleep(time.Minute)
				require.Empty(t, typings(bob), "once")
			})
		})
	}
}

// Typing is per user: what an idle tab does says nothing of the one that types.
func TestTypingOfOneTabOutlivesAnother(t *testing.T) {
	audience(t, func(t *testing.T, srv *chattest.Server, alice, bob *chattest.Client) {
		tab := srv.Dial("alice")
		tab.Join("r")
		typing(alice, true)
		require.Equal(t, []string{"alice"}, typings(bob))
		tab.Cut()
		require.Empty(t, typings(bob))
	})
}

func TestTypingIsNotStoredAndNotForOutsiders(t *testing.T) {
	audience(t, func(t *testing.T, srv *chattest.Server, alice, bob *chattest.Client) {
		head := headOf(t, srv.Room("r"))
		typing(alice, true)
		require.Equal(t, []string{"alice"}, typings(bob))
		require.Equal(t, head, headOf(t, srv.Room("r")))
		carol := srv.Dial("carol")
		require.Empty(t, typings(carol))
		require.Equal(t, chat.CodeNotFound, carol.Call(map[string]any{"type": "typing", "room": "nowhere"}).Code)
	})
}
