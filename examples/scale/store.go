//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/postgres"
	"github.com/gabblehq/chat/storage/redis"
	"github.com/gabblehq/chat/storage/sqlite"
)

// openStore opens what a URL names, in memory where it names nothing, and
// returns what closes it.
func openStore(ctx context.Context, url string, log *slog.Logger) (chat.Store, func() error, error) {
	if url == "" {
		return memory.New(), func() error { return nil }, nil
	}
	switch storeKind(url) {
	case "sqlite":
		s, err := sqlite.Open(strings.TrimPrefix(url, "sqlite:"))
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	case "redis":
		s, err := redis.OpenWith(ctx, url, redis.Options{Logger: log})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	case "postgres":
		s, err := postgres.Open(ctx, url)
		if err != nil {
			return nil, nil, err
		}
		return s, func() error { s.Close(); return nil }, nil
	}
	return nil, nil, fmt.Errorf("-store %q: nobody knows it", url)
}

// storeKind tells whose the URL is, "" where it is nobody's.
func storeKind(url string) string {
	if strings.HasPrefix(url, "sqlite:") {
		return "sqlite"
	}
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "redis", "rediss", "unix", "redis-cluster", "rediss-cluster", "redis-sentinel":
		return "redis"
	case "postgres", "postgresql":
		return "postgres"
	}
	return ""
}
