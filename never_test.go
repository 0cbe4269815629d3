package chat_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
)

// TestUsersWhoNeverExpire: an Expires that is further ahead than a time.Duration
// reaches is no reason to go.
func TestUsersWhoNeverExpire(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(253402300799, 0), time.Unix(math.MaxInt64/2, 0), time.Now().Add(math.MaxInt64),
	} {
		synctest.Test(t, func(t *testing.T) {
			s := chattest.New(t, &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
				u, err := chattest.TokenIsUser(r)
				u.Expires = at
				return u, err
			}})
			c := s.Dial("alice")
			c.Join("lobby")
			time.Sleep(time.Hour)
			c.Send("lobby", "still here")
		})
	}
}

// TestOptionsOfNever: a duration of the host's that has no end is no moment either.
func TestOptionsOfNever(t *testing.T) {
	const never = time.Duration(math.MaxInt64)
	synctest.Test(t, func(t *testing.T) {
		s := chattest.New(t, &chat.Options{Limits: chat.Limits{
			AuthTimeout: never, StoreTimeout: never, Ping: never - 1, Dead: never, Stall: never,
			TypingExpiry: never, LeaveGrace: never, Drain: never, RequestTimeout: never,
		}})
		guest, alice, bob := s.Dial(""), s.Dial("alice"), s.Dial("bob")
		alice.Join("lobby")
		bob.Join("lobby")
		carol := s.Dial("carol")
		carol.Join("lobby")
		carol.Do(map[string]any{"type": "typing", "room": "lobby", "active": true})
		alice.Expect("typing")
		bob.Cut()
		time.Sleep(10 * time.Minute)
		for _, ev := range alice.Drain() {
			require.Equal(t, "presence", ev.Type, string(ev.Raw))
			require.Empty(t, ev.Leave)
		}
		require.Equal(t, []string{"alice", "bob", "carol"}, online(t, s.Room("lobby")))
		alice.Send("lobby", "still here")
		guest.Do(map[string]any{"type": "auth", "token": "dave"})
		guest.Expect("welcome")
		resp, err := s.HTTP("alice").Get("http://chat.test/chat/rooms/lobby/messages")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	})
}

// allowing is a limiter that says the same to everybody, but to the host.
type allowing time.Duration

func (a allowing) Allow(context.Context, string, chat.Rate) (time.Duration, error) {
	return time.Duration(a), nil
}

// TestRetryAfterOfTheHost: whatever a host says of when to come back, a client gets
// a whole number that its timers can take, or none.
func TestRetryAfterOfTheHost(t *testing.T) {
	const most = math.MaxInt32 * time.Millisecond
	for said, told := range map[time.Duration]time.Duration{
		math.MaxInt64: most, math.MaxInt64 - time.Second: most, 30 * 24 * time.Hour: most,
		time.Hour: time.Hour, 1: time.Millisecond, 1500 * time.Microsecond: 2 * time.Millisecond,
		-time.Hour: 0, math.MinInt64: 0,
	} {
		for name, m := range map[string]chat.Middleware{
			"error": func(next chat.Handler) chat.Handler {
				return func(ctx context.Context, cmd *chat.Command) error {
					if cmd.Type == chat.CmdHistory {
						return &chat.Error{Code: chat.CodeRateLimited, RetryAfter: said}
					}
					return next(ctx, cmd)
				}
			},
			"limiter": middleware.RateLimitWith(allowing(said), middleware.RateLimits{
				Auth: chat.Rate{Burst: -1}, Request: chat.Rate{Burst: -1}, Connect: chat.Rate{Burst: -1}, Logger: slog.New(slog.DiscardHandler),
			}),
		} {
			t.Run(fmt.Sprint(name, " ", said), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := chattest.New(t, &chat.Options{Middleware: []chat.Middleware{m}})
					say(t, s.Room("lobby"), 1)
					ev := s.Dial("alice").Call(map[string]any{"type": "history", "room": "lobby"})
					resp, err := s.HTTP("alice").Get("http://chat.test/chat/rooms/lobby/messages")
					require.NoError(t, err)
					body, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
					if name == "limiter" && said <= 0 { // it may
						require.Equal(t, http.StatusOK, resp.StatusCode)
						require.Equal(t, "history", ev.Type)
						return
					}
					require.Equal(t, chat.CodeRateLimited, ev.Code)
					require.Equal(t, told, ev.RetryAfter)
					require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
					if told == 0 {
						require.Empty(t, resp.Header.Get("Retry-After"))
						require.NotContains(t, string(body), "retry_after_ms")
						return
					}
					require.Contains(t, string(body), fmt.Sprintf(`"retry_after_ms":%d`, told.Milliseconds()))
					seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
					require.NoError(t, err)
					require.EqualValues(t, (told+time.Second-1)/time.Second, seconds)
				})
			})
		}
	}
}

// TestLimiterOfHardlyAnything: a budget that takes longer to fill than a
// time.Duration reaches is not forgotten meanwhile.
func TestLimiterOfHardlyAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, rate := chat.NewLimiter(), chat.Rate{PerSecond: 1e-10, Burst: 20}
		took := 0
		for range 100 {
			wait, err := l.Allow(t.Context(), "key", rate)
			require.NoError(t, err)
			if wait <= 0 {
				took++
			}
			time.Sleep(time.Minute)
		}
		require.Equal(t, 20, took)
	})
}
