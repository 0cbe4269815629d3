package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/storage/memory"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestTwoClientsTalk(t *testing.T) {
	web := start(t)
	ann, ben := dial(t, web), dial(t, web)
	for _, c := range []*client{ann, ben} {
		c.write(`{"type":"join","room":"hello"}`)
		c.next("joined")
	}
	ann.write(`{"type":"message","room":"hello","content":"Hello, Ben","nonce":"1"}`)
	require.Equal(t, "Hello, Ben", ben.next("message")["content"])
	ben.write(`{"type":"message","room":"hello","content":"Hello, Ann","nonce":"1"}`)
	require.Equal(t, "Hello, Ben", ann.next("message")["content"])
	require.Equal(t, "Hello, Ann", ann.next("message")["content"])
}

func TestThePageIsThere(t *testing.T) {
	web := start(t)
	for path, want := range map[string]string{"/": "Hello, chat", "/hello.js": "WebSocket", "/chat/healthz": ""} {
		res, err := http.Get(web.URL + path)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Contains(t, string(body), want)
	}
}

func start(t *testing.T) *httptest.Server {
	t.Helper()
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: auth.Anonymous()})
	require.NoError(t, err)
	web := httptest.NewServer(routes(srv))
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		web.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return web
}

type client struct {
	t    *testing.T
	conn net.Conn
}

// dial connects as a guest.
func dial(t *testing.T, web *httptest.Server) *client {
	t.Helper()
	d := ws.Dialer{Protocols: []string{"gabble.v1.json"}}
	conn, buffered, _, err := d.Dial(context.Background(), "ws"+strings.TrimPrefix(web.URL, "http")+"/chat/ws")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	c := &client{t, conn}
	if buffered != nil {
		c.conn = &prefixed{Conn: conn, r: io.MultiReader(buffered, conn)}
	}
	c.next("welcome")
	return c
}

// prefixed is a connection of which some has been read already.
type prefixed struct {
	net.Conn
	r io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) { return p.r.Read(b) }

func (c *client) write(frame string) {
	c.t.Helper()
	require.NoError(c.t, wsutil.WriteClientText(c.conn, []byte(frame)))
}

// next reads on to the next frame of the type.
func (c *client) next(typ string) map[string]any {
	c.t.Helper()
	for {
		data, err := wsutil.ReadServerText(c.conn)
		require.NoError(c.t, err)
		var frame map[string]any
		require.NoError(c.t, json.Unmarshal(data, &frame))
		if frame["type"] == typ {
			return frame
		}
	}
}
