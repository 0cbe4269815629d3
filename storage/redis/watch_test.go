package redis_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

// bound is the two seconds of chat.Watcher, and some for a busy machine.
const bound = 30 * time.Second

// ear hears what a store tells.
type ear struct {
	all    chan struct{} // a Missed(nil)
	some   chan func(string) bool
	mu     sync.Mutex
	hinted map[string]int64
	hints  chan chat.Hint
}

func (e *ear) Appended(h chat.Hint) {
	e.mu.Lock()
	e.hinted[h.Room] = max(e.hinted[h.Room], h.Head.Rev)
	e.mu.Unlock()
	select {
	case e.hints <- h:
	default:
	}
}

func (e *ear) Missed(covers func(string) bool) {
	if covers == nil {
		e.all <- struct{}{}
		return
	}
	e.some <- covers
}

func (*ear) Present(string, []chat.Attendance) {}
func (*ear) Signal(string, []byte)             {}

func watch(t *testing.T, s *redis.Store) *ear {
	t.Helper()
	e := &ear{
		all: make(chan struct{}, 100), some: make(chan func(string) bool, 100),
		hinted: map[string]int64{}, hints: make(chan chat.Hint, 1000),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, e) }()
	t.Cleanup(func() {
		cancel()
		assert.ErrorIs(t, <-done, context.Canceled)
	})
	e.missedAll(t)
	return e
}

func (e *ear) missedAll(t *testing.T) {
	t.Helper()
	select {
	case <-e.all:
	case <-time.After(bound):
		require.FailNow(t, "no Missed(nil)")
	}
}

// missed waits for a Missed that covers the room and not all others.
func (e *ear) missed(t *testing.T, room string) {
	t.Helper()
	for late := time.After(bound); ; {
		select {
		case covers := <-e.some:
			if !covers(room) {
				continue
			}
			others := 0
			for i := range 100 {
				if covers(fmt.Sprint("other", i)) {
					others++
				}
			}
			require.Less(t, others, 20, "rooms that missed nothing")
			return
		case <-late:
			require.FailNow(t, "no Missed", "of %s", room)
		}
	}
}

func TestCutLinkIsMissed(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	add(t, s, "r", creation("r"))
	e := watch(t, s)
	for i := range 3 {
		n, err := c.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result()
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		rev := add(t, s, "r", message(fmt.Sprint(i))).Position.Rev
		e.missedAll(t)
		heads, err := s.Heads(t.Context(), []string{"r"})
		require.NoError(t, err)
		require.Equal(t, rev, heads[0].Rev)
	}
}

func TestLostLastHintIsMissed(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	add(t, s, "r", creation("r"))
	e := watch(t, s)
	// A number without a hint is what a lost one looks like from here.
	counter := "gabble:{" + bucket(t, srv, "r") + "}counter"
	require.NoError(t, c.Incr(t.Context(), counter).Err())
	e.missed(t, "r")
	// A hole shows with the next hint, without waiting.
	require.NoError(t, c.Incr(t.Context(), counter).Err())
	add(t, s, "r", message("1"))
	e.missed(t, "r")
	// What goes back is not what it was.
	require.NoError(t, c.DecrBy(t.Context(), counter, 5).Err())
	e.missed(t, "r")
}

func TestDeafSubscriptionIsMadeAnew(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	add(t, s, "r", creation("r"))
	e := watch(t, s)
	counter := "gabble:{" + bucket(t, srv, "r") + "}counter"
	for range 2 {
		require.NoError(t, c.Incr(t.Context(), counter).Err())
		e.missed(t, "r")
	}
	e.missedAll(t)
}

func TestRestartedServerIsMissed(t *testing.T) {
	srv := redistest.Start(t, "appendonly yes")
	s := open(t, srv.URL(), redis.Options{})
	add(t, s, "r", creation("r"))
	e := watch(t, s)
	srv.Kill()
	srv.Restart()
	e.missedAll(t)
	add(t, s, "r", message("1"))
	select {
	case h := <-e.hints:
		require.EqualValues(t, 2, h.Head.Rev)
	case <-time.After(bound):
		require.FailNow(t, "no hint")
	}
}

