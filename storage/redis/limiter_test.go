package redis_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

func limiter(t *testing.T, srv *redistest.Server, o redis.LimiterOptions) *redis.Limiter {
	l := redis.NewLimiter(client(t, srv), o)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func allowed(t *testing.T, l *redis.Limiter, key string, r chat.Rate) bool {
	wait, err := l.Allow(t.Context(), key, r)
	require.NoError(t, err)
	return wait == 0
}

func TestTwoServersExceedTheLimitByABurstAtMost(t *testing.T) {
	srv := redistest.Start(t)
	rate := chat.Rate{PerSecond: 40, Burst: 20}
	nodes := []*redis.Limiter{limiter(t, srv, redis.LimiterOptions{}), limiter(t, srv, redis.LimiterOptions{})}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	start := time.Now()
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for _, l := range nodes {
		wg.Go(func() {
			for ctx.Err() == nil {
				if wait, _ := l.Allow(ctx, "alice", rate); wait == 0 {
					admitted.Add(1)
					continue
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	wg.Wait()
	most := 2*float64(rate.Burst) + rate.PerSecond*time.Since(start).Seconds()
	require.LessOrEqual(t, float64(admitted.Load()), most)
	require.Greater(t, admitted.Load(), int64(100), "nor is it much stricter than it says")
}

func TestLimiterSettles(t *testing.T) {
	srv := redistest.Start(t)
	a, b := limiter(t, srv, redis.LimiterOptions{}), limiter(t, srv, redis.LimiterOptions{})
	r := chat.Rate{PerSecond: 0.01, Burst: 5}
	for range 5 {
		require.True(t, allowed(t, a, "k", r))
	}
	wait, err := a.Allow(t.Context(), "k", r)
	require.NoError(t, err)
	require.Greater(t, wait, time.Minute)
	require.True(t, allowed(t, b, "k", r), "without asking")
	require.Eventually(t, func() bool { return !allowed(t, b, "k", r) }, bound, time.Millisecond)
	require.True(t, allowed(t, b, "other", r))
	require.True(t, allowed(t, b, "k", chat.Rate{PerSecond: 1, Burst: 1}), "another rate is another budget")
	require.False(t, allowed(t, b, "k", chat.Rate{PerSecond: 1}), "no burst, nothing")
}

func TestLimiterWithoutServerHoldsByItself(t *testing.T) {
	srv := redistest.Start(t)
	l := limiter(t, srv, redis.LimiterOptions{Every: 5 * time.Millisecond})
	r := chat.Rate{PerSecond: 20, Burst: 3}
	require.True(t, allowed(t, l, "k", r))
	srv.Kill()
	require.Eventually(t, func() bool {
		allowed(t, l, "k", r)
		return l.Failures() > 0
	}, bound, time.Millisecond)
	for allowed(t, l, "k", r) { // ends: there is a limit
	}
	require.Eventually(t, func() bool { return allowed(t, l, "k", r) }, bound, time.Millisecond, "and a rate")
}

func TestLimiterIsBounded(t *testing.T) {
	srv := redistest.Start(t)
	l := limiter(t, srv, redis.LimiterOptions{MaxKeys: 10, Every: time.Hour})
	for i := range 1000 {
		require.True(t, allowed(t, l, fmt.Sprint(i), chat.Rate{PerSecond: 1, Burst: 1}))
	}
	require.LessOrEqual(t, l.Keys(), 10)
}
