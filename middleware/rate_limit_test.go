package middleware_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/middleware"
	"github.com/stretchr/testify/require"
)

func from(user string, typ chat.CommandType) *chat.Command {
	return &chat.Command{Type: typ, User: chat.User{ID: user}, Room: "general", Session: "session of " + user, Active: true}
}

func at(ip string) *chat.Command {
	return &chat.Command{Type: chat.CmdConnect, RemoteIP: netip.MustParseAddr(ip)}
}

// burst sends until something is refused, and returns how many got through.
func burst(t *testing.T, h chat.Handler, cmd *chat.Command, most int) (int, *chat.Error) {
	t.Helper()
	for n := range most {
		if err := h(t.Context(), cmd); err != nil {
			e := requireCode(t, chat.CodeRateLimited, err)
			require.Positive(t, e.RetryAfter)
			require.NotEmpty(t, e.Message)
			require.Zero(t, e.RetryAfter%time.Millisecond, "whole milliseconds cross the wire")
			return n, e
		}
	}
	return most, nil
}

func TestRateLimitDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		cmd   *chat.Command
		burst int
		retry time.Duration
	}{
		"message":       {from("alice", chat.CmdMessage), 20, 100 * time.Millisecond},
		"edit":          {from("alice", chat.CmdEdit), 20, 100 * time.Millisecond},
		"create room":   {from("alice", chat.CmdCreateRoom), 20, 100 * time.Millisecond},
		"not known yet": {from("alice", "teleport"), 20, 100 * time.Millisecond},
		"typing":        {from("alice", chat.CmdTyping), 1, 2 * time.Second},
		"read mark":     {from("alice", "read"), 1, time.Second},
		"history":       {from("alice", chat.CmdHistory), 100, 50 * time.Millisecond},
		"search":        {from("alice", "search"), 100, 50 * time.Millisecond},
		"join":          {from("alice", chat.CmdJoin), 200, 50 * time.Millisecond},
		"leave":         {from("alice", chat.CmdLeave), 200, 50 * time.Millisecond},
		"connect":       {at("192.0.2.1"), 500, 20 * time.Millisecond},
		"auth":          {from("alice", chat.CmdAuth), 5, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r reached
				h := middleware.RateLimit(nil)(r.handle)
				n, e := burst(t, h, c.cmd, 1000)
				require.Equal(t, c.burst, n)
				require.Equal(t, c.burst, r.n, "what is refused goes no further")
				require.Equal(t, c.retry, e.RetryAfter)

				time.Sleep(e.RetryAfter - time.Millisecond)
				n, _ = burst(t, h, c.cmd, 1)
				require.Zero(t, n, "not sooner than it said")
				time.Sleep(time.Millisecond)
				n, _ = burst(t, h, c.cmd, 2)
				require.Equal(t, 1, n, "but then")

				time.Sleep(time.Hour)
				n, _ = burst(t, h, c.cmd, 1000)
				require.Equal(t, c.burst, n, "a budget grows no larger than its burst")
			})
		})
	}
}

func TestRateLimitSharesABudgetOverSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(nil)(answer(nil))
		phone, laptop := from("alice", chat.CmdMessage), from("alice", chat.CmdMessage)
		phone.Session, laptop.Session, laptop.Room = "phone", "laptop", "elsewhere"
		for range 10 {
			require.NoError(t, h(t.Context(), phone))
			require.NoError(t, h(t.Context(), laptop))
		}
		requireCode(t, chat.CodeRateLimited, h(t.Context(), phone))
		requireCode(t, chat.CodeRateLimited, h(t.Context(), laptop))
		// Writes of all kinds are one budget; everything else, and everybody
		// else, has another.
		requireCode(t, chat.CodeRateLimited, h(t.Context(), from("alice", chat.CmdEdit)))
		require.NoError(t, h(t.Context(), from("alice", chat.CmdHistory)))
		require.NoError(t, h(t.Context(), from("alice", chat.CmdTyping)))
		require.NoError(t, h(t.Context(), from("bob", chat.CmdMessage)))
	})
}

func TestRateLimitSharesALimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := chat.NewLimiter()
		one, two := middleware.RateLimit(l)(answer(nil)), middleware.RateLimit(l)(answer(nil))
		n, _ := burst(t, one, from("alice", chat.CmdMessage), 100)
		require.Equal(t, 20, n)
		n, _ = burst(t, two, from("alice", chat.CmdMessage), 100)
		require.Zero(t, n)
	})
}

