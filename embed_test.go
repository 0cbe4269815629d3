package chat_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// doorway is a way into a server over real sockets.
type doorway struct {
	name, engine string
	raw          bool // Server.Serve instead of net/http
}

var doorways = []doorway{
	{"net_http_epoll", "epoll", false},
	{"net_http_goroutine", "goroutine", false},
	{"serve_epoll", "epoll", true},
	{"serve_goroutine", "goroutine", true},
}

// throughDoors runs a test once for each doorway.
func throughDoors(t *testing.T, f func(t *testing.T, d doorway)) {
	for _, d := range doorways {
		t.Run(d.name, func(t *testing.T) { f(t, d) })
	}
}

// venue is a server behind one of the doorways.
type venue struct {
	*chat.Server
	t    *testing.T
	addr string
	path string
}

func (d doorway) open(t *testing.T, o chat.Options) *venue {
	t.Helper()
	if o.Store == nil {
		o.Store = memory.New()
	}
	if o.Authenticate == nil {
		o.Authenticate = chattest.TokenIsUser
	}
	if o.Engine == "" {
		o.Engine = d.engine
	}
	srv, err := chat.New(&o)
	require.NoError(t, err)
	s := &venue{Server: srv, t: t, path: "/chat/ws"}
	if !d.raw {
		hs := httptest.NewServer(http.StripPrefix("/chat", srv))
		s.addr = hs.Listener.Addr().String()
		t.Cleanup(func() { _ = srv.Close(); hs.Close() })
		return s
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = srv.Close()
		require.ErrorIs(t, <-served, chat.ErrServerClosed)
	})
	return s
}

// in is the venue for a subtest, which ends what it opens.
func (s *venue) in(t *testing.T) *venue {
	c := *s
	c.t = t
	return &c
}

func (s *venue) conn() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *venue) dial(token string) *chattest.Client {
	s.t.Helper()
	return chattest.NewClient(s.t, s.conn(), "ws://"+s.addr+s.path, token)
}

// handshake sends an upgrade with further header lines and returns the answer.
func (s *venue) handshake(c net.Conn, lines ...string) *http.Response {
	s.t.Helper()
	require.NoError(s.t, c.SetDeadline(time.Now().Add(2*time.Minute)))
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: gabble.v1.json\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
		s.path, s.addr, strings.Join(append(lines, ""), "\r\n"))
	require.NoError(s.t, err)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = r.Body.Close() })
	return r
}

// embed starts a host program around a chat at /chat.
func embed(t *testing.T, mount func(srv *chat.Server) http.Handler) (*chat.Server, *httptest.Server) {
	t.Helper()
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: chattest.TokenIsUser})
	require.NoError(t, err)
	hs := httptest.NewUnstartedServer(mount(srv))
	t.Cleanup(func() { _ = srv.Close(); hs.Close() })
	return srv, hs
}

// chats goes through WebSocket and REST once.
func chats(t *testing.T, dial func() (net.Conn, error), c *http.Client, base string) {
	t.Helper()
	client := func(token string) *chattest.Client {
		conn, err := dial()
		require.NoError(t, err)
		return chattest.NewClient(t, conn, "ws://chat.test/chat/ws", token)
	}
	alice, bob := client("alice"), client("bob")
	alice.Join("general")
	bob.Join("general")
	alice.Send("general", strings.Repeat("hello ", 600))
	require.Equal(t, "alice", bob.Expect("message").User)

	r, err := http.NewRequest(http.MethodGet, base+"/chat/rooms/general/messages", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer carol")
	res, err := c.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s", body)
	require.Contains(t, string(body), "hello")
	c.CloseIdleConnections()
}

// ginWriter is shaped as gin's ResponseWriter: a struct around the server's,
// which passes Hijack on.
type ginWriter struct{ http.ResponseWriter }

func (w *ginWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

// unwrapWriter has no Hijack, but shows what is below.
type unwrapWriter struct{ w http.ResponseWriter }

func (w *unwrapWriter) Header() http.Header         { return w.w.Header() }
func (w *unwrapWriter) Write(b []byte) (int, error) { return w.w.Write(b) }
func (w *unwrapWriter) WriteHeader(code int)        { w.w.WriteHeader(code) }
func (w *unwrapWriter) Unwrap() http.ResponseWriter { return w.w }

// opaqueWriter hides the connection.
type opaqueWriter struct{ http.ResponseWriter }

func wrapped(srv http.Handler, wrap func(http.ResponseWriter) http.ResponseWriter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/chat", srv).ServeHTTP(wrap(w), r)
	})
}

