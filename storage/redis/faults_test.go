package redis_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

// open opens a store on the server, and a client beside it.
func open(t *testing.T, url string, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.OpenWith(t.Context(), url, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func client(t *testing.T, srv *redistest.Server) *goredis.Client {
	c := srv.Client()
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func creation(id string) chat.Change {
	return chat.Change{Kind: chat.ChangeCreateRoom, At: time.Now(), Room: chat.RoomInfo{ID: id, Kind: chat.RoomPublic}}
}

func message(nonce string) chat.Change {
	return chat.Change{Kind: chat.ChangeCreate, At: time.Now(), Message: chat.Message{
		ID: ulid.Make().String(), User: "alice", Kind: chat.KindRegular, Content: "hello", Nonce: nonce,
	}}
}

// add appends one change, which must not fail.
func add(t *testing.T, s *redis.Store, room string, c chat.Change) chat.Result {
	t.Helper()
	res, err := s.Append(t.Context(), room, chat.Position{}, []chat.Change{c})
	require.NoError(t, err)
	require.NoError(t, res[0].Err)
	return res[0]
}

func TestForgottenScriptsAreSentAgain(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	add(t, s, "r", creation("r"))
	for i := range 3 {
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
		add(t, s, "r", message(fmt.Sprint(i)))
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
		p, err := s.History(t.Context(), "r", chat.Query{Limit: 10})
		require.NoError(t, err)
		require.Len(t, p.Messages, i+1)
	}
}

func TestEmptiedStoreIsLost(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	add(t, s, "r", creation("r"))
	known := add(t, s, "r", message("1")).Position
	require.NoError(t, c.FlushAll(t.Context()).Err())
	res, err := s.Append(t.Context(), "r", known, []chat.Change{message("2")})
	require.NoError(t, err)
	require.ErrorIs(t, res[0].Err, chat.ErrLost)
	require.ErrorIs(t, res[0].Err, chat.ErrNotFound)
}

func TestServersThatCannotKeepRoomsAreRefused(t *testing.T) {
	srv := redistest.Start(t, "maxmemory 100mb")
	c := client(t, srv)
	for _, policy := range []string{"allkeys-lru", "volatile-ttl", "allkeys-random"} {
		require.NoError(t, c.ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
		_, err := redis.New(c)
		require.ErrorContains(t, err, policy)
		require.ErrorContains(t, err, "noeviction")
		_, err = redis.Open(t.Context(), srv.URL())
		require.ErrorIs(t, err, chat.ErrInvalid)
	}
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	s, err := redis.New(c)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, c.Ping(t.Context()).Err(), "what was borrowed stays open")

	_, err = redis.Open(t.Context(), redistest.Replica(t, srv).URL())
	require.ErrorContains(t, err, "replica")
	endless := goredis.NewClient(&goredis.Options{Addr: srv.Addr, ReadTimeout: -1})
	defer endless.Close()
	_, err = redis.New(endless)
	require.ErrorContains(t, err, "ReadTimeout")
	_, err = redis.NewWith(c, redis.Options{Prefix: "{a}", MaxMessages: -1})
	require.ErrorContains(t, err, "braces")
	require.ErrorContains(t, err, "MaxMessages")
}

func TestEvictingMasterOfAClusterIsRefused(t *testing.T) {
	nodes := redistest.Cluster(t)
	require.NoError(t, client(t, nodes[1]).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lfu").Err())
	_, err := redis.Open(t.Context(), clusterURL(nodes))
	require.ErrorContains(t, err, "allkeys-lfu")
	_, err = redis.Open(t.Context(), nodes[0].URL())
	require.ErrorContains(t, err, "redis-cluster://")
}

func TestFullMemoryIsUnavailable(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	add(t, s, "r", creation("r"))
	m := add(t, s, "r", message("1")).Message
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	for _, change := range []chat.Change{
		message("2"), creation("other"), {Kind: chat.ChangeDelete, At: time.Now(), Message: chat.Message{ID: m.ID}},
	} {
		room := "r"
		if change.Kind == chat.ChangeCreateRoom {
			room = "other"
		}
		_, err := s.Append(t.Context(), room, chat.Position{}, []chat.Change{change})
		require.ErrorIs(t, err, chat.ErrUnavailable)
		require.NotErrorIs(t, err, chat.ErrUnknown)
		require.ErrorContains(t, err, "the store is full")
	}
	p, err := s.Changes(t.Context(), "r", 0, 10)
	require.NoError(t, err)
	require.Len(t, p.Entries, 2)
	require.Equal(t, m, *p.Entries[1].Message)
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
	require.Equal(t, p.Head.Rev+1, add(t, s, "r", message("2")).Position.Rev, "nothing was written")
}

// TestKilledServer proves what the package says of persistence when the
// server's process dies.
func TestKilledServer(t *testing.T) {
	for _, c := range []struct{ name, config string }{
		{"aof_always", "appendonly yes\nappendfsync always"},
		{"aof_everysec", "appendonly yes\nappendfsync everysec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, c.config)
			s := open(t, srv.URL(), redis.Options{})
			for r := range 4 {
				add(t, s, fmt.Sprint("r", r), creation("r"))
			}
			acked, unknown := killWhileWriting(t, srv, s)
			srv.Restart()
			for r := range 4 {
				room := fmt.Sprint("r", r)
				p, err := s.History(t.Context(), room, chat.Query{Limit: 1 << 20})
				require.NoError(t, err)
				there := map[string]bool{}
				for _, m := range p.Messages {
					there[m.ID] = true
				}
				for _, id := range acked[r] {
					require.True(t, there[id], "acknowledged and lost")
				}
				require.LessOrEqual(t, len(there), len(acked[r])+unknown[r], "nothing is there that nobody sent")
			}
			add(t, s, "r0", message("after"))
		})
	}
}

func killWhileWriting(t *testing.T, srv *redistest.Server, s *redis.Store) (acked [4][]string, unknown [4]int) {
	var wg sync.WaitGroup
	var count atomic.Int64
	enough := make(chan struct{})
	for r := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				m := message(fmt.Sprint(i))
				res, err := s.Append(t.Context(), fmt.Sprint("r", r), chat.Position{}, []chat.Change{m})
				if err != nil {
					unknown[r]++
					return
				}
				acked[r] = append(acked[r], res[0].Message.ID)
				if count.Add(1) == 400 {
					close(enough)
				}
			}
		})
	}
	<-enough
	srv.Kill()
	wg.Wait()
	return acked, unknown
}

