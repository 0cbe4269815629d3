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

// clock is what is known of a server's: its time at one of ours, at the latest.
type clock struct {
	server float64 // seconds
	ours   time.Time
}

// at is the server's time at t, zero where that is not known.
func (c clock) at(t time.Time) float64 {
	if c.ours.IsZero() {
		return 0
	}
	return c.server + t.Sub(c.ours).Seconds()
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

// claim is what one settlement takes off one budget.
type claim struct {
	*budget
	taken int
	since time.Time
	clock clock
	cmd   *command
}

// settle takes what has been admitted off the common budgets.
func (l *Limiter) settle(now time.Time) {
	for {
		claims, more := l.claims(now)
		if len(claims) == 0 {
			return
		}
		began := time.Now()
		l.apply(claims, guarded(func() error { return l.exec(claims, began) }), began)
		if !more {
			return
		}
	}
}

func (l *Limiter) claims(now time.Time) (claims []claim, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		if len(claims) > 0 {
			l.flying = time.Now()
		}
	}()
	for b := range l.dirty {
		if b.due.After(now) {
			continue
		}
		if len(claims) == settleAtOnce {
			return claims, true
		}
		c := claim{budget: b, taken: b.taken, since: b.since, clock: b.clock}
		if c.clock.ours.IsZero() {
			c.clock = l.clock
		}
		claims = append(claims, c)
		b.taken = 0
		delete(l.dirty, b)
	}
	return claims, false
}

func (l *Limiter) exec(claims []claim, began time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
	defer cancel()
	pipe := l.client.Pipeline()
	for i := range claims {
		c := &claims[i]
		var span time.Duration
		if c.taken > 0 {
			span = began.Sub(c.since)
		}
		c.cmd = l.script.command(ctx, []string{l.name(c.budgetKey)}, c.taken,
			strconv.FormatFloat(c.PerSecond, 'f', -1, 64), c.Burst,
			strconv.FormatFloat(c.clock.at(began.Add(settleWithin)), 'f', 6, 64),
			strconv.FormatFloat(span.Seconds(), 'f', 6, 64))
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
func (l *Limiter) apply(claims []claim, err error, began time.Time) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying = time.Time{}
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
		reply, _ := c.cmd.Val().([]any)
		if c.cmd.Err() != nil || len(reply) != 2 {
			continue
		}
		left, err := strconv.ParseFloat(text(reply[0]), 64)
		at, err2 := strconv.ParseFloat(text(reply[1]), 64)
		if err != nil || err2 != nil {
			continue
		}
		c.budget.clock = clock{at, began} // it was read later, so this is ahead, if anything
		if _, ok := l.client.(*goredis.ClusterClient); !ok {
			l.clock = c.budget.clock
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
