package redis_test

import (
	"context"
	"fmt"
	"net"
	"sync"
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

// single is the harness of one server, whose data can go back.
type single struct{ harness }

// rewinding is a store on a server of its own, which stays open while the
// server goes back.
type rewinding struct {
	s   *redis.Store
	srv *redistest.Server
	at  redistest.Copy
}

func (single) OpenRewinding(t testing.TB) storagetest.Rewinding {
	srv := redistest.Start(t)
	s, err := redis.Open(t.Context(), srv.URL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &rewinding{s: s, srv: srv}
}

func (r *rewinding) Store() chat.Store    { return r.s }
func (r *rewinding) Mark(testing.TB)      { r.at = r.srv.Copy() }
func (r *rewinding) Rewind(t testing.TB)  { r.srv.PutBack(r.at); r.answers(t) }
func (r *rewinding) Restart(t testing.TB) { r.srv.Reboot(); r.answers(t) }
func (r *rewinding) answers(t testing.TB) { answers(t, r.s) }

// answers waits until the store has found its server again.
func answers(t testing.TB, s *redis.Store) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := s.Heads(t.Context(), []string{"r"})
		return err == nil
	}, bound, time.Millisecond)
}

// loss is a way to lose what was written after mark.
type loss struct {
	open func(t *testing.T) *redis.Store
	mark func()
	lose func()
}

// behind is the loss of what the replica does not have. back: the primary
// itself goes on, with what the replica had.
func behind(t *testing.T, back bool) loss {
	primary := redistest.Start(t)
	replica := redistest.Replica(t, primary)
	var addr atomic.Value
	addr.Store(primary.Addr)
	open := func(t *testing.T) *redis.Store {
		c := goredis.NewClient(&goredis.Options{Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr.Load().(string))
		}})
		t.Cleanup(func() { _ = c.Close() })
		s, err := redis.New(c)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	p, r := client(t, primary), client(t, replica)
	follow := func(c *goredis.Client, host, port string) {
		require.NoError(t, c.Do(t.Context(), "REPLICAOF", host, port).Err())
	}
	return loss{open,
		func() {
			synced(t, p, r)
			follow(r, "127.0.0.1", "1") // nobody is there
		},
		func() {
			follow(r, "NO", "ONE")
			if back {
				host, port, _ := net.SplitHostPort(replica.Addr)
				follow(p, host, port)
				synced(t, r, p)
				follow(p, "NO", "ONE")
				return
			}
			addr.Store(replica.Addr)
			primary.Kill()
		},
	}
}

// synced waits until the replica has all that the primary has.
func synced(t *testing.T, primary, replica *goredis.Client) {
	t.Helper()
	require.Eventually(t, func() bool {
		field := func(c *goredis.Client, name string) string {
			return redistest.InfoField(t.Context(), c, "replication", name)
		}
		return field(replica, "master_link_status") == "up" && field(replica, "master_replid") == field(primary, "master_replid") &&
			field(replica, "slave_repl_offset") == field(primary, "master_repl_offset")
	}, bound, time.Millisecond)
}

// losses are all ways in which a server comes back as it was.
func losses() map[string]func(t *testing.T) loss {
	copied := func(config ...string) func(t *testing.T) loss {
		return func(t *testing.T) loss {
			srv := redistest.Start(t, config...)
			var c redistest.Copy
			return loss{func(t *testing.T) *redis.Store { return open(t, srv.URL(), redis.Options{}) }, func() { c = srv.Copy() }, func() { srv.PutBack(c) }}
		}
	}
	cluster := func(t *testing.T) loss {
		nodes := redistest.Cluster(t)
		copies := make([]redistest.Copy, len(nodes))
		return loss{
			func(t *testing.T) *redis.Store { return open(t, clusterURL(nodes), redis.Options{}) },
			func() {
				for i, n := range nodes {
					copies[i] = n.Copy()
				}
			},
			func() {
				for i, n := range nodes {
					n.PutBack(copies[i])
				}
				nodes.Await()
			},
		}
	}
	return map[string]func(t *testing.T) loss{
		"cluster":            cluster,
		"dump":               copied(),
		"everysec":           copied("appendonly yes", "appendfsync everysec"),
		"always":             copied("appendonly yes", "appendfsync always"),
		"replica":            func(t *testing.T) loss { return behind(t, false) },
		"primary_and_return": func(t *testing.T) loss { return behind(t, true) },
	}
}

// written appends n messages, each by a call of its own, by somebody who knows
// nothing of the room.
func written(t *testing.T, s *redis.Store, n int) (ids []string, last chat.Position) {
	t.Helper()
	for range n {
		res := add(t, s, "r", message(""))
		ids, last = append(ids, res.Message.ID), res.Position
	}
	return ids, last
}

