package chat_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestTwoClientsTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		joined := alice.Join("general")
		require.EqualValues(t, 1, joined.Head, "the room's own creation is the first change")
		require.Equal(t, []string{"alice"}, joined.Users)
		bob.Join("general")

		ack := alice.Send("general", "hello")
		require.EqualValues(t, 1, ack.Seq)
		ev := bob.Expect("message")
		require.Equal(t, "hello", ev.Message.Content)
		require.Equal(t, "alice", ev.User)
		require.Equal(t, ack.ID, ev.ID)
		require.Equal(t, ack.Rev, ev.Rev)
		require.Equal(t, ack.ID, alice.Expect("message").ID, "the sender hears it too")

		late := srv.Dial("carol")
		require.Equal(t, "hello", late.Join("general").Messages[0].Content)
	})
}

func TestPresenceIsPerUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		bob := srv.Dial("bob")
		bob.Join("r")
		time.Sleep(2 * time.Second)
		bob.Drain()

		alice := srv.Dial("alice")
		alice.Join("r")
		require.Equal(t, []string{"alice"}, bob.Expect("presence").Join)
		second := srv.Dial("alice")
		require.Equal(t, 2, second.Join("r").Online)
		time.Sleep(time.Minute)
		require.Empty(t, bob.Drain(), "a second tab changes nothing")
		second.Cut()
		time.Sleep(time.Minute)
		require.Empty(t, bob.Drain(), "closing one of two changes nothing")

		alice.Cut()
		time.Sleep(4 * time.Second)
		alice = srv.Dial("alice")
		alice.Join("r")
		time.Sleep(time.Minute)
		require.Empty(t, bob.Drain(), "back within the grace")

		alice.Cut()
		time.Sleep(4900 * time.Millisecond)
		require.Empty(t, bob.Drain())
		time.Sleep(time.Second)
		ev := bob.Expect("presence")
		require.Equal(t, []string{"alice"}, ev.Leave)
		require.Equal(t, 1, ev.Online)
		require.Equal(t, []string{"bob"}, srv.Room("r").Online())
	})
}
