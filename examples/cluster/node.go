package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/middleware"
	"github.com/gabblehq/chat/storage/redis"
)

//go:embed page
var page embed.FS

const (
	nodeCommand = "node"
	listening   = "listening on " // begins what a node prints first
	storeEnv    = "GABBLE_STORE"  // not an argument: others can read those, and it may hold a password
)

// runNode is one node. All that makes it part of a cluster is the store, which
// it shares with the others.
func runNode(ctx context.Context, _ []string, stdout io.Writer) error {
	store, err := redis.Open(ctx, os.Getenv(storeEnv))
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	log := slog.New(slog.NewTextHandler(stdout, nil))
	srv, err := chat.New(&chat.Options{
		Store: store,
		// Any node knows any client: guests by a secret of their own, users of
		// a real host by a token that all nodes can check.
		Authenticate: auth.Anonymous(),
		// Each node counts by itself; redis.NewLimiter counts for all.
		Middleware: []chat.Middleware{middleware.Log(log), middleware.RateLimit(nil)},
		// nginx says who is asking; without this, everybody would be nginx.
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Logger:         log,
	})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, srv.Close())
	}
	fmt.Fprintln(stdout, listening+ln.Addr().String())
	return serve(ctx, srv, ln)
}

// serve ends in the order that loses nothing: first the chat, which sends its
// clients to the other nodes, then the requests.
func serve(ctx context.Context, srv *chat.Server, ln net.Listener) error {
	files, err := fs.Sub(page, "page")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/chat/", http.StripPrefix("/chat", srv))
	mux.Handle("/", http.FileServerFS(files))
	web := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(ln) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, srv.Shutdown(deadline), web.Shutdown(deadline))
}
