package redis

import (
	"context"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
)

// oldest is the first major version that has all we need, sharded channels
// above all.
const oldest = 7

// check refuses servers that cannot keep what the store promises.
func (s *Store) check(ctx context.Context) error {
	if s.cluster == nil {
		return s.checkServer(ctx, s.client, false)
	}
	err := s.cluster.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error {
		return s.checkServer(ctx, c, true)
	})
	if err != nil {
		if _, ok := err.(*chat.Error); !ok { //nolint:errorlint // ours or the driver's, never wrapped
			return unavailable(err)
		}
	}
	return err
}

// checkServer asks INFO alone: CONFIG is often forbidden.
func (s *Store) checkServer(ctx context.Context, c goredis.Cmdable, cluster bool) error {
	text, err := c.Info(ctx).Result()
	if err != nil {
		if goredis.IsPermissionError(err) {
			return chat.Errorf(chat.CodeInvalid, "redis: the user may not run INFO, by which the store finds out whether the server evicts: %w", plain(err))
		}
		return unavailable(err)
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[k] = v
		}
	}
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if v, err := strconv.Atoi(major); err != nil || v < oldest {
		return chat.Errorf(chat.CodeUnsupported, "redis: the server is version %q, the store needs %d.0 or newer", info["redis_version"], oldest)
	}
	if p := info["maxmemory_policy"]; p != "noeviction" {
		return chat.Errorf(chat.CodeInvalid, "redis: maxmemory-policy is %q: the server would throw rooms away when its memory is full; set it to noeviction", p)
	}
	if !cluster && info["cluster_enabled"] == "1" {
		return chat.Errorf(chat.CodeInvalid, "redis: the server is part of a cluster: use redis-cluster:// or a ClusterClient")
	}
	if info["role"] == "slave" {
		return chat.Errorf(chat.CodeInvalid, "redis: the server is a replica, which cannot be written to")
	}
	return nil
}