func TestMovedSlotIsFollowed(t *testing.T) {
	nodes := redistest.Cluster(t)
	s := open(t, clusterURL(nodes), redis.Options{})
	e := watch(t, s)
	// A slot without keys moves at once.
	const room = "r"
	var b string
	add(t, s, room, creation(room))
	for _, n := range nodes {
		if keys := client(t, n).Keys(t.Context(), "gabble:*k:"+room).Val(); len(keys) == 1 {
			b = keys[0][len("gabble:{"):]
		}
	}
	b = b[:len(b)-len("}k:"+room)]
	require.NoError(t, s.RemoveRoom(t.Context(), room))
	c := nodes.Client()
	defer c.Close()
	tag := "gabble:{" + b + "}"
	require.NoError(t, c.Del(t.Context(), tag+"counter", tag+"t:"+room).Err())
	slot := int(c.ClusterKeySlot(t.Context(), tag).Val())
	from, err := c.MasterForKey(t.Context(), tag)
	require.NoError(t, err)
	to := nodes[0]
	if to.Addr == from.Options().Addr {
		to = nodes[1]
	}
	id := func(c *goredis.Client) string {
		id, err := c.Do(t.Context(), "cluster", "myid").Text()
		require.NoError(t, err)
		return id
	}
	// A master that was importing the slot takes it with a new epoch of the
	// configuration. Without one the masters may disagree for ever.
	taker := client(t, to)
	require.NoError(t, taker.Do(t.Context(), "cluster", "setslot", slot, "importing", id(from)).Err())
	for _, at := range []*goredis.Client{taker, from} {
		require.NoError(t, at.Do(t.Context(), "cluster", "setslot", slot, "node", id(taker)).Err())
	}
	add(t, s, room, creation(room))
	e.missedAll(t)
	rev := add(t, s, room, message("1")).Position.Rev
	require.Eventually(t, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.hinted[room] == rev
	}, bound, 10*time.Millisecond)
}

// hears adds a message and waits until its hint has come.
func (e *ear) hears(t *testing.T, s *redis.Store, room string) {
	t.Helper()
	rev := add(t, s, room, message("")).Position.Rev
	require.Eventually(t, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.hinted[room] >= rev
	}, bound, time.Millisecond)
}

// A number that was there before was given out anew: the data has gone back.
func TestNumbersThatComeAgainAreMissed(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	add(t, s, "r", creation("r"))
	e := watch(t, s)
	e.hears(t, s, "r")
	e.hears(t, s, "r")
	counter := "gabble:{" + bucket(t, srv, "r") + "}counter"
	for range 3 { // at once: before the counter is read the next time it has caught up
		require.NoError(t, c.Decr(t.Context(), counter).Err())
		e.hears(t, s, "r")
		e.missed(t, "r")
	}
}

// The connection stays when a primary becomes a replica and a primary again,
// with what that one had. The numbers continue as if nothing had happened.
func TestSubscriptionOfAnotherLifeIsMadeAnew(t *testing.T) {
	l := behind(t, true)
	s := l.open(t)
	add(t, s, "r", creation("r"))
	l.mark()
	add(t, s, "r", message(""))
	e := watch(t, s)
	l.lose()
	e.missedAll(t)
	e.hears(t, s, "r")
}

// A change of who is present that was lost is said again: what a node has said
// holds in one life of the data.
func TestPresenceLapsesWithTheLifeOfTheData(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, srv.URL(), redis.Options{})
	attend := func(changes ...chat.Attendance) (lapsed bool) {
		t.Helper()
		nodes, lapsed, err := s.Attend(t.Context(), "node", time.Hour, changes)
		require.NoError(t, err)
		require.Equal(t, []string{"node"}, nodes)
		return lapsed
	}
	alice := chat.Attendance{Room: "r", Node: "node", User: chat.User{ID: "alice"}}
	bob := chat.Attendance{Room: "r", Node: "node", User: chat.User{ID: "bob"}}
	require.True(t, attend(alice))
	require.False(t, attend())
	c := srv.Copy()
	gone := alice
	gone.Gone = true
	require.False(t, attend(gone, bob))
	srv.PutBack(c)
	answers(t, s)
	require.True(t, attend(), "bob's coming and alice's going were lost")
	require.False(t, attend(bob))
	all, err := s.Attendances(t.Context(), []string{"r"})
	require.NoError(t, err)
	require.Equal(t, []chat.Attendance{bob}, all)
}
