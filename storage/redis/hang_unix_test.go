//go:build unix

package redis_test

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
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

// What was given up while the server hung is not taken when it comes to it:
// who keeps well below the rate is admitted, meanwhile and afterwards.
func TestLimiterForgivesAHang(t *testing.T) {
	srv := redistest.Start(t)
	c := goredis.NewClient(&goredis.Options{Addr: srv.Addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer c.Close()
	l := redis.NewLimiter(c, redis.LimiterOptions{})
	defer func() { require.NoError(t, l.Close()) }()
	r := chat.Rate{PerSecond: 20, Burst: 10}
	tick := time.NewTicker(100 * time.Millisecond) // half the rate
	defer tick.Stop()
	takes := func(n int) (refused int) {
		for range n {
			<-tick.C
			if !allowed(t, l, "k", r) {
				refused++
			}
		}
		return refused
	}
	require.Zero(t, takes(10))
	srv.Pause()
	require.Zero(t, takes(60), "while it hangs")
	require.Positive(t, l.Failures())
	srv.Resume()
	require.Zero(t, takes(30), "afterwards")
}
