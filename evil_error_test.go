package chat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
	"github.com/gabblehq/chat/storage/memory"
)

// evil is an error one of whose methods panics.
type evil struct{ in string }

func (e evil) at(call string) {
	if e.in == call {
		panic(call)
	}
}
func (e evil) Error() string { e.at("Error"); return "evil" }
func (e evil) Is(error) bool { e.at("Is"); return false }
func (e evil) As(any) bool   { e.at("As"); return false }
func (e evil) Unwrap() error { e.at("Unwrap"); return nil }

// errand is what host code returns, by where it is called; nil: nothing odd.
type errand struct {
	atomic.Pointer[map[string]error]
}

func (e *errand) at(where string) (err error, odd bool) {
	if m := e.Load(); m != nil {
		err, odd = (*m)[where]
	}
	return err, odd
}

// errands is a store that runs errands.
type errands struct {
	chat.Store
	*errand
	heads *atomic.Int64
}

func (s errands) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	if err, odd := s.at("append"); odd {
		return nil, err
	}
	results, err := s.Store.Append(ctx, room, known, changes)
	if odd, ok := s.at("result"); ok {
		for i := range results {
			results[i] = chat.Result{Err: odd}
		}
	}
	return results, err
}

func (s errands) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	if err, odd := s.at("history"); odd {
		return chat.Page{}, err
	}
	return s.Store.History(ctx, room, q)
}

func (s errands) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	if err, odd := s.at("changes"); odd {
		return chat.Page{}, err
	}
	return s.Store.Changes(ctx, room, after, limit)
}

func (s errands) Head(ctx context.Context, room string) (chat.Position, error) {
	s.heads.Add(1)
	if err, odd := s.at("head"); odd {
		return chat.Position{}, err
	}
	return s.Store.Head(ctx, room)
}

// TestErrorsThatPanicWhenLookedAt: an error of host code that cannot be looked at,
// such as a nil *Error, is an internal one. Nobody is cut because of it, no
// permission comes of it, and nothing is left under way.
func TestErrorsThatPanicWhenLookedAt(t *testing.T) {
	var none *chat.Error
	for name, odd := range map[string]error{
		"nil *Error": none, "wrapped nil *Error": fmt.Errorf("wrapped: %w", error(none)), "joined": errors.Join(io.EOF, evil{"Is"}),
		"Error": evil{"Error"}, "Is": evil{"Is"}, "As": evil{"As"}, "Unwrap": evil{"Unwrap"},
	} {
		for _, where := range []string{"authenticate", "authorize", "users", "middleware", "limiter", "append", "result", "history", "changes", "head"} {
			t.Run(name+"/"+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e, heads := &errand{}, &atomic.Int64{}
					s := chattest.New(t, &chat.Options{
						Store: errands{memory.New(), e, heads}, Logger: quiet,
						Authenticate: func(r *http.Request) (chat.User, error) {
							if err, odd := e.at("authenticate"); odd {
								return chat.User{}, err
							}
							return chattest.TokenIsUser(r)
						},
						Authorize: func(context.Context, chat.User, chat.Action, chat.RoomInfo) error {
							err, _ := e.at("authorize")
							return err
						},
						Users: func(context.Context, []string) ([]chat.User, error) { err, _ := e.at("users"); return nil, err },
						Middleware: []chat.Middleware{
							middleware.RateLimitWith(limiting{e}, middleware.RateLimits{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}),
							func(next chat.Handler) chat.Handler {
								return func(ctx context.Context, cmd *chat.Command) error {
									if err, odd := e.at("middleware"); odd {
										return err
									}
									return next(ctx, cmd)
								}
							},
						},
					})
					say(t, s.Room("lobby"), 3)
					alice, guest := s.Dial("alice"), s.Dial("")
					alice.Join("lobby")
					e.Store(&map[string]error{where: odd})

					at := func(fails ...string) bool {
						for _, f := range fails {
							if f == where {
								return true
							}
						}
						return false
					}
					ev := alice.Call(map[string]any{"type": "message", "room": "lobby", "content": "x"})
					if at("authorize", "middleware", "append", "result") {
						require.Equal(t, chat.CodeInternal, ev.Code, string(ev.Raw))
					} else {
						require.Equal(t, "ack", ev.Type, string(ev.Raw))
					}
					ev = alice.Call(map[string]any{"type": "history", "room": "lobby"})
					if at("authorize", "middleware", "history") {
						require.Equal(t, chat.CodeInternal, ev.Code, string(ev.Raw))
					} else {
						require.Equal(t, "history", ev.Type, string(ev.Raw))
					}
					resp, err := s.HTTP("bob").Get("http://chat.test/chat/rooms/lobby/messages")
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
					if at("authorize", "middleware", "history", "authenticate") {
						require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
					} else {
						require.Equal(t, http.StatusOK, resp.StatusCode)
					}
					guest.Do(map[string]any{"type": "auth", "token": "carol"})
					if at("authenticate", "middleware") {
						require.Equal(t, chat.CodeInternal, guest.Expect("error").Code)
					} else {
						guest.Expect("welcome")
					}
					_, err = s.Room("lobby").Send(t.Context(), chat.Message{User: "host", Content: "x"})
					require.Equal(t, at("append", "result"), err != nil)
					alice.Barrier()
					alice.Drain()
					require.NoError(t, s.Revoke(t.Context(), "alice", "lobby"))
					if where == "authorize" { // no answer is a no
						alice.Expect("left")
					}
					e.Store(nil)
					if where == "authorize" {
						alice.Join("lobby")
					}
					require.Equal(t, "ack", alice.Send("lobby", "still here").Type)
					synctest.Wait()
					before := heads.Load()
					time.Sleep(time.Hour)
					require.LessOrEqual(t, heads.Load()-before, int64(1), "probes")
				})
			})
		}
	}
}

// limiting is a limiter that lets everybody, and may fail.
type limiting struct{ *errand }

func (l limiting) Allow(context.Context, string, chat.Rate) (time.Duration, error) {
	err, _ := l.at("limiter")
	return 0, err
}
