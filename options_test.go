package chat_test

import (
	"context"
	"math"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
	"github.com/gabblehq/chat/storage/memory"
)

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	_, err := chat.New(nil)
	require.ErrorContains(t, err, "chat: Options.Store: is required; memory.New()")
	require.ErrorContains(t, err, "chat: Options.Authenticate: is required; auth.Anonymous()")

	_, err = chat.New(&chat.Options{
		Middleware: []chat.Middleware{middleware.Recover(nil), nil},
		Origins:    []string{"*", "app.example.com", "https://app.example.com/path"},
		Tenant:     "a/b", Engine: "fibers",
		Limits: chat.Limits{
			Content: -1, MessageBytes: -1, Meta: -1, Rooms: -1, Sessions: -1, History: -1, MaxHistory: -1, PageBytes: -1, Resume: -1,
			RingFrames: -1, RingBytes: -1, NodeRingBytes: -1, Backfill: -1, Outstanding: -1, AuthTimeout: -1, StoreTimeout: -1, Ping: -1,
			Dead: -1, Stall: -1, TypingExpiry: -1, LeaveGrace: -1, Presence: -1, Drain: -1,
			Connections: -1, ConnectionsPerIP: -1, MemoryBytes: -1, Requests: -1, RequestTimeout: -1, Noise: chat.Rate{Burst: -1},
		},
	})
	require.Error(t, err)
	for _, field := range []string{
		"Store", "Authenticate", "Middleware[1]", "Origins[1]", "Origins[2]", "Tenant", "Engine", "Limits.Content", "Limits.MessageBytes",
		"Limits.Meta", "Limits.Rooms", "Limits.Sessions", "Limits.History", "Limits.MaxHistory", "Limits.PageBytes", "Limits.Resume",
		"Limits.RingFrames", "Limits.RingBytes", "Limits.NodeRingBytes", "Limits.Backfill", "Limits.Outstanding", "Limits.AuthTimeout",
		"Limits.StoreTimeout", "Limits.Ping", "Limits.Dead", "Limits.Stall", "Limits.TypingExpiry", "Limits.LeaveGrace", "Limits.Presence", "Limits.Drain",
		"Limits.Connections", "Limits.ConnectionsPerIP", "Limits.MemoryBytes", "Limits.Requests", "Limits.RequestTimeout", "Limits.Noise",
	} {
		require.ErrorContains(t, err, "chat: Options."+field+": ")
	}
	require.Equal(t, 36, strings.Count(err.Error(), "\n")+1, "nothing else: %v", err)
}

func TestEachMistakeNamesItsField(t *testing.T) {
	for _, row := range []struct {
		name, field string
		o           chat.Options
	}{
		{"more by default than at most", "Limits.History", chat.Options{Limits: chat.Limits{History: 300}}},
		{"dead before the ping", "Limits.Dead", chat.Options{Limits: chat.Limits{Dead: time.Second}}},
		{"dead with the ping", "Limits.Dead", chat.Options{Limits: chat.Limits{Ping: time.Minute, Dead: time.Minute}}},
		{"origin without a scheme", "Origins[0]", chat.Options{Origins: []string{"example.com"}}},
		{"origin with a slash", "Origins[0]", chat.Options{Origins: []string{"https://example.com/"}}},
		{"wildcard that never matches", "Origins[0]", chat.Options{Origins: []string{"https://app-*.example.com"}}},
		{"wildcard in the middle", "Origins[0]", chat.Options{Origins: []string{"https://a.*.example.com"}}},
		{"origin with a user", "Origins[0]", chat.Options{Origins: []string{"https://me@example.com"}}},
		{"origin of the socket", "Origins[0]", chat.Options{Origins: []string{"wss://example.com"}}},
		{"origin in Unicode", "Origins[0]", chat.Options{Origins: []string{"https://bücher.example"}}},
		{"origin without a port behind the colon", "Origins[0]", chat.Options{Origins: []string{"https://example.com:"}}},
		{"origin with a port that is none", "Origins[0]", chat.Options{Origins: []string{"https://example.com:65536"}}},
		{"origin with port 0", "Origins[0]", chat.Options{Origins: []string{"https://example.com:0"}}},
		{"origin with a query", "Origins[0]", chat.Options{Origins: []string{"https://example.com?x"}}},
		{"origin with a space", "Origins[0]", chat.Options{Origins: []string{" https://example.com"}}},
		{"origin without a host", "Origins[0]", chat.Options{Origins: []string{"https://"}}},
		{"origin with half an address", "Origins[0]", chat.Options{Origins: []string{"http://10.1"}}},
		{"origin with an address in hexadecimal", "Origins[0]", chat.Options{Origins: []string{"http://0x7f000001"}}},
		{"origin with a zone", "Origins[0]", chat.Options{Origins: []string{"http://[fe80::1%25eth0]"}}},
		{"origins below an address", "Origins[0]", chat.Options{Origins: []string{"http://*.10.0.0.1"}}},
		{"origins below nothing", "Origins[0]", chat.Options{Origins: []string{"https://*."}}},
		{"every host of a scheme", "Origins[0]", chat.Options{Origins: []string{"https://*"}}},
		{"null in capitals", "Origins[0]", chat.Options{Origins: []string{"NULL"}}},
		{"empty origin", "Origins[0]", chat.Options{Origins: []string{""}}},
		{"header that is none", "ProxyHeader", chat.Options{ProxyHeader: "X Real IP"}},
		{"proxy that is none", "TrustedProxies[0]", chat.Options{TrustedProxies: []netip.Prefix{{}}}},
		{"tenant with a space", "Tenant", chat.Options{Tenant: "a b"}},
		{"long tenant", "Tenant", chat.Options{Tenant: strings.Repeat("t", 65)}},
		{"engine", "Engine", chat.Options{Engine: "Epoll"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.o.Store, row.o.Authenticate = memory.New(), chattest.TokenIsUser
			srv, err := chat.New(&row.o)
			if err == nil {
				_ = srv.Close()
			}
			require.ErrorContains(t, err, "chat: Options."+row.field+": ")
		})
	}
}

