package chat_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

func TestTwoServersAreOneChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := storagetest.Shared(memory.New())
		a := chattest.New(t, &chat.Options{Store: shared.Node()})
		b := chattest.New(t, &chat.Options{Store: shared.Node()})
		alice, bob := a.Dial("alice"), b.Dial("bob")
		alice.Join("general")
		joined := bob.Join("general")
		require.Equal(t, []string{"alice", "bob"}, joined.Users)

		ack := alice.Send("general", "hello")
		ev := bob.Expect("message")
		require.Equal(t, ack.ID, ev.ID)
		require.Equal(t, "hello", ev.Message.Content)
	})
}
