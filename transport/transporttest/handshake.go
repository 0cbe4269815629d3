package transporttest

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
)

func (s *suite) handshake(t *testing.T) {
	t.Run("variants", s.handshakeVariants)
	t.Run("what accept sees and grants", s.handshakeGrant)
	t.Run("accept refuses", s.handshakeRefused)
	t.Run("a frame in the same segment is not lost", s.pipelined)
	t.Run("open speaks first", s.speakFirst)
	t.Run("open may refuse and panic", s.openFails)
}

// handshakeVariants: section 4.2.1, both what must and what must not be accepted.
func (s *suite) handshakeVariants(t *testing.T) {
	_, dial := s.server(t, transport.Options{}, func(*transport.Conn) transport.Handler { return NewRecorder() })
	valid := string(Request("/ws?a=b"))
	change := func(old, new string) string {
		out := strings.Replace(valid, old, new, 1)
		if out == valid {
			panic("no " + old)
		}
		return out
	}
	for name, tc := range map[string]struct {
		request string
		status  int
	}{
		"valid":                    {valid, 101},
		"token list, any case":     {change("Connection: Upgrade", "connection: keep-alive, upgrade"), 101},
		"upgrade in any case":      {change("Upgrade: websocket", "UPGRADE: WebSocket"), 101},
		"extensions are not taken": {change("Host: test", "Host: test\r\nSec-WebSocket-Extensions: permessage-deflate"), 101},
		"POST":                     {change("GET", "POST"), 405},
		"HTTP/1.2":                 {change("HTTP/1.1", "HTTP/1.2"), 101}, // RFC 9110, section 2.5: taken for the highest minor version known
		"HTTP/1.10":                {change("HTTP/1.1", "HTTP/1.10"), 400},
		"HTTP/3.0":                 {change("HTTP/1.1", "HTTP/3.0"), 505},
		"HTTP/1.0":                 {change("HTTP/1.1", "HTTP/1.0"), 505},
		"no Connection":            {change("Connection: Upgrade\r\n", ""), 426},
		"no Upgrade":               {change("Upgrade: websocket\r\n", ""), 426},
		"other Upgrade":            {change("Upgrade: websocket", "Upgrade: h2c"), 426},
		"version 8":                {change("Version: 13", "Version: 8"), 426},
		"no version":               {change("Sec-WebSocket-Version: 13\r\n", ""), 426},
		"no key":                   {change("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400},
		"short key":                {change("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), 400},
		"key that is not base64":   {change("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!=="), 400},
		"two keys":                 {change("Host: test", "Host: test\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
		"two hosts":                {change("Host: test", "Host: test\r\nHost: other"), 400},
		"no host":                  {change("Host: test\r\n", ""), 400},
		"a body":                   {change("Host: test", "Host: test\r\nContent-Length: 3") + "abc", 400},
		"a header without colon":   {change("Host: test", "Host: test\r\nnonsense"), 400},
		"a space before the colon": {change("Host: test", "Host: test\r\nX-A : b"), 400},
		"garbage":                  {"GARBAGE\r\n\r\n", 400},
		"one of two protocols":     {change("Upgrade: websocket", "Upgrade: h2c, websocket"), 101},
		"one of two lines":         {change("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: WebSocket"), 101},
		"Connection in two lines":  {change("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"), 101},
		"no such protocol":         {change("Upgrade: websocket", "Upgrade: h2c, websockets"), 426},
		"two versions":             {change("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13"), 426},
		"two versions, other":      {change("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 8"), 426},
		"empty host":               {change("Host: test", "Host:"), 400},
		"blank host":               {change("Host: test", "Host:  \t "), 400},
		"host with a slash":        {change("Host: test", "Host: test/x"), 400},
		"host with a space":        {change("Host: test", "Host: te st"), 400},
		"host with a comma":        {change("Host: test", "Host: test,"), 101},
		"host with userinfo":       {change("Host: test", "Host: me@test"), 400},
		"host with a query":        {change("Host: test", "Host: test?a"), 400},
		"host with two ports":      {change("Host: test", "Host: test:1:2"), 400},
		"host with a named port":   {change("Host: test", "Host: test:http"), 400},
		"port only":                {change("Host: test", "Host: :80"), 400},
		"host and port":            {change("Host: test", "Host: test_1.example:8080"), 101},
		"IPv6":                     {change("Host: test", "Host: [2001:db8::1]:443"), 101},
		"half an IPv6":             {change("Host: test", "Host: [2001:db8::1"), 400},
		"IPv4 in brackets":         {change("Host: test", "Host: [127.0.0.1]"), 400},
		"transfer encoding":        {change("Host: test", "Host: test\r\nTransfer-Encoding: chunked"), 400},
		"a control in a value":     {change("Host: test", "Host: test\r\nX-A: a\x01b"), 400},
		"a NUL in a value":         {change("Host: test", "Host: test\r\nX-A: a\x00b"), 400},
		"HTTP/2.0":                 {change("HTTP/1.1", "HTTP/2.0"), 505},
		"no version of HTTP":       {change(" HTTP/1.1", ""), 400},
		"two spaces":               {change("GET ", "GET  "), 400},
		"a target with a space":    {change("?a=b", "?a= b"), 400},
		"an absolute target":       {change("GET /ws?a=b", "GET http://test/ws?a=b"), 101},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := dial()
			require.NoError(t, err)
			c, err := Handshake(conn, []byte(tc.request))
			require.NoError(t, err)
			defer c.Close()
			require.Equal(t, tc.status, c.Response.StatusCode)
			switch tc.status {
			case 101:
				// The key and its answer of section 1.3.
				require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", c.Response.Header.Get("Sec-WebSocket-Accept"))
				require.Empty(t, c.Response.Header.Get("Sec-WebSocket-Extensions"))
			case 426:
				if strings.Contains(name, "version") {
					require.Equal(t, "13", c.Response.Header.Get("Sec-WebSocket-Version"))
				}
			}
		})
	}
}

func (s *suite) handshakeGrant(t *testing.T) {
	seen := make(chan *http.Request, 1)
	_, dial := s.start(t, transport.Options{}, func(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		seen <- r.Clone(r.Context())
		u := transport.Upgrade{Protocols: []string{"best", "good"}, Header: http.Header{"X-Granted": {"yes"}}}
		return u, func(*transport.Conn) transport.Handler { return NewRecorder() }, nil
	})
	conn, err := dial()
	require.NoError(t, err)
	c, err := Handshake(conn, Request("/chat/ws?x=1", "Sec-WebSocket-Protocol: other, good, best", "Authorization: Bearer t", "Cookie: a=b", "Origin: http://o"))
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, 101, c.Response.StatusCode)
	require.Equal(t, []string{"best"}, c.Response.Header.Values("Sec-WebSocket-Protocol"), "the server's first choice that was offered")
	require.Equal(t, "yes", c.Response.Header.Get("X-Granted"))
	r := Wait(t, seen, "request")
	require.Equal(t, "/chat/ws", r.URL.Path)
	require.Equal(t, "x=1", r.URL.RawQuery)
	require.Equal(t, "test", r.Host)
	require.NotEmpty(t, r.RemoteAddr)
	for key, want := range map[string]string{"Authorization": "Bearer t", "Cookie": "a=b", "Origin": "http://o", "Sec-WebSocket-Protocol": "other, good, best"} {
		require.Equal(t, want, r.Header.Get(key))
	}
}

func (s *suite) handshakeRefused(t *testing.T) {
	_, dial := s.start(t, transport.Options{}, func(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		switch r.URL.Path {
		case "/panic":
			panic("host code")
		case "/error":
			return transport.Upgrade{}, nil, errors.New("secret")
		}
		return transport.Upgrade{}, nil, &transport.HandshakeError{
			Status: 403, Reason: "no", Header: http.Header{"X-Why": {"because"}}, Body: []byte(`{"no":1}`),
		}
	})
	for path, status := range map[string]int{"/panic": 500, "/error": 500, "/": 403} {
		conn, err := dial()
		require.NoError(t, err)
		c, err := Handshake(conn, Request(path))
		require.NoError(t, err)
		require.Equal(t, status, c.Response.StatusCode, path)
		if status == 403 {
			require.Equal(t, "because", c.Response.Header.Get("X-Why"))
		}
	}
}

func (s *suite) pipelined(t *testing.T) {
	extra := cat(Frame(true, ws.OpText, []byte("first")), Frame(true, ws.OpText, []byte("second"))[:7])
	p := s.openWith(t, transport.Options{}, extra, nil)
	require.Equal(t, text("first"), p.next())
	require.NoError(t, p.Write(Frame(true, ws.OpText, []byte("second"))[7:]))
	require.Equal(t, text("second"), p.next())
}

func (s *suite) speakFirst(t *testing.T) {
	h := NewRecorder()
	_, dial := s.server(t, transport.Options{}, func(c *transport.Conn) transport.Handler {
		c.Send(transport.AppendFrame(nil, ws.OpText, []byte("welcome")))
		c.Pause()
		c.Resume()
		return h
	})
	conn, err := dial()
	require.NoError(t, err)
	c, err := Handshake(conn, append(Request("/"), Frame(true, ws.OpText, []byte("hi"))...))
	require.NoError(t, err)
	defer c.Close()
	m, err := c.NextMessage()
	require.NoError(t, err)
	require.Equal(t, "welcome", string(m))
	require.Equal(t, text("hi"), Wait(t, h.Messages, "message"))
}

func (s *suite) openFails(t *testing.T) {
	for name, open := range map[string]func(*transport.Conn) transport.Handler{
		"nil":   func(*transport.Conn) transport.Handler { return nil },
		"panic": func(*transport.Conn) transport.Handler { panic("host code") },
	} {
		tr, dial := s.server(t, transport.Options{}, open)
		conn, err := dial()
		require.NoError(t, err)
		c, err := Handshake(conn, Request("/"))
		require.NoError(t, err, name)
		require.EqualValues(t, 1006, c.End().Code, name)
		c.Close()
		require.NoError(t, tr.Close(), name)
	}
}
