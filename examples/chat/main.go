// Chat is the whole product in one program: a web app at /, the SDK at /chat/,
// sign-in by name at /login. It answers the question: what is this, and can I
// try it now?
//
//	go run ./examples/chat
//
// Open the address that it prints in two windows. Then stop the program, go on
// writing, and start it again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/middleware"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal drains, the second one ends it at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// run is the program. It returns when ctx has ended and everything is drained.
func run(ctx context.Context, args []string, env func(string) string, stdout io.Writer) error {
	cfg, err := configure(args, env, stdout)
	if err != nil {
		return err
	}
	log := newLogger(stdout)
	store, err := awaitStore(ctx, cfg.store, cfg.wait, log)
	if err != nil {
		return err
	}
	// Who opened the store closes it, when nobody uses it any more.
	return errors.Join(runOn(ctx, cfg, store, log), store.close())
}

// runOn runs the program on an open store.
func runOn(ctx context.Context, cfg config, store storage, log *slog.Logger) error {
	secret, from, err := signingSecret(cfg, store, log)
	if err != nil {
		return err
	}
	tokens, err := auth.JWTWith(auth.JWTOptions{Key: secret})
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	log.Warn("chat: anybody may sign in under any name; bring your own Authenticate before you expose this")
	door := newDoor(secret, store.limiter)
	srv, err := chat.New(&chat.Options{
		Store:        store.Store,
		Authenticate: door.authenticate(tokens),
		Users:        door.users,
		Middleware:   []chat.Middleware{middleware.Log(log), middleware.Recover(log), middleware.RateLimit(store.limiter)},
		Logger:       log,
	})
	if err != nil {
		return err
	}
	return serve(ctx, cfg, srv, routes(srv, door), log)
}

// routes is where what is found.
func routes(srv *chat.Server, door *door) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/chat/", http.StripPrefix("/chat", srv))
	mux.Handle("GET /healthz", srv)
	mux.Handle("GET /readyz", srv)
	mux.Handle("POST /login", door)
	mux.Handle("/", page())
	return headers(chat.ExactPaths(mux))
}

// serve listens until ctx ends, then shuts down in the order that loses
// nothing: first the chat, which sends its clients away and finishes what they
// have asked for, then the requests.
func serve(ctx context.Context, cfg config, srv *chat.Server, h http.Handler, log *slog.Logger) error {
	ln, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return errors.Join(listenError(cfg.addr, err), srv.Close())
	}
	if err := furnish(ctx, srv, cfg.wait); err != nil {
		return errors.Join(err, ln.Close(), srv.Close())
	}
	// None of these ends a WebSocket: that is the chat's from its upgrade on.
	web := &http.Server{
		Handler: h, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(ln) }()
	log.Info("chat: ready", "url", address(ln.Addr()), "store", label(cfg.store), "max_conns", srv.Stats().MaxConnections)
	log.Info("chat: try it", "open", "two windows", "then", "stop the server, start it again, watch it resume")

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	start, conns := time.Now(), srv.Stats().Connections
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err = errors.Join(err, srv.Shutdown(deadline), web.Shutdown(deadline))
	log.Info("chat: drained", "conns", conns, "took_ms", time.Since(start).Milliseconds())
	return err
}