func TestDeadServerFailsFast(t *testing.T) {
	srv := redistest.Start(t, "appendonly yes")
	s := open(t, srv.URL(), redis.Options{})
	add(t, s, "r", creation("r"))
	srv.Kill()
	start := time.Now()
	for range 3 { // the first may find a connection that it can still write to
		_, err := s.Append(t.Context(), "r", chat.Position{}, []chat.Change{message("1")})
		require.Error(t, err)
		_, err = s.Head(t.Context(), "r")
		require.ErrorIs(t, err, chat.ErrUnavailable)
	}
	_, err := s.Append(t.Context(), "r", chat.Position{}, []chat.Change{message("1")})
	require.ErrorIs(t, err, chat.ErrUnavailable)
	require.NotErrorIs(t, err, chat.ErrUnknown, "refused: nothing can have been written")
	require.Less(t, time.Since(start), 4*time.Second)
	srv.Restart()
	add(t, s, "r", message("1"))
}

func TestWaitForReplicas(t *testing.T) {
	srv := redistest.Start(t)
	replica := redistest.Replica(t, srv)
	s := open(t, srv.URL(), redis.Options{Wait: 1, WaitTimeout: 2 * time.Second})
	add(t, s, "r", creation("r"))
	add(t, s, "r", message("1"))
	n, err := client(t, replica).HGet(t.Context(), "gabble:{"+bucket(t, srv, "r")+"}k:r", "v").Int()
	require.NoError(t, err)
	require.Equal(t, 2, n, "acknowledged is replicated")
	replica.Kill()
	for range 2 { // a retry with the nonce is no safer than the first try
		_, err = s.Append(t.Context(), "r", chat.Position{}, []chat.Change{message("2")})
		require.ErrorIs(t, err, chat.ErrUnknown)
	}
}

// bucket finds the bucket of a room by its key.
func bucket(t *testing.T, srv *redistest.Server, room string) string {
	t.Helper()
	keys := client(t, srv).Keys(t.Context(), "gabble:*k:"+room).Val()
	require.Len(t, keys, 1)
	_, rest, _ := strings.Cut(keys[0], "{")
	b, _, _ := strings.Cut(rest, "}")
	return b
}
