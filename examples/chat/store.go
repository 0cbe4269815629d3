package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/postgres"
	"github.com/gabblehq/chat/storage/redis"
	"github.com/gabblehq/chat/storage/sqlite"
)

const (
	defaultStore = "sqlite:gabble.db"
	// openTimeout is for a database that is elsewhere.
	openTimeout = 15 * time.Second
)

// storage is a Store and what this program has to know of it.
type storage struct {
	chat.Store
	limiter chat.Limiter // nil: each process counts by itself
	file    string       // the database; empty: not in a file
	shared  bool         // several processes may use it at once
	close   func() error
}

// awaitStore opens what -store names, as soon as it answers: the database may
// be starting beside us.
func awaitStore(ctx context.Context, name string, wait time.Duration, log *slog.Logger) (storage, error) {
	for began, said := time.Now(), false; ; {
		s, err := openStore(ctx, name)
		if err == nil || !notYet(err) || time.Since(began) >= wait {
			return s, err
		}
		if !said {
			log.Warn("chat: waiting for the store, which does not answer yet", "at_most", wait.String(), "error", err)
			said = true
		}
		select {
		case <-time.After(min(time.Second, wait)):
		case <-ctx.Done():
			return storage{}, err
		}
	}
}

// notYet reports whether a store that could not be opened may answer later, and
// has not said what is wrong.
func notYet(err error) bool {
	text := err.Error()
	for _, said := range []string{"SQLSTATE 28", "SQLSTATE 3D", "SQLSTATE 42", "WRONGPASS", "NOAUTH", "NOPERM"} {
		if strings.Contains(text, said) {
			return false
		}
	}
	return errors.Is(err, chat.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// openStore opens what -store names.
func openStore(ctx context.Context, name string) (storage, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	kind, rest, _ := strings.Cut(name, ":")
	switch kind {
	case "memory":
		if rest == "" {
			return storage{Store: memory.New(), close: func() error { return nil }}, nil
		}
	case "sqlite":
		return openSQLite(rest)
	case "redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel", "unix":
		return openRedis(ctx, name)
	case "postgres", "postgresql":
		return openPostgres(ctx, name)
	}
	return storage{}, fmt.Errorf("-store %q: is none of memory:, sqlite:FILE, redis://HOST:PORT and postgres://USER@HOST/DATABASE", label(name))
}

func openSQLite(file string) (storage, error) {
	if strings.HasPrefix(file, "//") {
		return storage{}, fmt.Errorf("-store sqlite:%s: is no URL; write sqlite:gabble.db or sqlite:/var/lib/gabble.db", file)
	}
	s, err := sqlite.Open(file)
	if err != nil {
		return storage{}, notOpened("sqlite:"+file, err)
	}
	return storage{Store: s, file: file, close: s.Close}, nil
}

func openRedis(ctx context.Context, name string) (storage, error) {
	s, err := redis.Open(ctx, name)
	if err != nil {
		return storage{}, notOpened(name, err)
	}
	opened := storage{Store: s, shared: true, close: s.Close}
	if o, err := goredis.ParseURL(name); err == nil { // one server: it can count for all processes
		client := goredis.NewClient(o)
		limiter := redis.NewLimiter(client, redis.LimiterOptions{})
		opened.limiter = limiter
		opened.close = func() error { return errors.Join(limiter.Close(), client.Close(), s.Close()) }
	}
	return opened, nil
}

func openPostgres(ctx context.Context, name string) (storage, error) {
	s, err := postgres.Open(ctx, name)
	if err != nil {
		return storage{}, notOpened(name, err)
	}
	return storage{Store: s, shared: true, close: func() error {
		s.Close()
		return nil
	}}, nil
}

// notOpened says what is wrong in one line.
func notOpened(name string, err error) error {
	return &openError{fmt.Sprintf("-store %s: %s", label(name), strings.Join(strings.Fields(err.Error()), " ")), err}
}

type openError struct {
	text string
	err  error
}

func (e *openError) Error() string { return e.text }
func (e *openError) Unwrap() error { return e.err }

// label is what may be said of a store's name: of a URL neither the user nor
// the parameters, where passwords are.
func label(name string) string {
	if !strings.Contains(name, "://") {
		return name
	}
	u, err := url.Parse(name)
	if err != nil {
		kind, _, _ := strings.Cut(name, "://")
		return kind + "://…"
	}
	return u.Scheme + "://" + u.Host + u.Path
}
