package chat_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
)

// shown is what a request to upgrade gets: the refusal, or the first frame, ""
// where none comes by itself.
func shown(t *testing.T, srv *chattest.Server, query string, header http.Header) (*http.Response, string) {
	t.Helper()
	c, err := srv.DialContext(t.Context(), "", "")
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	r, err := http.NewRequest(http.MethodGet, "http://chat.test/chat/ws"+query, nil)
	require.NoError(t, err)
	r.Header = header.Clone()
	for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		r.Header.Set(k, v)
	}
	require.NoError(t, r.Write(c))
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, r)
	require.NoError(t, err)
	if res.StatusCode != http.StatusSwitchingProtocols {
		b, _ := io.ReadAll(res.Body)
		return res, string(b)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	f, err := ws.ReadFrame(br)
	if err != nil {
		return res, ""
	}
	return res, string(f.Payload)
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// passwords knows two users by their tokens. The rest of a token says how long
// it lasts.
func passwords(r *http.Request) (chat.User, error) {
	token, _ := auth.BearerToken(r)
	name, lasts, _ := strings.Cut(token, "+")
	u := chat.User{ID: name}
	if d, err := time.ParseDuration(lasts); err == nil {
		u.Expires = time.Now().Add(d)
	}
	switch name {
	case "alice", "bob":
		return u, nil
	case "down":
		return u, chat.Errorf(chat.CodeUnavailable, "the user database is away")
	case "panic":
		panic("in Authenticate, with " + token)
	}
	return u, errors.New("no such token: " + token)
}

func TestUnauthenticatedHaveADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authenticate: passwords})
		start := time.Now()
		c := srv.Dial("")
		for range 3 {
			time.Sleep(3 * time.Second)
			c.Barrier() // pings do not put it off
			require.Equal(t, chat.CodeUnauthenticated, c.Call(map[string]any{"type": "join", "room": "r"}).Code)
		}
		require.Equal(t, 4002, c.CloseCode())
		require.InDelta(t, 10, time.Since(start).Seconds(), 0.5)
		alice := srv.Dial("alice")
		time.Sleep(time.Hour)
		alice.Barrier() // the deadline is not for those who are somebody
	})
}

func TestTokenOfTheUpgradeDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authenticate: passwords, QueryToken: "key"})
		none := http.Header{}
		for _, row := range []struct {
			name, query string
			header      http.Header
			status      int
			says        string
		}{
			{"good", "", bearer("alice"), 101, `"user":{"id":"alice"}`},
			{"bad", "", bearer("eve"), 401, `{"code":"unauthenticated","message":"not authenticated"}`},
			{"none", "", none, 101, ""},
			{"down", "", bearer("down"), 503, `"code":"unavailable"`},
			{"panic", "", bearer("panic"), 500, `{"code":"internal","message":"internal error"}`},
			{"expired", "", bearer("alice+-1s"), 401, `"unauthenticated"`},
			{"query", "?key=bob", none, 101, `"user":{"id":"bob"}`},
			{"bad query", "?key=eve", none, 401, `"unauthenticated"`},
			{"another parameter", "?token=bob", none, 101, ""},
			{"header before query", "?key=bob", bearer("alice"), 101, `"alice"`},
			{"bad header before query", "?key=bob", bearer("eve"), 401, `"unauthenticated"`},
		} {
			res, says := shown(t, srv, row.query, row.header)
			require.Equal(t, row.status, res.StatusCode, "%s: %s", row.name, says)
			require.Contains(t, says, row.says, row.name)
			require.Equal(t, row.says == "", says == "", "%s: %s", row.name, says)
			if row.status == 401 {
				require.Equal(t, "Bearer", res.Header.Get("WWW-Authenticate"))
			}
			if row.status > 101 {
				require.Equal(t, "application/json", res.Header.Get("Content-Type"))
			}
		}
		off := chattest.New(t, &chat.Options{Authenticate: passwords})
		res, says := shown(t, off, "?token=alice&key=alice&access_token=alice", none)
		require.Equal(t, 101, res.StatusCode)
		require.Empty(t, says, "a token in the URL counts only where the host says so")
	})
}

func TestFirstFrameDecidesOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authenticate: passwords})
		for _, row := range []struct {
			token string
			code  chat.Code
			close int
		}{
			{"eve", chat.CodeUnauthenticated, 4500},
			{"alice+-1s", chat.CodeUnauthenticated, 4500},
			{"down", chat.CodeUnavailable, 4000},
			{"panic", chat.CodeInternal, 4000},
		} {
			c := srv.Dial("")
			ev := c.Call(map[string]any{"type": "auth", "token": row.token})
			require.Equal(t, row.code, ev.Code, "%s: %s", row.token, ev.Raw)
			require.NotContains(t, string(ev.Raw), "token:")
			require.Equal(t, row.close, c.CloseCode(), row.token)

			alice := srv.Dial("alice")
			alice.Join("r")
			require.Equal(t, row.code, alice.Call(map[string]any{"type": "auth", "token": row.token}).Code)
			alice.Send("r", "a session that is somebody stays") // until its own token ends
		}
	})
}

func TestFreshTokenKeepsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authenticate: passwords})
		fresh := func(c *chattest.Client, token string) chattest.Event {
			return c.Call(map[string]any{"type": "auth", "token": token})
		}
		start := time.Now()
		alice, bob := srv.Dial("alice+60s"), srv.Dial("bob")
		alice.Join("r")
		bob.Join("r")
		sessions := srv.User("alice").Sessions()
		time.Sleep(50 * time.Second)
		ev := fresh(alice, "alice+60s")
		require.Equal(t, "welcome", ev.Type)
		require.Contains(t, string(ev.Raw), `"expires_in_ms":60000`)
		time.Sleep(50 * time.Second)
		require.Equal(t, sessions, srv.User("alice").Sessions(), "the same connection")
		alice.Send("r", "still in the room")
		fresh(alice, "alice+5s") // a shorter one counts as well
		require.Equal(t, 4003, alice.CloseCode())
		require.InDelta(t, 105, time.Since(start).Seconds(), 1)

		alice = srv.Dial("alice+60s")
		alice.Join("r")
		fresh(alice, "alice") // lasts for ever
		time.Sleep(10 * time.Minute)
		alice.Send("r", "still here")
		ev = fresh(alice, "bob")
		require.Equal(t, chat.CodeForbidden, ev.Code, "%s", ev.Raw)
		require.Equal(t, "token", ev.Field)
		bob.Drain()
		alice.Send("r", "as ever")
		require.Equal(t, "alice", bob.Expect("message").User)
	})
}

func TestSecondAuthCannotChangeTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authenticate: passwords})
		c := srv.Dial("alice") // by an auth frame: whoever comes later is later
		ev := c.Call(map[string]any{"type": "auth", "token": "bob"})
		require.Equal(t, chat.CodeForbidden, ev.Code, "%s", ev.Raw)
		require.Nil(t, srv.User("bob").Sessions())
	})
}

func TestAuthFrameShowsAMinimalRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []*http.Request
		srv := chattest.New(t, &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
			seen = append(seen, r)
			return chattest.TokenIsUser(r)
		}})
		srv.Dial("alice")
		require.Len(t, seen, 2)
		r := seen[1]
		require.NotSame(t, seen[0], r)
		require.Equal(t, http.Header{"Authorization": {"Bearer alice"}}, r.Header, "nothing of the upgrade's is kept")
		require.Equal(t, http.MethodGet, r.Method)
		require.Equal(t, "/ws", r.URL.Path)
		require.NotEmpty(t, r.Host)
	})
}

func TestSessionsOfAUserAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Limits: chat.Limits{Sessions: 2}})
		first, second, other := srv.Dial("alice"), srv.Dial("alice"), srv.Dial("bob")
		srv.Dial("alice")
		require.Equal(t, 4503, first.CloseCode(), "the oldest goes")
		synctest.Wait()
		second.Barrier()
		other.Barrier()
		require.Len(t, srv.User("alice").Sessions(), 2)
	})
}

func TestGuestKeepsItsIDByItsSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authenticate: auth.Anonymous()})
		const secret = "3e8b6f0c-61d5-4f0a-9c53-8a0f3a2b1c4d"
		one, two := srv.Dial(secret+":Ada"), srv.Dial(secret+":Ada")
		require.Equal(t, one.Join("r").Users, two.Join("r").Users, "one guest on two devices")
		require.NotEqual(t, one.Join("r").Users, srv.Dial("").Join("r").Users)
		require.Equal(t, 2, srv.Stats().Users)
	})
}

func TestTokensStayOutOfLogs(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		srv := chattest.New(t, &chat.Options{
			Authenticate: passwords, QueryToken: "key", Logger: logger, Middleware: []chat.Middleware{middleware.Log(logger)},
		})
		shown(t, srv, "?key=bob%2B61.123456789s", http.Header{})
		for _, token := range []string{"eve-s3cret", "alice+61.123456789s", "down-s3cret"} {
			shown(t, srv, "?key="+token, http.Header{})
			shown(t, srv, "", bearer(token))
			srv.Dial("").Do(map[string]any{"type": "auth", "token": token})
		}
		time.Sleep(time.Minute)
	})
	require.NotEmpty(t, log.String())
	require.NotContains(t, log.String(), "s3cret")
	require.NotContains(t, log.String(), "61.123456789s")
}
