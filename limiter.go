package chat

import (
	"context"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how often something may happen: Burst at once, and PerSecond over
// time.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Limiter counts events by key. The one of [NewLimiter] counts in this
// process; one over a shared backend makes a limit hold across servers.
type Limiter interface {
	// Allow takes one event off the key's budget. retryAfter is zero when the
	// event may happen, else how long to wait. An error means that the limiter
	// could not tell; the caller decides what that means.
	Allow(ctx context.Context, key string, r Rate) (retryAfter time.Duration, err error)
}

// NewLimiter returns a Limiter that counts in memory. A key's budget is
// forgotten once it has been full again for a while. It is safe for concurrent
// use and owns no goroutine.
func NewLimiter() Limiter {
	l := &memoryLimiter{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].buckets = make(map[string]*bucket)
	}
	return l
}

type memoryLimiter struct {
	seed   maphash.Seed
	shards [64]limiterShard
}

type limiterShard struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	*rate.Limiter
	rate Rate
	full time.Time // when the budget is whole again and the bucket worth nothing
}

// sweepEvery bounds how long forgotten keys take memory, and with it what a
// visitor with many addresses can make the limiter hold.
const sweepEvery = 10 * time.Second

func (m *memoryLimiter) Allow(_ context.Context, key string, r Rate) (time.Duration, error) {
	now := time.Now()
	l := &m.shards[maphash.String(m.seed, key)%uint64(len(m.shards))]
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) > sweepEvery {
		l.swept = now
		for k, b := range l.buckets {
			if b.full.Before(now) {
				delete(l.buckets, k)
			}
		}
	}
	b := l.buckets[key]
	if b == nil || b.rate != r {
		b = &bucket{Limiter: rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst), rate: r}
		l.buckets[key] = b
	}
	res := b.ReserveN(now, 1)
	if !res.OK() { // a burst of 0 allows nothing, ever
		return time.Hour, nil
	}
	wait := res.DelayFrom(now)
	if wait > 0 {
		res.CancelAt(now)
		return wait, nil
	}
	missing := float64(r.Burst) - b.TokensAt(now)
	wait = math.MaxInt64 // of a rate that is next to nothing
	if ns := missing / max(r.PerSecond, 1e-9) * float64(time.Second); ns < math.MaxInt64 {
		wait = time.Duration(ns)
	}
	b.full = now.Add(wait)
	return 0, nil
}
