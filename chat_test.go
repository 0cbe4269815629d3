package chat_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
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

// online returns who is in the room.
func online(t *testing.T, r *chat.Room) []string {
	t.Helper()
	ids, err := r.Online(t.Context())
	require.NoError(t, err)
	return ids
}
