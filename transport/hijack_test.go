package transport_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

// unwrapping is a middleware's writer as it should be, opaque one as it often is.
type unwrapping struct{ http.ResponseWriter }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }

type opaque struct{ http.ResponseWriter }

// TestMiddleware: which ways to mount the handler work, and what is said about
// those that cannot.
func TestMiddleware(t *testing.T) {
	tr, err := transport.New(transport.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	errs := make(chan error, 1)
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		errs <- tr.Upgrade(w, r, transport.Upgrade{}, func(*transport.Conn) transport.Handler { return transporttest.NewRecorder() })
	}))
	wrap := func(f func(http.ResponseWriter) http.ResponseWriter) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(f(w), r) })
	}
	mux := http.NewServeMux()
	mux.Handle("/plain/ws", h)
	mux.Handle("/strip/", http.StripPrefix("/strip", h))
	mux.Handle("/unwrap", wrap(func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{unwrapping{w}} }))
	mux.Handle("/opaque", wrap(func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{opaque{w}} }))
	mux.Handle("/timeout", http.TimeoutHandler(h, time.Minute, ""))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)

	for path, culprit := range map[string]string{
		"/plain/ws": "", "/strip/ws": "", "/unwrap": "",
		"/opaque":  "transport_test.opaque",
		"/timeout": "*http.timeoutWriter (from http.TimeoutHandler)",
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		require.NoError(t, err)
		c, err := transporttest.Handshake(conn, transporttest.Request(path))
		require.NoError(t, err)
		c.Close()
		err = transporttest.Wait(t, errs, "end of Upgrade")
		if culprit == "" {
			require.NoError(t, err, path)
			require.Equal(t, 101, c.Response.StatusCode, path)
			continue
		}
		require.Equal(t, 500, c.Response.StatusCode, path)
		var refused *transport.HandshakeError
		require.ErrorAs(t, err, &refused)
		require.Contains(t, refused.Reason, culprit)
	}
}

// TestUpgradeHTTP2: there is nothing to hijack, and the answer says so.
func TestUpgradeHTTP2(t *testing.T) {
	tr, err := transport.New(transport.Options{})
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Error(t, tr.Upgrade(w, r, transport.Upgrade{}, nil))
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	resp, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, http.StatusHTTPVersionNotSupported, resp.StatusCode)
}

// TestUpgradeRefusedAfterShutdown: 503, over HTTP, and ErrClosed to the caller.
func TestUpgradeRefusedAfterShutdown(t *testing.T) {
	tr, err := transport.New(transport.Options{})
	require.NoError(t, err)
	require.NoError(t, tr.Close())
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		r.Header.Set(k, v)
	}
	require.ErrorIs(t, tr.Upgrade(w, r, transport.Upgrade{}, nil), transport.ErrClosed)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	ln, _ := listenTCP(t)
	require.ErrorIs(t, tr.Serve(ln, nil), transport.ErrClosed)
}
