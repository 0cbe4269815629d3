package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/gabblehq/chat"
)

// counter asks a Limiter, and does without when it cannot answer.
type counter struct {
	limiter chat.Limiter
	failed  every
}

// take returns an error that tells the client when to come back, or nil.
func (c *counter) take(ctx context.Context, key string, rate chat.Rate, message string) error {
	if rate.Burst < 0 {
		return nil
	}
	wait, err := c.limiter.Allow(ctx, key, rate)
	if err != nil {
		if ctx.Err() == nil { // else the client has gone, which is no failure
			c.failed.log(ctx, "chat: the rate limiter fails, so nothing is limited", err)
		}
		return nil
	}
	if wait <= 0 {
		return nil
	}
	// Whole milliseconds cross the wire. Rounded down, clients would come back
	// a moment too soon, again and again.
	wait = min(wait, math.MaxInt64-time.Millisecond)
	wait = (wait + time.Millisecond - 1).Truncate(time.Millisecond)
	return &chat.Error{Code: chat.CodeRateLimited, Message: message, RetryAfter: wait}
}

// takeFrom takes it off the budget of an address.
func (c *counter) takeFrom(ctx context.Context, class string, ip netip.Addr, rate chat.Rate, message string) error {
	ip = ip.Unmap()
	// From loopback comes the host itself, or everybody, by way of a proxy
	// that nobody told the Server about: shutting that out would shut the site.
	if !ip.IsValid() || ip.IsLoopback() {
		return nil
	}
	bits := 32
	if ip.Is6() {
		bits = 64 // what one customer has
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return nil // cannot be: both lengths are in range
	}
	return c.take(ctx, class+prefix.String(), rate, message)
}

// every logs one line a period, with the number of those it kept back.
type every struct {
	period time.Duration
	logger *slog.Logger

	mu   sync.Mutex
	next time.Time
	kept int
}

func (e *every) log(ctx context.Context, msg string, err error) {
	now := time.Now()
	e.mu.Lock()
	if now.Before(e.next) {
		e.kept++
		e.mu.Unlock()
		return
	}
	kept := e.kept
	e.next, e.kept = now.Add(e.period), 0
	e.mu.Unlock()
	or(e.logger).LogAttrs(ctx, slog.LevelError, msg, slog.String("error", fmt.Sprint(err)), slog.Int("more", kept))
}
