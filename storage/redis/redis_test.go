package redis_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
	"github.com/gabblehq/chat/storage/storagetest"
)

// harness opens stores on one server or cluster, each under a prefix of its
// own.
type harness struct {
	url  string
	next *atomic.Int64
}

func (h harness) Open(t testing.TB) chat.Store { return h.OpenTrimming(t, 0) }

func (h harness) OpenTrimming(t testing.TB, messages int) chat.Store {
	prefix := fmt.Sprint("test-", h.next.Add(1))
	return h.open(t, redis.Options{Prefix: prefix, MaxMessages: messages})
}

func (h harness) OpenAging(t testing.TB, age time.Duration) (chat.Store, func(time.Duration)) {
	s := h.open(t, redis.Options{Prefix: fmt.Sprint("aging-", h.next.Add(1)), MaxAge: age})
	return s, s.Leap
}

func (h harness) open(t testing.TB, o redis.Options) prefixed {
	t.Helper()
	s, err := redis.OpenWith(t.Context(), h.url, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return prefixed{s, o, nil}
}

// borrowing is a harness whose stores are on clients of its own, which it can
// take away from them.
type borrowing struct{ harness }

func (h borrowing) Open(t testing.TB) chat.Store { return h.OpenTrimming(t, 0) }

func (h borrowing) OpenTrimming(t testing.TB, messages int) chat.Store {
	prefix := fmt.Sprint("borrowed-", h.next.Add(1))
	return h.open(t, redis.Options{Prefix: prefix, MaxMessages: messages})
}

func (h borrowing) open(t testing.TB, o redis.Options) prefixed {
	t.Helper()
	client := h.client()
	s, err := redis.NewWith(client, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		_ = client.Close()
	})
	return prefixed{s, o, client}
}

func (h borrowing) Share(t testing.TB, s chat.Store) chat.Store { return h.open(t, s.(prefixed).o) }

func (h borrowing) Reopen(t testing.TB, s chat.Store) chat.Store {
	p := s.(prefixed)
	require.NoError(t, p.Close())
	require.NoError(t, p.client.Close())
	return h.open(t, p.o)
}

// Crash cuts all connections of the store's process.
func (h borrowing) Crash(t testing.TB, s chat.Store) chat.Store {
	p := s.(prefixed)
	_ = p.client.Close()
	return h.open(t, p.o)
}

// OpenBreaking has the connections of the store break.
func (h harness) OpenBreaking(t testing.TB) storagetest.Breaking {
	var line storagetest.Line
	var client goredis.UniversalClient
	if addrs, cluster := h.addrs(); cluster {
		client = goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs, Dialer: line.Dial})
	} else {
		client = goredis.NewClient(&goredis.Options{Addr: addrs[0], Dialer: line.Dial})
	}
	s, err := redis.NewWith(client, redis.Options{Prefix: fmt.Sprint("breaking-", h.next.Add(1))})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		_ = client.Close()
	})
	return breaking{s, &line}
}

type breaking struct {
	s    *redis.Store
	line *storagetest.Line
}

func (b breaking) Store() chat.Store { return b.s }
func (b breaking) Break(testing.TB)  { b.line.Break() }
func (b breaking) Mend(testing.TB)   { b.line.Mend() }

// client is one with the driver's own defaults, retries included.
func (h harness) client() goredis.UniversalClient {
	addrs, cluster := h.addrs()
	if cluster {
		return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs})
	}
	return goredis.NewClient(&goredis.Options{Addr: addrs[0]})
}

func (h harness) addrs() (list []string, cluster bool) {
	if list, ok := strings.CutPrefix(h.url, "redis-cluster://"); ok {
		return strings.Split(list, ","), true
	}
	return []string{strings.TrimPrefix(h.url, "redis://")}, false
}

func (h harness) Reopen(t testing.TB, s chat.Store) chat.Store {
	p := s.(prefixed)
	require.NoError(t, p.Close())
	return h.open(t, p.o)
}

// Lose deletes every key of the store.
func (h harness) Lose(t testing.TB, s chat.Store) {
	h.each(t, s, func(c *goredis.Client, key string) { require.NoError(t, c.Unlink(t.Context(), key).Err()) })
}

// Corrupt flips a byte in the midst of a message's record.
func (h harness) Corrupt(t testing.TB, s chat.Store, room string, seq int64) {
	field := fmt.Sprint(seq)
	h.each(t, s, func(c *goredis.Client, key string) {
		if !strings.HasSuffix(key, "k:"+room) {
			return
		}
		rec, err := c.HGet(t.Context(), key, field).Bytes()
		require.NoError(t, err)
		rec[len(rec)-5] ^= 0x20
		require.NoError(t, c.HSet(t.Context(), key, field, rec).Err())
	})
}

// each calls f with the keys of a store.
func (h harness) each(t testing.TB, s chat.Store, f func(c *goredis.Client, key string)) {
	on := func(ctx context.Context, c *goredis.Client) error {
		it := c.Scan(ctx, 0, s.(prefixed).o.Prefix+":*", 1000).Iterator()
		for it.Next(ctx) {
			f(c, it.Val())
		}
		return it.Err()
	}
	client := h.client()
	defer client.Close()
	if c, ok := client.(*goredis.ClusterClient); ok {
		require.NoError(t, c.ForEachMaster(t.Context(), on))
		return
	}
	require.NoError(t, on(t.Context(), client.(*goredis.Client)))
}

func (h harness) Share(t testing.TB, s chat.Store) chat.Store { return h.open(t, s.(prefixed).o) }

// prefixed remembers what a store was opened with.
type prefixed struct {
	*redis.Store
	o      redis.Options
	client goredis.UniversalClient // where it is borrowed
}

func newHarness(url string) harness { return harness{url, new(atomic.Int64)} }

func clusterURL(nodes redistest.Nodes) string {
	return "redis-cluster://" + strings.Join(nodes.Addrs(), ",")
}

func TestStore(t *testing.T) {
	storagetest.Run(t, single{newHarness(redistest.Start(t).URL())})
}

func TestStoreOnCluster(t *testing.T) {
	storagetest.Run(t, borrowing{newHarness(clusterURL(redistest.Cluster(t)))})
}

func BenchmarkStore(b *testing.B) {
	storagetest.Bench(b, newHarness(redistest.Start(b).URL()))
}
