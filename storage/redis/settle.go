package redis

import (
	"context"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

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
		if c.cmd == nil { // something panicked before
			continue
		}
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
