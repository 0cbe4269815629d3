package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"strconv"
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
	due   time.Time // when to settle
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
	if _, unsettled := l.dirty[b]; l.alone || !unsettled && now.Sub(b.at) > 2*l.o.Every {
		b.left = math.Min(float64(r.Burst), b.left+now.Sub(b.at).Seconds()*r.PerSecond)
		b.at = now
	}
	if b.left >= 1 {
		b.left--
		b.taken++
		b.due = now
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

// claim is what one settlement takes off one budget.
type claim struct {
	*budget
	taken int
	cmd   *command
}

// settle takes what has been admitted off the common budgets.
func (l *Limiter) settle(now time.Time) {
	for {
		claims, more := l.claims(now)
		if len(claims) == 0 {
			return
		}
		l.apply(claims, guarded(func() error { return l.exec(claims) }))
		if !more {
			return
		}
	}
}

func (l *Limiter) claims(now time.Time) (claims []claim, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for b := range l.dirty {
		if b.due.After(now) {
			continue
		}
		if len(claims) == settleAtOnce {
			return claims, true
		}
		claims = append(claims, claim{budget: b, taken: b.taken})
		b.taken = 0
		delete(l.dirty, b)
	}
	return claims, false
}

func (l *Limiter) exec(claims []claim) error {
	ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
	defer cancel()
	pipe := l.client.Pipeline()
	for i := range claims {
		c := &claims[i]
		c.cmd = l.script.command(ctx, []string{l.name(c.budgetKey)}, c.taken,
			strconv.FormatFloat(c.PerSecond, 'f', -1, 64), c.Burst)
		_ = pipe.Process(ctx, c.cmd)
	}
	_, err := pipe.Exec(ctx)
	if !noScript(err) {
		return err
	}
	pipe = l.client.Pipeline()
	for i := range claims {
		if noScript(claims[i].cmd.Err()) {
			claims[i].cmd = claims[i].cmd.whole(ctx)
			_ = pipe.Process(ctx, claims[i].cmd)
		}
	}
	_, err = pipe.Exec(ctx)
	return err
}

// apply notes what is left. What could not be settled is forgotten: it may
// have been.
func (l *Limiter) apply(claims []claim, err error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures.Add(1)
		if !l.alone {
			l.o.Logger.Warn("redis: rate limits hold for this server alone", "err", err)
		}
		l.alone = true
	} else if l.alone {
		l.alone = false
		l.o.Logger.Info("redis: rate limits hold for all servers again")
	}
	for i := range claims {
		c := &claims[i]
		left, parseErr := strconv.ParseFloat(fmt.Sprint(c.cmd.Val()), 64)
		if c.cmd.Err() != nil || parseErr != nil {
			continue
		}
		c.left, c.at = left-float64(c.budget.taken), now
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