func page(t *testing.T, s *redis.Store) chat.Page {
	t.Helper()
	p, err := s.History(t.Context(), "r", chat.Query{Limit: 1000})
	require.NoError(t, err)
	c, err := s.Changes(t.Context(), "r", 0, 1000)
	require.NoError(t, err)
	require.Equal(t, p.Past, c.Past)
	require.Equal(t, p.Head, c.Head)
	return p
}

func idsOf(p chat.Page) (ids []string) {
	for _, m := range p.Messages {
		ids = append(ids, m.ID)
	}
	return ids
}

// Whatever way a server has gone back, and however far others write past where
// it was: positions of what is left stay good, those of what is gone do not.
func TestWhatIsGoneIsNoPosition(t *testing.T) {
	for name, begin := range losses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := begin(t)
			s := l.open(t)
			add(t, s, "r", creation("r"))
			kept, at := written(t, s, 3)
			l.mark()
			_, gone := written(t, s, 5)
			require.Equal(t, at.Epoch, gone.Epoch)
			l.lose()
			answers(t, s)

			p := page(t, s)
			require.Equal(t, at, p.Head, "nothing begins by reading")
			require.Empty(t, p.Past)
			more, head := written(t, s, 7)
			require.NotEqual(t, at.Epoch, head.Epoch)
			require.Equal(t, at.Rev+7, head.Rev)
			p = page(t, s)
			require.Equal(t, head, p.Head)
			require.Equal(t, []chat.Position{{Epoch: at.Epoch, Rev: at.Rev}}, p.Past)
			require.Equal(t, append(kept, more...), idsOf(p))
			for rev := range gone.Rev + 1 {
				require.Equal(t, rev <= at.Rev, p.Good(chat.Position{Epoch: at.Epoch, Rev: rev}), "rev %d", rev)
			}
			require.True(t, p.Good(head))
		})
	}
}

func TestRestartLosesNoPosition(t *testing.T) {
	for _, config := range [][]string{nil, {"appendonly yes"}} {
		srv := redistest.Start(t, config...)
		s := open(t, srv.URL(), redis.Options{})
		add(t, s, "r", creation("r"))
		var all []chat.Position
		for range 3 {
			_, at := written(t, s, 2)
			all = append(all, at)
			srv.Reboot()
			answers(t, s)
		}
		_, at := written(t, s, 1)
		all = append(all, at)
		p := page(t, s)
		require.Len(t, p.Past, 3)
		for i, at := range all {
			require.True(t, p.Good(at), "position %d", i)
			require.False(t, p.Good(chat.Position{Epoch: at.Epoch, Rev: at.Rev + 1}), "position %d", i)
		}
	}
}

// Nothing is reset that need not be, and no epoch begins without a reason.
func TestSameLifeIsOneEpoch(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	first := add(t, s, "r", creation("r")).Position
	for _, what := range [][]any{{"DEBUG", "RELOAD"}, {"SAVE"}, {"SCRIPT", "FLUSH"}, {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}} {
		require.NoError(t, c.Do(t.Context(), what...).Err())
		answers(t, s)
		_, at := written(t, s, 1)
		require.Equal(t, first.Epoch, at.Epoch, "%v", what)
	}
	require.Empty(t, page(t, s).Past)
}

func TestFlushedRoomHasNoPast(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	for _, flush := range []string{"FLUSHALL", "FLUSHDB"} {
		add(t, s, "r", creation("r"))
		_, gone := written(t, s, 5)
		require.NoError(t, c.Do(t.Context(), flush).Err())
		_, err := s.Head(t.Context(), "r")
		require.ErrorIs(t, err, chat.ErrNotFound)
		add(t, s, "r", creation("r"))
		written(t, s, 7)
		p := page(t, s)
		for rev := range gone.Rev + 1 {
			require.False(t, p.Good(chat.Position{Epoch: gone.Epoch, Rev: rev}))
		}
		require.NoError(t, s.RemoveRoom(t.Context(), "r"))
	}
}

// anotherLife has the room's last epoch be of a life that is over.
func anotherLife(t *testing.T, c *goredis.Client, b string) {
	t.Helper()
	require.NoError(t, c.HSet(t.Context(), "gabble:{"+b+"}k:r", "l", "another").Err())
}

