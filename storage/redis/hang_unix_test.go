//go:build unix

package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

func TestHangingServerIsGivenUp(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, srv.URL(), redis.Options{})
	add(t, s, "r", creation("r"))
	srv.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := s.Append(ctx, "r", chat.Position{}, []chat.Change{message("1")})
	require.ErrorIs(t, err, chat.ErrUnknown, "it has been sent")
	_, err = s.Head(ctx, "r")
	require.ErrorIs(t, err, chat.ErrUnavailable)
	require.Less(t, time.Since(start), 2*time.Second)
	srv.Resume()
	add(t, s, "r", message("1"))
	p, err := s.History(t.Context(), "r", chat.Query{Limit: 10})
	require.NoError(t, err)
	require.Len(t, p.Messages, 1, "the nonce makes the retry safe")
}
