package chat_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// Invariant 7: a stall in host code harms the session it served. Shutdown is
// not one of those.
func TestShutdownDoesNotWaitForHostCodeForEver(t *testing.T) {
	entered, release, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	srv := chattest.New(t, &chat.Options{
		Limits: chat.Limits{StoreTimeout: 100 * time.Millisecond},
		Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				if cmd.Type != chat.CmdMessage {
					return next(ctx, cmd)
				}
				defer close(left)
				close(entered)
				<-release // whatever ctx says
				return nil
			}
		}},
	})
	alice := srv.Dial("alice")
	alice.Join("r")
	alice.Do(map[string]any{"type": "message", "room": "r", "content": "hello"})
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, srv.Shutdown(ctx), "have not returned")
	_, err := srv.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: "late"})
	require.ErrorIs(t, err, chat.ErrServerClosed)
	close(release)
	<-left
}
