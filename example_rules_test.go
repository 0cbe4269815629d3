package chat_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
	"github.com/gabblehq/chat/storage/memory"
)

// How do I keep words out of my rooms? With a Middleware: it may change what
// was asked for, or refuse it.
func ExampleMiddleware() {
	filter := func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			if strings.Contains(cmd.Content, "buy now") {
				return (&chat.Error{Code: chat.CodeForbidden, Message: "no advertising"}).WithField("content")
			}
			cmd.Content = strings.ReplaceAll(cmd.Content, "darn", "****")
			return next(ctx, cmd)
		}
	}
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, &chat.Options{Middleware: []chat.Middleware{filter}})
	alice := srv.Dial("alice")
	alice.Join("general")
	alice.Send("general", "darn it")
	fmt.Println(alice.Expect("message").Message.Content)
	ev := alice.Call(map[string]any{"type": "message", "room": "general", "content": "buy now!"})
	fmt.Println(ev.Code, ev.Text)
	// Output:
	// **** it
	// forbidden no advertising
}

// How do I limit how fast people write?
func ExampleMiddleware_rateLimit() {
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, &chat.Options{Middleware: []chat.Middleware{
		middleware.RateLimitWith(nil, middleware.RateLimits{Write: chat.Rate{PerSecond: 0.1, Burst: 2}}),
	}})
	alice := srv.Dial("alice")
	alice.Join("general")
	for range 3 {
		ev := alice.Call(map[string]any{"type": "message", "room": "general", "content": "hello"})
		fmt.Println(ev.Type, ev.Code, ev.RetryAfter > 0)
	}
	// Output:
	// ack  false
	// ack  false
	// error rate_limited true
}

// How do I count something of my own, a signup for example?
func ExampleNewLimiter() {
	limiter := chat.NewLimiter()
	perUser := chat.Rate{PerSecond: 1.0 / 60, Burst: 2}
	for range 3 {
		wait, err := limiter.Allow(context.Background(), "invite:alice", perUser)
		check(err)
		fmt.Println("wait:", wait > 0)
	}
	// Output:
	// wait: false
	// wait: false
	// wait: true
}

// How do I tell errors apart?
func ExampleError() {
	srv := start()
	defer srv.Close()
	_, err := srv.Room("nowhere").Send(context.Background(), chat.Message{User: "bot", Content: "anybody?"})
	fmt.Println(errors.Is(err, chat.ErrNotFound))
	var e *chat.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code)
	}
	// Output:
	// true
	// not_found
}

// How do I keep the rooms of two customers apart on one store?
func ExampleOptions_tenant() {
	store := memory.New()
	open := func(tenant string) *chat.Server {
		srv, err := chat.New(&chat.Options{Store: store, Authenticate: auth.Anonymous(), Tenant: tenant})
		check(err)
		return srv
	}
	acme, zenith := open("acme"), open("zenith")
	defer acme.Close()
	defer zenith.Close()
	_, err := acme.Room("general").Create(context.Background(), chat.RoomInfo{})
	check(err)
	_, err = zenith.Room("general").Info(context.Background())
	fmt.Println(errors.Is(err, chat.ErrNotFound))
	// Output: true
}

// How do I list the rooms?
func ExampleServer_Rooms() {
	srv := start("general", "random", "support")
	defer srv.Close()
	cursor := ""
	for {
		page, err := srv.Rooms(context.Background(), cursor, 2)
		check(err)
		for _, r := range page.Rooms {
			fmt.Println(r.Room.ID)
		}
		if !page.More {
			break
		}
		cursor = page.Cursor
	}
	// Output:
	// general
	// random
	// support
}

// In which order does a program end? The chat first, which tells its clients to
// come back; then the HTTP server; then the store.
func ExampleServer_Shutdown() {
	t := &tb{}
	srv := chattest.New(t, nil)
	alice := srv.Dial("alice")

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("chat:", srv.Shutdown(ctx))
	ev := alice.Expect("reconnect")
	fmt.Println("alice was told to come back within", ev.AfterMS/1000, "s, and closed with", alice.CloseCode())
	t.end() // http.Server.Shutdown and store.Close, in a program
	_, err := srv.Room("general").Send(ctx, chat.Message{User: "bot", Content: "too late"})
	fmt.Println(errors.Is(err, chat.ErrServerClosed))
	// Output:
	// chat: <nil>
	// alice was told to come back within 0 s, and closed with 4000
	// true
}

// How do I watch what the server does? Read Stats into your metrics.
func ExampleServer_Stats() {
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, nil)
	alice := srv.Dial("alice")
	srv.Dial("alice").Join("general")
	alice.Join("general")

	s := srv.Stats()
	fmt.Println(s.Connections, "connections,", s.Users, "user,", s.Rooms, "room")
	// Output: 2 connections, 1 user, 1 room
}