func TestOptionsAreCopied(t *testing.T) {
	o := chat.Options{Store: memory.New(), Authenticate: chattest.TokenIsUser, Origins: []string{"https://a.example"}}
	srv := newServer(t, o)
	o.Origins[0] = "https://evil.example"
	require.Equal(t, http.StatusForbidden, asked(t, srv, "GET", "http://x.test/rooms", "", "Origin", "https://evil.example").Code)
	require.Zero(t, o.Limits, "and are not written to")
}

func TestTenantsOnOneStoreKeepApart(t *testing.T) {
	store := memory.New()
	a := newServer(t, chat.Options{Store: store, Tenant: "a"})
	ab := newServer(t, chat.Options{Store: store, Tenant: "ab"})
	none := newServer(t, chat.Options{Store: store})
	_, err := a.Room("r").Create(t.Context(), chat.RoomInfo{Title: "of a"})
	require.NoError(t, err)
	for name, other := range map[string]*chat.Server{"ab": ab, "none": none} {
		require.Equal(t, http.StatusNotFound, asked(t, other, "GET", "/rooms/r", "").Code)
		require.NotContains(t, asked(t, other, "GET", "/rooms", "").Body.String(), "of a", name)
	}
	require.Contains(t, asked(t, a, "GET", "/rooms", "").Body.String(), `"id":"r"`)
}

// TestMemoryLimitIsTheRuntimesByDefault: GOMEMLIMIT counts, as it is when the server
// is made, and where it is not set there is no bound.
func TestMemoryLimitIsTheRuntimesByDefault(t *testing.T) {
	old := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(old)
	for limit, status := range map[int64]int{math.MaxInt64: 101, 1 << 40: 101, 1 << 10: 503} {
		debug.SetMemoryLimit(limit)
		s := doorways[0].open(t, chat.Options{})
		debug.SetMemoryLimit(old)
		got, c := knockAt(t, s.addr)
		require.NoError(t, c.Close())
		require.Equal(t, status, got, "with a limit of %d", limit)
	}
}

// inChild runs the test in a process of its own, for what could end the whole,
// and reports whether it has: then there is nothing left to do here.
func inChild(t *testing.T) bool {
	t.Helper()
	const mark = "GABBLE_TEST_CHILD"
	if os.Getenv(mark) != "" {
		return false
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=30s")
	cmd.Env = append(os.Environ(), mark+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%.1500s", out)
	return true
}

func TestSlowAuthenticateDelaysNobody(t *testing.T) {
	if inChild(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		letGo := sync.OnceFunc(func() { close(slow) })
		defer letGo()
		srv := chattest.New(t, &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
			u, err := chattest.TokenIsUser(r)
			if u.ID == "slow" {
				<-slow
			}
			return u, err
		}})
		c := srv.Dial("")
		c.Do(map[string]any{"type": "auth", "token": "slow"})
		alice := srv.Dial("alice")
		alice.Join("r")
		time.Sleep(5 * time.Second)
		require.Equal(t, 4002, c.CloseCode(), "the deadline holds, whoever it is that is slow")
		letGo()
		synctest.Wait()
		time.Sleep(time.Minute)
		require.False(t, srv.User("slow").Online(), "nobody is left behind")
		alice.Send("r", "x")
	})
}

func TestStalledUserLookupHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalled chan struct{}
		srv := chattest.New(t, &chat.Options{Users: func(_ context.Context, ids []string) ([]chat.User, error) {
			if stalled != nil {
				<-stalled
			}
			return nil, nil
		}})
		room := srv.Room("r")
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		alice.Join("r")
		bob.Join("r")
		m, err := room.Send(t.Context(), chat.Message{User: "carol", Content: "x"})
		require.NoError(t, err)
		time.Sleep(time.Hour) // what is known of carol is forgotten
		stalled = make(chan struct{})
		defer close(stalled)
		go func() { _, _ = room.Delete(context.Background(), m.ID, false) }()
		synctest.Wait()
		alice.Do(map[string]any{"type": "message", "ref": "m", "room": "r", "content": "hello?"})
		time.Sleep(time.Minute)
		var acked bool
		for _, ev := range alice.Drain() {
			acked = acked || ev.Type == "ack" && ev.Ref == "m"
		}
		require.True(t, acked, "the host's Users does not come back, and the whole room stands still")
	})
}
