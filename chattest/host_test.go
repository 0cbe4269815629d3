package chattest_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// host is a program with sessions in a cookie, which mounts the chat at a place of its own.
func host(t *testing.T) (*chat.Server, http.Handler) {
	t.Helper()
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: func(r *http.Request) (chat.User, error) {
		c, err := r.Cookie("session")
		if err != nil || c.Value == "" {
			return chat.User{}, chat.ErrUnauthenticated
		}
		return chat.User{ID: c.Value}, nil
	}})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/api/chat/", http.StripPrefix("/api/chat", srv))
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: r.FormValue("name"), Path: "/"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the host's page") })
	return srv, mux
}

func TestAHostWithCookieSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chatServer, routes := host(t)
		srv := chattest.Serve(t, chatServer, routes)
		web := srv.HTTP("")
		web.Jar, _ = cookiejar.New(nil)

		res, err := web.Get("http://chat.test/")
		require.NoError(t, err)
		page, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, "the host's page", string(page))

		nobody := srv.DialWith(chattest.DialOptions{Path: "/api/chat/ws"})
		time.Sleep(time.Minute)
		require.Equal(t, 4002, nobody.CloseCode())

		res, err = web.Post("http://chat.test/login?name=alice", "", nil)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		alice := srv.DialWith(chattest.DialOptions{Path: "/api/chat/ws", Jar: web.Jar})
		require.Contains(t, string(alice.Expect("welcome").Raw), `"alice"`)
		alice.Join("r")

		bob := srv.DialWith(chattest.DialOptions{Path: "/api/chat/ws", Header: http.Header{"Cookie": {"session=bob"}, "Origin": {"http://chat.test"}}})
		bob.Expect("welcome")
		bob.Join("r")
		bob.Send("r", "hello")
		require.Equal(t, "hello", alice.Expect("message").Message.Content)

		res = srv.Refused(chattest.DialOptions{Path: "/api/chat/ws", Jar: web.Jar, Header: http.Header{"Origin": {"http://evil.example"}}})
		require.Equal(t, http.StatusForbidden, res.StatusCode)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), "evil.example")
	})
}
