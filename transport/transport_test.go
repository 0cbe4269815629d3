package transport_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// network is a way to connect.
type network struct {
	listen func(t testing.TB) (net.Listener, func() (net.Conn, error))
	transporttest.Features
}

func networks() map[string]network {
	kernel := transporttest.Features{Kernel: true, HalfClose: true}
	return map[string]network{
		"tcp":  {listenTCP, kernel},
		"unix": {listenUnix, kernel},
		"tls":  {listenTLS, kernel},
		"pipe": {listenPipe, transporttest.Features{}},
	}
}

func TestSuite(t *testing.T) {
	for _, tc := range []struct{ engine, network string }{
		{transport.EngineAuto, "tcp"},
		{transport.EngineAuto, "unix"},
		{transport.EngineAuto, "tls"},
		{transport.EngineGoroutine, "tcp"},
		{transport.EngineGoroutine, "pipe"},
	} {
		n := networks()[tc.network]
		for door, start := range map[string]func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc){
			"handler": serveHTTP, "listener": serveRaw,
		} {
			name := tc.network + "/" + door
			if tc.engine == transport.EngineGoroutine {
				name = "goroutine/" + name
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				transporttest.Run(t, func(t testing.TB, o transport.Options, accept transport.AcceptFunc) (*transport.Transport, func() (net.Conn, error)) {
					o.Engine = tc.engine
					return open(t, o, n.listen, start, accept)
				}, n.Features)
			})
		}
	}
}

// open starts a transport behind one door. It ends with the test.
func open(t testing.TB, o transport.Options, listen func(testing.TB) (net.Listener, func() (net.Conn, error)),
	door func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc), accept transport.AcceptFunc,
) (*transport.Transport, func() (net.Conn, error)) {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	tr, err := transport.New(o)
	require.NoError(t, err)
	ln, dial := listen(t)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	door(t, tr, ln, accept)
	return tr, dial
}

// serveHTTP mounts a transport in net/http.
func serveHTTP(t testing.TB, tr *transport.Transport, ln net.Listener, accept transport.AcceptFunc) {
	srv := &httptest.Server{Listener: ln, Config: &http.Server{
		ReadHeaderTimeout: 3 * time.Second,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, open, err := ask(accept, r)
			var refused *transport.HandshakeError
			switch {
			case errors.As(err, &refused):
				for k, v := range refused.Header {
					w.Header()[k] = v
				}
				w.WriteHeader(refused.Status)
			case err != nil:
				w.WriteHeader(http.StatusInternalServerError)
			default:
				_ = tr.Upgrade(w, r, u, open)
			}
		}),
	}}
	srv.Start()
	t.Cleanup(srv.Close)
}

func ask(accept transport.AcceptFunc, r *http.Request) (u transport.Upgrade, open func(*transport.Conn) transport.Handler, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("panic")
		}
	}()
	return accept(r)
}

// serveRaw serves a listener without net/http.
func serveRaw(t testing.TB, tr *transport.Transport, ln net.Listener, accept transport.AcceptFunc) {
	done := make(chan error, 1)
	go func() { done <- tr.Serve(ln, accept) }()
	t.Cleanup(func() {
		tr.CloseListeners()
		require.ErrorIs(t, transporttest.Wait(t, done, "end of Serve"), transport.ErrClosed)
	})
}

func listenTCP(t testing.TB) (net.Listener, func() (net.Conn, error)) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return ln, func() (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }
}

func listenUnix(t testing.TB) (net.Listener, func() (net.Conn, error)) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	return ln, func() (net.Conn, error) { return net.Dial("unix", path) }
}

func listenTLS(t testing.TB) (net.Listener, func() (net.Conn, error)) {
	// httptest has a certificate to borrow.
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	cert := srv.TLS.Certificates[0]
	srv.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	dial := func() (net.Conn, error) { return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) }
	return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}}), dial
}

// pipes is a listener of net.Pipe connections.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func listenPipe(testing.TB) (net.Listener, func() (net.Conn, error)) {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	return p, func() (net.Conn, error) {
		client, server := net.Pipe()
		select {
		case p.conns <- server:
			return client, nil
		case <-p.closed:
			return nil, net.ErrClosed
		}
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func grant(open func(*transport.Conn) transport.Handler) transport.AcceptFunc {
	return func(*http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		return transport.Upgrade{}, open, nil
	}
}

func connect(t testing.TB, dial func() (net.Conn, error)) *transporttest.Client {
	t.Helper()
	conn, err := dial()
	require.NoError(t, err)
	c, err := transporttest.Handshake(conn, transporttest.Request("/"))
	require.NoError(t, err)
	require.Equal(t, 101, c.Response.StatusCode)
	return c
}
