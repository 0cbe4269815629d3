package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/safelog"
)

// LimiterOptions say how a Limiter works. Zero means the default.
type LimiterOptions struct {
	// Prefix begins every key. Default: "gabble".
	Prefix string

	// Every is how often what has been admitted is settled. Default: 100 ms.
	Every time.Duration

	// MaxKeys is how many keys are remembered in this process, at most; beyond
	// it some start with a whole budget again. Default: 100,000.
	MaxKeys int

	// Logger is told when settling begins to fail. Default: slog.Default().
	Logger *slog.Logger
}

const (
	defaultEvery   = 100 * time.Millisecond
	defaultMaxKeys = 100_000
	settleAtOnce   = 500
	settleWithin   = time.Second
	maxRetryAfter  = time.Hour
)

// Limiter is a [chat.Limiter] over all servers that share a Redis. It admits
// by what it knows of the key's budget, without asking, and settles with the
// others in the background. Two servers together admit one burst more than
// the rate says, at most; each further one adds a burst to that. While Redis
// does not answer each server holds to the limit by itself.
type Limiter struct {
	client goredis.UniversalClient
	o      LimiterOptions
	script *script

	failures atomic.Uint64
	end      context.CancelFunc
	done     chan struct{}

	mu      sync.Mutex
	budgets map[budgetKey]*budget
	dirty   map[*budget]struct{} // those with something to settle
	alone   bool                 // settling fails
	flying  time.Time            // since when a settlement is under way; zero: none is
	clock   clock                // of the server, where there is but one
}

var _ chat.Limiter = (*Limiter)(nil)

type budgetKey struct {
	key string
	chat.Rate
}

// budget is what this server knows of one. While it is in use it grows by
// settlements alone: if it grew by itself, it would on each server.
type budget struct {
	budgetKey
	left  float64
	at    time.Time // when left was so
	taken int       // not settled yet
	since time.Time // when the first of that was taken
	due   time.Time // when to settle
	clock clock     // of the key's server
}

// NewLimiter returns a Limiter on a client that the caller has made and closes,
// after the Limiter.
func NewLimiter(client goredis.UniversalClient, o LimiterOptions) *Limiter {
	o.Prefix = or(o.Prefix, defaultPrefix)
	o.Logger = safelog.New(o.Logger)
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.MaxKeys <= 0 {
		o.MaxKeys = defaultMaxKeys
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Limiter{
		client: client, o: o, script: newScript(limitLua), end: cancel, done: make(chan struct{}),
		budgets: make(map[budgetKey]*budget), dirty: make(map[*budget]struct{}),
	}
	go l.run(ctx)
	return l
}

// Close settles once more and ends the background work. It may be called
// again. Allow goes on by itself.
func (l *Limiter) Close() error {
	l.end()
	<-l.done
	return nil
}

// Failures is how many settlements have failed.
func (l *Limiter) Failures() uint64 { return l.failures.Load() }

// Allow implements [chat.Limiter]. It never blocks on Redis and never fails.
func (l *Limiter) Allow(_ context.Context, key string, r chat.Rate) (time.Duration, error) {
	if r.Burst <= 0 {
		return maxRetryAfter, nil
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.budget(budgetKey{key, r}, now)
	if _, unsettled := l.dirty[b]; l.holdsAlone(now) || !unsettled && now.Sub(b.at) > 2*l.o.Every {
		b.left = math.Min(float64(r.Burst), b.left+now.Sub(b.at).Seconds()*r.PerSecond)
		b.at = now
	}
	if b.left >= 1 {
		b.left--
		if b.taken == 0 { // else it is due already, however often there is more
			b.since, b.due = now, now
		}
		b.taken++
		l.dirty[b] = struct{}{}
		return 0, nil
	}
	ready := b.at.Add(seconds((1 - b.left) / r.PerSecond))
	if b.taken == 0 {
		b.due = ready
	}
	l.dirty[b] = struct{}{}
	return min(max(ready.Sub(now), 0)+l.o.Every, maxRetryAfter), nil
}

// holdsAlone reports whether budgets have to grow by themselves because no
// settlement comes.
func (l *Limiter) holdsAlone(now time.Time) bool {
	return l.alone || !l.flying.IsZero() && now.Sub(l.flying) > 3*l.o.Every
}

// budget returns that of the key, a whole one if there is none.
func (l *Limiter) budget(k budgetKey, now time.Time) *budget {
	if b := l.budgets[k]; b != nil {
		return b
	}
	if len(l.budgets) >= l.o.MaxKeys {
		for k, b := range l.budgets { // any of them
			delete(l.budgets, k)
			delete(l.dirty, b)
			break
		}
	}
	b := &budget{budgetKey: k, left: float64(k.Burst), at: now}
	l.budgets[k] = b
	return b
}

// seconds is for what may be without end.
func seconds(s float64) time.Duration {
	if !(s < maxRetryAfter.Seconds()) {
		return maxRetryAfter
	}
	return time.Duration(s * float64(time.Second))
}

func (l *Limiter) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(l.o.Every)
	defer tick.Stop()
	for sweep := 1; ; sweep++ {
		select {
		case <-ctx.Done():
			l.settle(time.Now())
			return
		case now := <-tick.C:
			l.settle(now)
			if sweep%100 == 0 {
				l.sweep(now)
			}
		}
	}
}

// sweep forgets budgets that are whole again.
func (l *Limiter) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, b := range l.budgets {
		if _, ok := l.dirty[b]; !ok && b.left+now.Sub(b.at).Seconds()*b.PerSecond >= float64(b.Burst) {
			delete(l.budgets, k)
		}
	}
}

// name hashes the key, which may hold anything.
func (l *Limiter) name(k budgetKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %d %s", k.PerSecond, k.Burst, k.key))
	return l.o.Prefix + ":limit:" + hex.EncodeToString(sum[:16])
}
