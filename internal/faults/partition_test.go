package faults

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/redistest"
)

// Row 5: Redis stands still. Who sends is told so within a second or so, and
// everything goes on when it does.
func TestRedisPaused(t *testing.T) {
	redis := redistest.Start(t, "appendonly yes")
	c := begin(t, redis.URL(), 2)
	c.flows()
	redis.Pause()
	time.Sleep(8 * time.Second)
	redis.Resume()
	back := c.flows()
	c.settle()
	for _, w := range c.writers {
		// The http client gives up after 3 s; who is told earlier does not.
		require.Less(t, w.slow, 2500*time.Millisecond, "%s has been kept waiting", w.user)
	}
	report(t, "first acknowledgement after the pause", []time.Duration{back})
}

// Row 10: one node is cut off from Redis, the other is not.
func TestNodeCutOff(t *testing.T) {
	redis := redistest.Start(t, "appendonly yes")
	p := link(t, redis.Addr)
	c := beginWith(t, []string{redis.URL(), p.through(redis.URL(), redis.Addr)})
	var back []time.Duration
	for i := range rounds() {
		c.flows()
		if i%2 == 0 {
			p.sever()
		} else {
			p.blackhole()
		}
		time.Sleep(3 * time.Second)
		require.False(t, c.ready(1), "readiness is red")
		require.True(t, c.ready(0))
		if i%2 == 0 {
			p.mend()
		} else {
			p.heal()
		}
		began := time.Now()
		require.Eventually(t, func() bool { return c.ready(1) }, 10*time.Second, 10*time.Millisecond)
		back = append(back, time.Since(began))
	}
	c.settle()
	report(t, "ready after the cut", back)
}

// Row 8: a slow link costs time, and nothing else.
func TestRedisSlow(t *testing.T) {
	redis := redistest.Start(t)
	p := link(t, redis.Addr)
	c := beginWith(t, []string{redis.URL(), p.through(redis.URL(), redis.Addr)})
	c.flows()
	p.toxic("latency", map[string]any{"latency": 150, "jitter": 50})
	time.Sleep(3 * time.Second)
	c.flows()
	p.heal()
	p.toxic("bandwidth", map[string]any{"rate": 50})
	time.Sleep(3 * time.Second)
	c.flows()
	p.heal()
	c.settle()
}

// Row 9: the link by which servers are told of each other is cut again and
// again, while the store itself can be reached.
func TestHintsCut(t *testing.T) {
	redis := redistest.Start(t)
	c := begin(t, redis.URL(), 2)
	client := redis.Client()
	t.Cleanup(func() { _ = client.Close() })
	for range 5 * rounds() {
		c.flows()
		require.NoError(t, client.Do(context.Background(), "CLIENT", "KILL", "TYPE", "pubsub").Err())
		sleepUpTo(300 * time.Millisecond)
	}
	c.settle()
}

// Row 7: Redis is full. Nothing can be sent, everything can be read, and it
// goes on when there is room.
func TestRedisFull(t *testing.T) {
	redis := redistest.Start(t, "appendonly yes")
	client := redis.Client()
	t.Cleanup(func() { _ = client.Close() })
	c := begin(t, redis.URL(), 2)
	c.flows()
	ctx := context.Background()
	require.NoError(t, client.ConfigSet(ctx, "maxmemory", "1mb").Err())
	time.Sleep(2 * time.Second)
	count := c.lastAck.Load()
	time.Sleep(500 * time.Millisecond)
	require.Equal(t, count, c.lastAck.Load(), "nothing is acknowledged")
	require.NotEmpty(t, c.log(c.addrs[0], c.rooms[0]), "what is there can be read")
	require.NoError(t, client.ConfigSet(ctx, "maxmemory", "0").Err())
	back := c.flows()
	c.settle()
	report(t, "first acknowledgement after there was room", []time.Duration{back})
}

// Row 4: Redis forgets everything. That is said: another epoch for everybody,
// and never a position under the old one.
func TestRedisFlushed(t *testing.T) {
	redis := redistest.Start(t)
	c := begin(t, redis.URL(), 2)
	client := redis.Client()
	t.Cleanup(func() { _ = client.Close() })
	c.lossy.Store(true)
	for range rounds() {
		c.flows()
		require.NoError(t, client.FlushAll(context.Background()).Err())
		sleepUpTo(500 * time.Millisecond)
	}
	c.flows()
	for _, r := range c.readers {
		require.Eventually(t, func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.resets >= 1
		}, 10*time.Second, 10*time.Millisecond, "%s has been told", r.user)
	}
	c.forgetAcks()
	c.settle()
}
