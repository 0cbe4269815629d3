package redis_test

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

// with is how many lines have the text in them.
func (l *lines) with(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// logged waits for a line with the text in it.
func logged(t *testing.T, l *lines, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return l.with(text) > 0 }, bound, time.Millisecond, text)
}

// What a server refuses changes for is said to clients in our words, to the
// operator once with what to do, and to who asks whether this server is ready.
func TestRefusedChanges(t *testing.T) {
	set := func(t *testing.T, c *goredis.Client, name, value string) {
		require.NoError(t, c.ConfigSet(t.Context(), name, value).Err())
	}
	for _, row := range []struct {
		name         string
		told, logged string
		begin, mend  func(t *testing.T, c *goredis.Client)
	}{
		{
			"full", "the store is full", "raise maxmemory",
			func(t *testing.T, c *goredis.Client) { set(t, c, "maxmemory", "1mb") },
			func(t *testing.T, c *goredis.Client) { set(t, c, "maxmemory", "0") },
		},
		{
			"replica", "the store takes no changes at present", "it is a replica",
			func(t *testing.T, c *goredis.Client) {
				require.NoError(t, c.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
			},
			func(t *testing.T, c *goredis.Client) {
				require.NoError(t, c.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
			},
		},
		{
			"replicas", "the store takes no changes at present", "min-replicas-to-write",
			func(t *testing.T, c *goredis.Client) { set(t, c, "min-replicas-to-write", "1") },
			func(t *testing.T, c *goredis.Client) { set(t, c, "min-replicas-to-write", "0") },
		},
		{
			"disk", "the store takes no changes at present", "cannot persist",
			func(t *testing.T, c *goredis.Client) {
				require.NoError(t, os.RemoveAll(c.ConfigGet(t.Context(), "dir").Val()["dir"]))
				set(t, c, "save", "3600 1")
				require.NoError(t, c.BgSave(t.Context()).Err())
				require.Eventually(t, func() bool {
					return redistest.InfoField(t.Context(), c, "persistence", "rdb_last_bgsave_status") == "err"
				}, bound, 5*time.Millisecond)
			},
			func(t *testing.T, c *goredis.Client) { set(t, c, "save", "") },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			c := client(t, server)
			var log, told lines
			s := open(t, server.URL(), redis.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			srv := chattest.New(t, &chat.Options{Store: s, Logger: slog.New(slog.NewTextHandler(&told, nil))})
			alice := srv.Dial("alice")
			alice.Join("r")
			ready := func() (int, string) {
				res, err := srv.HTTP("").Get("http://chat.test/chat/readyz")
				require.NoError(t, err)
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				return res.StatusCode, string(body)
			}
			code, _ := ready()
			require.Equal(t, http.StatusOK, code)

			row.begin(t, c)
			for range 20 {
				ev := alice.Call(map[string]any{"type": "message", "room": "r", "content": "hello"})
				require.Equal(t, "error", ev.Type)
				require.Equal(t, chat.CodeUnavailable, ev.Code)
				require.Equal(t, row.told, ev.Text)
			}
			logged(t, &log, row.logged)
			logged(t, &told, "not stored")
			code, body := ready()
			require.Equal(t, http.StatusServiceUnavailable, code)
			require.Contains(t, body, "store")
			ev := alice.Call(map[string]any{"type": "history", "room": "r"})
			require.Equal(t, "history", ev.Type, "reading goes on")
			ev = alice.Call(map[string]any{"type": "rooms"})
			require.Equal(t, "rooms", ev.Type, "reading goes on: %s", ev.Raw)

			row.mend(t, c)
			require.Eventually(t, func() bool {
				code, _ := ready()
				return code == http.StatusOK
			}, bound, 5*time.Millisecond)
			logged(t, &log, "takes changes again")
			alice.Send("r", "hello")
			require.Equal(t, 1, log.with(row.logged), "once per cause")
			require.Equal(t, 1, told.with("not stored"), "once per cause")
		})
	}
}

func TestEvictionThatIsSetLaterIsLogged(t *testing.T) {
	srv := redistest.Start(t)
	c := client(t, srv)
	var log lines
	s := open(t, srv.URL(), redis.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	watch(t, s)
	for round := 1; round <= 2; round++ {
		require.NoError(t, c.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
		require.Eventually(t, func() bool { return log.with("allkeys-lru") == round }, 3*bound, 5*time.Millisecond)
		require.NoError(t, c.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
		require.Eventually(t, func() bool { return log.with("keeps all rooms again") == round }, 3*bound, 5*time.Millisecond)
	}
}

// Reads go on while no change is taken, and show nothing that is too old, nor who
// is of a server that has ended, although neither can be cleared away then.
func TestReadsWhileChangesAreRefused(t *testing.T) {
	for _, row := range []struct{ name, begin, mend string }{
		{"full", "CONFIG SET maxmemory 1mb", "CONFIG SET maxmemory 0"},
		{"replica", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"},
		{"replicas", "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			do := func(command string) {
				t.Helper()
				var args []any
				for _, a := range strings.Fields(command) {
					args = append(args, a)
				}
				require.NoError(t, client(t, server).Do(t.Context(), args...).Err())
			}
			before := open(t, server.URL(), redis.Options{})
			add(t, before, "r", creation("r"))
			var sent []chat.Message
			for i, age := range []time.Duration{3, 3, 3, 2, 0, 0, 0} {
				c := message(string(rune('a' + i)))
				c.At = c.At.Add(-age * time.Hour)
				sent = append(sent, add(t, before, "r", c).Message)
			}
			for _, i := range []int{0, 5, 1} { // so that what is too old is between the rest by rev
				add(t, before, "r", chat.Change{Kind: chat.ChangeEdit, At: time.Now(), Message: chat.Message{ID: sent[i].ID, Content: "edited"}})
			}
			add(t, before, "gone", creation("gone"))
			old := message("")
			old.At = old.At.Add(-2 * time.Hour)
			add(t, before, "gone", old)
			s := open(t, server.URL(), redis.Options{MaxAge: time.Hour})
			for node, lease := range map[string]time.Duration{"ends": time.Millisecond, "stays": time.Hour} {
				_, _, err := s.Attend(t.Context(), node, lease, []chat.Attendance{{Room: "r", Node: node, User: chat.User{ID: node}}})
				require.NoError(t, err)
			}

			read := func() (all []any) {
				t.Helper()
				note := func(answer any, err error) {
					t.Helper()
					require.NoError(t, err)
					all = append(all, answer)
				}
				for _, room := range []string{"r", "gone"} {
					head, err := s.Head(t.Context(), room)
					note(head, err)
					for after := range head.Rev + 1 {
						for limit := range 5 {
							p, err := s.Changes(t.Context(), room, after, limit)
							note(p, err)
						}
					}
					queries := []chat.Query{{}, {Limit: 100}, {Limit: 2}, {Before: 6, Limit: 5}, {After: 2, Limit: 5}, {Around: 4, Limit: 4}}
					for _, m := range sent {
						queries = append(queries, chat.Query{ID: m.ID, Limit: 1}, chat.Query{User: m.User, Nonce: m.Nonce, Limit: 1})
					}
					for _, q := range queries {
						p, err := s.History(t.Context(), room, q)
						note(p, err)
					}
				}
				list, more, err := s.ListRooms(t.Context(), "", "", 10)
				note([]any{list, more}, err)
				return all
			}
			do(row.begin)
			during := read()
			var there []chat.Attendance
			require.Eventually(t, func() bool {
				var err error
				there, err = s.Attendances(t.Context(), []string{"r"})
				require.NoError(t, err)
				return len(there) == 1
			}, bound, time.Millisecond, "who is of a server that has ended")
			require.Equal(t, "stays", there[0].Node)
			do(row.mend)
			require.Equal(t, read(), during, "as when it has been cleared away")
		})
	}
}