func TestPastIsBoundedAndEnds(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	var all []chat.Position
	all = append(all, add(t, s, "r", creation("r")).Position)
	b := bucket(t, srv, "r")
	for range chat.MaxPast + 8 {
		anotherLife(t, c, b)
		_, at := written(t, s, 1)
		all = append(all, at)
	}
	p := page(t, s)
	require.Len(t, p.Past, chat.MaxPast)
	for i, past := range p.Past {
		at := all[len(all)-2-i]
		require.Equal(t, chat.Position{Epoch: at.Epoch, Rev: at.Rev}, past)
	}
	require.False(t, p.Good(all[0]))

	_, err := s.NewEpoch(t.Context(), "r")
	require.NoError(t, err)
	require.Empty(t, page(t, s).Past)
	_, at := written(t, s, 1)
	require.Equal(t, page(t, s).Head, at, "of the same life")
	anotherLife(t, c, b)
	written(t, s, 1)
	require.Len(t, page(t, s).Past, 1)
	require.NoError(t, s.RemoveRoom(t.Context(), "r"))
	add(t, s, "r", creation("r"))
	require.Empty(t, page(t, s).Past)
}

// What this server has seen counts in the same life, too, and before there is
// anything to write.
func TestKnownBeyondTheHeadNotesThePast(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, srv.URL(), redis.Options{})
	add(t, s, "r", creation("r"))
	_, at := written(t, s, 3)
	_, err := s.Append(t.Context(), "r", chat.Position{Epoch: at.Epoch, Rev: at.Rev + 5}, nil)
	require.NoError(t, err)
	p := page(t, s)
	require.NotEqual(t, at.Epoch, p.Head.Epoch)
	require.Equal(t, at.Rev, p.Head.Rev)
	require.Equal(t, []chat.Position{{Epoch: at.Epoch, Rev: at.Rev}}, p.Past)
}

// between runs something between what a call reads and what it writes.
type between struct {
	calls int
	do    func()
}

func (*between) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (*between) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (h *between) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if h.calls++; h.calls == 2 && h.do != nil {
			h.do()
		}
		return next(ctx, cmds)
	}
}

// What has been read before the server went back is no ground to write on
// afterwards: the same seq and rev can be another's message.
func TestPlanOfAnotherEpochIsMadeAnew(t *testing.T) {
	srv := redistest.Start(t)
	other := open(t, srv.URL(), redis.Options{})
	add(t, other, "r", creation("r"))
	old := srv.Copy()
	mine := add(t, other, "r", message("")).Message

	c := client(t, srv)
	s, err := redis.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	answers(t, s) // the scripts are loaded
	var theirs chat.Message
	_, err = s.Append(t.Context(), "r", chat.Position{}, []chat.Change{{Kind: chat.ChangeEdit, At: time.Now(), Message: chat.Message{ID: "none"}}})
	require.NoError(t, err)
	c.AddHook(&between{do: func() {
		srv.PutBack(old)
		answers(t, other)
		m := message("")
		m.Message.User = "bob"
		theirs = add(t, other, "r", m).Message
	}})
	edit := chat.Change{Kind: chat.ChangeEdit, At: time.Now(), Message: chat.Message{ID: mine.ID, Content: "edited"}}
	res, err := s.Append(t.Context(), "r", chat.Position{}, []chat.Change{edit})
	require.NoError(t, err)
	require.Equal(t, mine.Rev, theirs.Rev)
	require.ErrorIs(t, res[0].Err, chat.ErrNotFound)
	p := page(t, other)
	require.Equal(t, []chat.Message{theirs}, p.Messages)
}

// Appends that travel together are answered each by itself.
func TestAppendsThatTravelTogether(t *testing.T) {
	srv := redistest.Start(t)
	s, c := open(t, srv.URL(), redis.Options{}), client(t, srv)
	const n = 50
	for i := range n {
		add(t, s, fmt.Sprint("r", i), creation("r"))
	}
	damaged := "gabble:{" + bucket(t, srv, "r7") + "}k:r7"
	require.NoError(t, c.Del(t.Context(), damaged).Err())
	require.NoError(t, c.Set(t.Context(), damaged, "no hash", 0).Err())
	require.NoError(t, c.ScriptFlush(t.Context()).Err())
	require.NoError(t, c.ConfigResetStat(t.Context()).Err())
	sent := redis.Gather(s, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			res, err := s.Append(t.Context(), fmt.Sprint("r", i), chat.Position{}, []chat.Change{message("")})
			if i == 7 {
				require.ErrorIs(t, err, chat.ErrUnknown)
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 2, res[0].Position.Rev)
		})
	}
	wg.Wait()
	<-sent
	require.Regexp(t, `cmdstat_eval:calls=2,`, c.Info(t.Context(), "commandstats").Val(), "a command for many")
}