func TestRateLimitTyping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(nil)(answer(nil))
		start, stop, elsewhere := from("alice", chat.CmdTyping), from("alice", chat.CmdTyping), from("alice", chat.CmdTyping)
		stop.Active = false
		elsewhere.Room = "random"
		require.NoError(t, h(t.Context(), start))
		require.NoError(t, h(t.Context(), stop), "who started may stop")
		requireCode(t, chat.CodeRateLimited, h(t.Context(), start))
		requireCode(t, chat.CodeRateLimited, h(t.Context(), stop))
		require.NoError(t, h(t.Context(), elsewhere))
		require.NoError(t, h(t.Context(), from("bob", chat.CmdTyping)))
	})
}

// Rooms are the client's to name: a new one each time must not be a way out.
func TestRateLimitSignalsOverMadeUpRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(nil)(answer(nil))
		passed := 0
		for i := range 10_000 {
			cmd := from("alice", chat.CmdTyping)
			cmd.Room = fmt.Sprint("room", i)
			if h(t.Context(), cmd) == nil {
				passed++
			}
		}
		require.Equal(t, 100, passed)
	})
}

func TestRateLimitKeysDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(nil)(answer(nil))
		a, b := from("c", chat.CmdTyping), from("b:c", chat.CmdTyping)
		a.Room, b.Room = "a.b", "a"
		require.NoError(t, h(t.Context(), a))
		require.NoError(t, h(t.Context(), b))
		// A user may have any id, another user's key for instance.
		n, _ := burst(t, h, from("alice", chat.CmdMessage), 20)
		require.Equal(t, 20, n)
		n, _ = burst(t, h, from("write:alice", chat.CmdMessage), 20)
		require.Equal(t, 20, n)
	})
}

func TestRateLimitAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimitWith(nil, middleware.RateLimits{Connect: chat.Rate{PerSecond: 1, Burst: 1}})(answer(nil))
		for _, c := range []struct {
			ip      string
			refused bool
		}{
			{"192.0.2.1", false}, {"192.0.2.1", true}, {"192.0.2.2", false},
			{"::ffff:192.0.2.2", true}, // the same host over a v6 socket
			{"2001:db8:1:1::1", false}, {"2001:db8:1:1::2", true}, {"2001:db8:1:1:ffff:ffff:ffff:ffff", true},
			{"2001:db8:1:2::1", false},
			{"fe80::1%eth0", false}, {"fe80::2%eth1", true},
			{"127.0.0.1", false}, {"127.0.0.1", false}, {"127.8.8.8", false},
			{"::1", false}, {"::1", false}, {"::ffff:127.0.0.1", false}, {"::ffff:127.0.0.1", false},
		} {
			err := h(t.Context(), at(c.ip))
			if c.refused {
				requireCode(t, chat.CodeRateLimited, err)
			} else {
				require.NoError(t, err, c.ip)
			}
		}
		unknown := &chat.Command{Type: chat.CmdConnect}
		require.NoError(t, h(t.Context(), unknown))
		require.NoError(t, h(t.Context(), unknown))
	})
}

// An office of a thousand behind one address comes back after a restart. Each
// client does as it is told; all are in within ten seconds.
func TestRateLimitOfficeReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(nil)(answer(nil))
		start := time.Now()
		var last atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				for {
					err := h(context.Background(), at("198.51.100.7"))
					if err == nil {
						last.Store(max(last.Load(), int64(time.Since(start))))
						return
					}
					var e *chat.Error
					errors.As(err, &e)
					time.Sleep(e.RetryAfter)
				}
			})
		}
		wg.Wait()
		require.LessOrEqual(t, time.Duration(last.Load()), 10*time.Second+100*time.Millisecond)
	})
}

func TestRateLimitRESTPerAddressBeforeAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(nil)(answer(nil))
		cmd := &chat.Command{Type: chat.CmdAuth, RemoteIP: netip.MustParseAddr("2001:db8::1")}
		n, e := burst(t, h, cmd, 3000)
		require.Equal(t, 2000, n)
		require.Equal(t, 5*time.Millisecond, e.RetryAfter)
		cmd.RemoteIP = netip.MustParseAddr("2001:db8::2")
		n, _ = burst(t, h, cmd, 1)
		require.Zero(t, n, "the same /64")
		cmd.Type = chat.CmdConnect
		n, _ = burst(t, h, cmd, 1)
		require.Equal(t, 1, n, "connections are another budget")
		cmd = &chat.Command{Type: chat.CmdAuth, Session: "s1", RemoteIP: cmd.RemoteIP}
		n, _ = burst(t, h, cmd, 100)
		require.Equal(t, 5, n, "and so are sessions")
		cmd.Session = "s2"
		n, _ = burst(t, h, cmd, 100)
		require.Equal(t, 5, n)
	})
}

func TestRateLimitSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimitWith(nil, middleware.RateLimits{Write: chat.Rate{Burst: -1}})(answer(nil))
		n, _ := burst(t, h, from("alice", chat.CmdMessage), 5000)
		require.Equal(t, 5000, n)
		n, _ = burst(t, h, from("alice", chat.CmdHistory), 5000)
		require.Equal(t, 100, n, "the others keep their defaults")
	})
}

func TestRateLimitMistakes(t *testing.T) {
	for _, r := range []chat.Rate{{PerSecond: 5}, {Burst: 5}, {PerSecond: -1, Burst: 5}, {PerSecond: math.NaN(), Burst: 1}} {
		require.Panics(t, func() { middleware.RateLimitWith(nil, middleware.RateLimits{Join: r}) }, r)
	}
	require.PanicsWithValue(t, "middleware: RateLimits.Join: {PerSecond:5 Burst:0} allows nothing; a negative Burst means no limit",
		func() { middleware.RateLimitWith(nil, middleware.RateLimits{Join: chat.Rate{PerSecond: 5}}) })
}

// broken is a Limiter that cannot tell.
type broken struct{ err error }

func (b broken) Allow(context.Context, string, chat.Rate) (time.Duration, error) {
	return time.Hour, b.err
}

func TestRateLimitFailsOpenAndSaysSoOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, nil))
		h := middleware.RateLimitWith(broken{errors.New("no route to redis")}, middleware.RateLimits{Logger: logger})(answer(nil))
		for range 600 { // a minute
			require.NoError(t, h(t.Context(), from("alice", chat.CmdMessage)))
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 1, strings.Count(out.String(), "\n"))
		require.Contains(t, out.String(), "no route to redis")
		require.Contains(t, out.String(), "level=ERROR")
		require.NoError(t, h(t.Context(), from("alice", chat.CmdMessage)))
		require.Equal(t, 2, strings.Count(out.String(), "\n"))
		require.Contains(t, out.String(), "more=599")
	})
}

func TestRateLimitOfAClientThatHasGone(t *testing.T) {
	var out bytes.Buffer
	h := middleware.RateLimitWith(broken{context.Canceled}, middleware.RateLimits{Logger: slog.New(slog.NewTextHandler(&out, nil))})(answer(nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, h(ctx, from("alice", chat.CmdMessage)))
	require.Empty(t, out.String(), "not a failure of the limiter")
}

func TestRateLimitConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still: exactly the burst
		h := middleware.RateLimit(nil)(answer(nil))
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 100 {
					if h(context.Background(), from("alice", chat.CmdMessage)) == nil {
						passed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 20, passed.Load())
	})
}

// A visitor with a million networks must not fill the memory.
func TestRateLimitMemoryIsBounded(t *testing.T) {
	keys := 1_000_000
	if testing.Short() {
		keys = 100_000
	}
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(nil)(answer(nil))
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		cmd := &chat.Command{Type: chat.CmdConnect}
		for i := range keys {
			var ip [16]byte
			ip[0] = 0x20
			binary.BigEndian.PutUint32(ip[4:], uint32(i)) // a /64 each
			cmd.RemoteIP = netip.AddrFrom16(ip)
			if err := h(context.Background(), cmd); err != nil {
				t.Fatal(err)
			}
			if i%1000 == 999 {
				time.Sleep(time.Second) // fake
			}
		}
		grown := int64(heap()) - int64(before)
		require.Less(t, grown, int64(8<<20), "%d keys later", keys)
		runtime.KeepAlive(h)
	})
}

func BenchmarkRateLimit(b *testing.B) {
	h := middleware.RateLimitWith(nil, middleware.RateLimits{Write: chat.Rate{PerSecond: 1e9, Burst: 1e9}})(answer(nil))
	cmd := from("alice", chat.CmdMessage)
	b.ReportAllocs()
	for b.Loop() {
		_ = h(b.Context(), cmd)
	}
}
