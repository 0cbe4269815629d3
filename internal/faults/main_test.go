package faults

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/postgres"
	"github.com/gabblehq/chat/storage/redis"
	"github.com/gabblehq/chat/storage/sqlite"
)

// TestMain is also the program of a node: the tests start it again and again.
func TestMain(m *testing.M) {
	if url := os.Getenv("GABBLE_FAULTS_STORE"); url != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0) // the test is over
		}()
		if err := serve(url, os.Getenv("GABBLE_FAULTS_ADDR")); err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
			os.Exit(1)
		}
		return
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy has a logger of its own
	os.Exit(m.Run())
}

// serve is a node: the SDK as a host embeds it. It ends when it is killed.
func serve(url, addr string) error {
	ctx := context.Background()
	var store chat.Store
	var err error
	for range 100 { // the store may be what is being killed
		if store, err = open(ctx, url); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	srv, err := chat.New(&chat.Options{Store: store, Authenticate: bearer})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return http.Serve(ln, http.StripPrefix("/chat", srv))
}

// bearer takes the token for the user's id.
func bearer(r *http.Request) (chat.User, error) {
	id, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return chat.User{}, chat.ErrUnauthenticated
	}
	return chat.User{ID: id}, nil
}

func open(ctx context.Context, url string) (chat.Store, error) {
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		return sqlite.Open(strings.TrimPrefix(url, "sqlite:"))
	case strings.HasPrefix(url, "postgres"):
		return postgres.Open(ctx, url)
	}
	if url, ok := strings.CutPrefix(url, waitPrefix); ok {
		o, err := goredis.ParseURL(url)
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled = true
		return redis.NewWith(goredis.NewClient(o), redis.Options{Wait: 1, WaitTimeout: 300 * time.Millisecond})
	}
	return redis.Open(ctx, url)
}

// waitPrefix before a URL: a replica must have what is acknowledged.
const waitPrefix = "wait+"