func TestChatWorksInsideRoutersAndWrappers(t *testing.T) {
	for name, mount := range map[string]func(*chat.Server) http.Handler{
		"ServeMux": func(srv *chat.Server) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/chat/", http.StripPrefix("/chat", srv))
			return mux
		},
		"chi": func(srv *chat.Server) http.Handler {
			r := chi.NewRouter()
			r.Use(chimw.RequestID, chimw.Recoverer, chimw.Compress(5), chimw.Timeout(time.Minute))
			r.Mount("/chat", http.StripPrefix("/chat", srv))
			return r
		},
		"gin": func(srv *chat.Server) http.Handler {
			return wrapped(srv, func(w http.ResponseWriter) http.ResponseWriter { return &ginWriter{w} })
		},
		"wrapper_with_unwrap": func(srv *chat.Server) http.Handler {
			return wrapped(srv, func(w http.ResponseWriter) http.ResponseWriter { return &unwrapWriter{w} })
		},
		"MaxBytesHandler": func(srv *chat.Server) http.Handler {
			return http.MaxBytesHandler(http.StripPrefix("/chat", srv), 1<<20)
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, hs := embed(t, mount)
			hs.Start()
			chats(t, func() (net.Conn, error) { return net.Dial("tcp", hs.Listener.Addr().String()) }, hs.Client(), hs.URL)
		})
	}
}

func TestWrapperThatHidesTheConnectionIsNamed(t *testing.T) {
	for name, mount := range map[string]func(*chat.Server) http.Handler{
		"http.TimeoutHandler": func(srv *chat.Server) http.Handler {
			return http.TimeoutHandler(http.StripPrefix("/chat", srv), time.Minute, "")
		},
		"opaqueWriter": func(srv *chat.Server) http.Handler {
			return wrapped(srv, func(w http.ResponseWriter) http.ResponseWriter { return &opaqueWriter{w} })
		},
		"chat_test.opaqueWriter": func(srv *chat.Server) http.Handler { // below one that unwraps
			return wrapped(srv, func(w http.ResponseWriter) http.ResponseWriter { return &unwrapWriter{&opaqueWriter{w}} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv, hs := embed(t, mount)
			hs.Start()
			s := &venue{Server: srv, t: t, addr: hs.Listener.Addr().String(), path: "/chat/ws"}
			res := s.handshake(s.conn())
			body, _ := io.ReadAll(res.Body)
			require.Equal(t, http.StatusInternalServerError, res.StatusCode, "%s", body)
			require.Contains(t, string(body), name)
			require.Contains(t, string(body), "mount")
			require.Zero(t, srv.Stats().Connections)
		})
	}
}

func TestHTTP2IsAnsweredClearly(t *testing.T) {
	_, hs := embed(t, func(srv *chat.Server) http.Handler { return http.StripPrefix("/chat", srv) })
	hs.EnableHTTP2 = true
	hs.StartTLS()
	r, err := http.NewRequest(http.MethodGet, hs.URL+"/chat/ws", nil)
	require.NoError(t, err)
	res, err := hs.Client().Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	require.Equal(t, 2, res.ProtoMajor)
	require.Equal(t, http.StatusHTTPVersionNotSupported, res.StatusCode, "%s", body)
	require.Contains(t, string(body), "HTTP/1.1")
	// Browsers open a second connection for the WebSocket; REST stays on HTTP/2.
	chats(t, func() (net.Conn, error) {
		return tls.Dial("tcp", hs.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}, hs.Client(), hs.URL)
}

func TestChatWorksOnUnixSockets(t *testing.T) {
	for _, raw := range []bool{false, true} {
		t.Run(fmt.Sprint("raw_", raw), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "chat.sock")
			srv, hs := embed(t, func(srv *chat.Server) http.Handler { return http.StripPrefix("/chat", srv) })
			ln, err := net.Listen("unix", path)
			require.NoError(t, err)
			if raw {
				go func() { _ = srv.Serve(ln) }()
			} else {
				require.NoError(t, hs.Listener.Close())
				hs.Listener = ln
			}
			hs.Start()
			addr := hs.Listener.Addr()
			chats(t, func() (net.Conn, error) { return net.Dial("unix", path) }, &http.Client{Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
				},
			}}, "http://chat.test")
		})
	}
}
