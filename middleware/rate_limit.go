package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gabblehq/chat"
)

// RateLimits are how often clients may do what. The zero Rate means the
// default given with it, a negative Burst no limit.
type RateLimits struct {
	// Write is for what changes a room: messages, edits, deletes, rooms
	// themselves. Per user, over all their sessions. Default: 10 per second, 20
	// at once.
	Write chat.Rate

	// Signal is for being shown as typing, per user and room; starting and
	// stopping count apart, so that whoever starts may stop. All signals of a user together are held to Read as well, by
	// a budget of their own.
	// Default: one per 2 seconds.
	Signal chat.Rate

	// Read is for history, members, presence and rooms, per user.
	// Default: 20 per second, 100 at once.
	Read chat.Rate

	// Join is for joining rooms, and by itself for leaving them, per user.
	// Default: 20 per second, 200 at once, as many as a session may join when it
	// comes back.
	Join chat.Rate

	// Connect is for new connections per address, before anybody is
	// authenticated; an IPv6 address counts as its /64. The host itself
	// (loopback) is not counted. Default: 50 per second, 500 at once, so that
	// an office behind one address gets back in after a restart.
	Connect chat.Rate

	// Auth is for showing tokens in frames, per session. Default: 1 per second,
	// 5 at once.
	Auth chat.Rate

	// Request is for showing tokens in the headers of upgrades and REST calls,
	// per address as for Connect, before they are looked at. Default: 200 per
	// second, 2,000 at once. Servers that call with an API key may need more.
	Request chat.Rate

	// Logger is told when the Limiter fails, at most once a minute. Default:
	// slog.Default().
	Logger *slog.Logger
}

// RateLimit answers who does too much with rate_limited and the time to wait,
// by the default [RateLimits]. limiter does the counting; nil counts in this
// process, one over a shared backend makes the limits hold across servers.
//
// A Limiter that fails limits nothing: better too much chat than none.
//
// Mount it before what is expensive. Behind a proxy, name that in
// Options.TrustedProxies, or everybody has the same address.
func RateLimit(limiter chat.Limiter) chat.Middleware {
	return RateLimitWith(limiter, RateLimits{})
}

// RateLimitWith is RateLimit with limits of your own. It panics on a Rate that
// would allow nothing, which is a mistake of the program.
func RateLimitWith(limiter chat.Limiter, limits RateLimits) chat.Middleware {
	if limiter == nil {
		limiter = chat.NewLimiter()
	}
	for _, l := range []struct {
		field string
		rate  *chat.Rate
		def   chat.Rate
	}{
		{"Write", &limits.Write, chat.Rate{PerSecond: 10, Burst: 20}},
		{"Signal", &limits.Signal, chat.Rate{PerSecond: 0.5, Burst: 1}},
		{"Read", &limits.Read, chat.Rate{PerSecond: 20, Burst: 100}},
		{"Join", &limits.Join, chat.Rate{PerSecond: 20, Burst: 200}},
		{"Connect", &limits.Connect, chat.Rate{PerSecond: 50, Burst: 500}},
		{"Auth", &limits.Auth, chat.Rate{PerSecond: 1, Burst: 5}},
		{"Request", &limits.Request, chat.Rate{PerSecond: 200, Burst: 2000}},
	} {
		if *l.rate == (chat.Rate{}) {
			*l.rate = l.def
		}
		if l.rate.Burst >= 0 && (l.rate.Burst == 0 || !(l.rate.PerSecond > 0)) {
			panic(fmt.Sprintf("middleware: RateLimits.%s: %+v allows nothing; a negative Burst means no limit", l.field, *l.rate))
		}
	}
	c := &counter{limiter: limiter, failed: every{period: time.Minute, logger: limits.Logger}}
	return func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			if err := limits.check(ctx, c, cmd); err != nil {
				return err
			}
			return next(ctx, cmd)
		}
	}
}

// check takes the command off the budgets it counts against.
func (l *RateLimits) check(ctx context.Context, c *counter, cmd *chat.Command) error {
	user := cmd.User.ID
	switch classOf(cmd) {
	case chat.ClassConnect:
		return c.takeFrom(ctx, "connect:", cmd.RemoteIP, l.Connect, "too many connections from your address")
	case chat.ClassAuth:
		if cmd.Session == "" { // the token came in a header
			return c.takeFrom(ctx, "request:", cmd.RemoteIP, l.Request, "too many requests from your address")
		}
		return c.take(ctx, "auth:"+cmd.Session, l.Auth, "too many tokens")
	case chat.ClassJoin:
		return c.take(ctx, string(cmd.Type)+":"+user, l.Join, "joining and leaving too fast")
	case chat.ClassRead:
		return c.take(ctx, "read:"+user, l.Read, "reading too fast")
	case chat.ClassSignal:
		// Rooms are the client's to name, so without this one a client could
		// make itself as many budgets as it likes.
		if err := c.take(ctx, "signal:"+user, l.Read, "too many signals"); err != nil {
			return err
		}
		rate, key := l.Signal, "typing:"
		if cmd.Type == cmdRead {
			key, rate.PerSecond = "mark:", 2*rate.PerSecond
		} else if !cmd.Active {
			key = "typed:"
		}
		return c.take(ctx, key+short(cmd.Room)+":"+user, rate, "too many signals in this room")
	default:
		return c.take(ctx, "write:"+user, l.Write, "writing too fast")
	}
}
