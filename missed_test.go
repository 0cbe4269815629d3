package chat_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// A loop of Changes sees what another server appends after its page was read
// and before it follows the room.
func TestChangesBeginsWhileAnotherServerAppends(t *testing.T) {
	together(t, 2, func(t *testing.T, g *group) {
		say(t, g.srvs[0].Room("r"), 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var revs []int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e, err := range g.srvs[1].Room("r").Changes(ctx, chat.Position{}) {
				if err != nil {
					return
				}
				if revs = append(revs, e.Rev); len(revs) == 1 {
					_, err := g.srvs[0].Room("r").Send(ctx, chat.Message{User: "host", Content: "meanwhile"})
					require.NoError(t, err)
					time.Sleep(5 * time.Second) // the hint has come, and nobody follows
				}
			}
		}()
		time.Sleep(time.Minute)
		cancel()
		<-done
		require.Equal(t, []int64{1, 2, 3}, revs)
	})
}

// A comparison that has found nobody in a room, and is overtaken by somebody
// who comes, leaves them neither behind the log nor without news of who is in
// the room on other servers.
func TestAComparisonIsOvertakenByWhoComes(t *testing.T) {
	together(t, 2, func(t *testing.T, g *group) {
		c := g.dial("alice", "bob")
		c[0].Join("r")
		c[1].Join("r")
		time.Sleep(5 * time.Second)
		c[1].Drain()

		// Nobody is told of what is written past the nodes.
		_, err := g.Unwrap().Append(t.Context(), "r", chat.Position{}, []chat.Change{{Kind: chat.ChangeCreate, At: time.Now(), Message: chat.Message{
			ID: "01KAPT3H5VQ3K8M2N4P6R8T0W1", Room: "r", User: "alice", Kind: chat.KindRegular, Content: "untold",
		}}})
		require.NoError(t, err)
		g.srvs[1].Outdate("r")
		synctest.Wait()
		require.Equal(t, "untold", c[1].Expect("message").Message.Content)

		c[0].Leave("r")
		require.Equal(t, []string{"alice"}, c[1].Expect("presence").Leave)
	})
}
