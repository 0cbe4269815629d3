package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/middleware"
)

// Stands for the Server: what the middleware wraps.
func handle(_ context.Context, cmd *chat.Command) error {
	fmt.Println("handled", cmd.Type)
	return nil
}

// logger leaves out what differs from run to run.
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration_ms" || a.Key == "stack" {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func ExampleLog() {
	h := middleware.Log(logger())(handle)
	_ = h(context.Background(), &chat.Command{
		Type: chat.CmdMessage, Room: "general", TraceID: "4bf92f35", User: chat.User{ID: "alice"}, Content: "for bob only",
	})
	// Output:
	// handled message
	// level=INFO msg="chat: command" type=message user=alice room=general trace=4bf92f35 code=ok
}

func ExampleRecover() {
	h := middleware.Recover(logger())(func(context.Context, *chat.Command) error { panic("no such luck") })
	err := h(context.Background(), &chat.Command{Type: chat.CmdJoin, TraceID: "4bf92f35", User: chat.User{ID: "alice"}})
	fmt.Println(errors.Is(err, chat.ErrInternal))
	// Output:
	// level=ERROR msg="chat: panic in a command" type=join user=alice session="" trace=4bf92f35 panic="no such luck"
	// true
}

func ExampleRecoverFunc() {
	mw := middleware.RecoverFunc(func(_ context.Context, cmd *chat.Command, value any, _ []byte) {
		fmt.Println("wake somebody up:", cmd.Type, value)
	})
	_ = mw(func(context.Context, *chat.Command) error { panic("no such luck") })(context.Background(), &chat.Command{Type: chat.CmdJoin})
	// Output: wake somebody up: join no such luck
}

func ExampleRateLimit() {
	h := middleware.RateLimit(nil)(func(context.Context, *chat.Command) error { return nil })
	cmd := &chat.Command{Type: chat.CmdMessage, User: chat.User{ID: "alice"}}
	for range 1000 {
		if err := h(context.Background(), cmd); err != nil {
			fmt.Println(errors.Is(err, chat.ErrRateLimited), err)
			break
		}
	}
	// Output: true rate_limited: writing too fast
}

func ExampleRateLimitWith() {
	mw := middleware.RateLimitWith(nil, middleware.RateLimits{
		Write: chat.Rate{PerSecond: 1, Burst: 3},
		Read:  chat.Rate{Burst: -1}, // no limit
	})
	h := mw(func(context.Context, *chat.Command) error { return nil })
	for range 4 {
		fmt.Println(h(context.Background(), &chat.Command{Type: chat.CmdMessage, User: chat.User{ID: "alice"}}))
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// rate_limited: writing too fast
}

// Middleware composes: here other servers, let in by auth.APIKey, pass by the
// limits that hold for people.
func ExampleRateLimit_exceptions() {
	limit := middleware.RateLimit(nil)
	peopleOnly := func(next chat.Handler) chat.Handler {
		limited := limit(next)
		return func(ctx context.Context, cmd *chat.Command) error {
			if cmd.User.HasRole("api") {
				return next(ctx, cmd)
			}
			return limited(ctx, cmd)
		}
	}
	h := peopleOnly(func(context.Context, *chat.Command) error { return nil })
	for range 1000 {
		err := h(context.Background(), &chat.Command{Type: chat.CmdMessage, User: chat.User{ID: "bot", Roles: []string{"api"}}})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
}

func ExampleValidate() {
	h := middleware.Validate(middleware.Rules{
		Content: "max=500,excludesall=<>",
		Meta:    map[string]string{"priority": "omitempty,oneof=low high"},
	})(handle)
	err := h(context.Background(), &chat.Command{
		Type: chat.CmdMessage, Content: "hello", Meta: json.RawMessage(`{"priority": "urgent"}`),
	})
	fmt.Println(err)
	// Output: invalid: meta.priority breaks the rule "oneof=low high"
}
