package chat_test

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// ask sends an upgrade with header lines of its own.
func (s *venue) ask(lines ...string) *http.Response {
	s.t.Helper()
	return s.handshake(s.conn(), append([]string{"Authorization: Bearer alice"}, lines...)...)
}

func TestOtherHeadersOfProxies(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		for header, rows := range map[string]map[string]string{
			"X-Real-IP": {
				"198.51.100.7": "198.51.100.7", "[2001:db8::1]:443": "2001:db8::1", "198.51.100.7:1": "198.51.100.7",
				"": "127.0.0.1", "198.51.100.7, 198.51.100.8": "127.0.0.1", "unknown": "127.0.0.1",
			},
			"forwarded": {
				"for=198.51.100.7":                                                   "198.51.100.7",
				"For=198.51.100.7;proto=https;by=10.0.0.1":                           "198.51.100.7",
				`proto=http; for="198.51.100.7:5678" `:                               "198.51.100.7",
				`for="[2001:db8:cafe::17]:4711"`:                                     "2001:db8:cafe::17",
				`for="[2001:db8:cafe::17]"`:                                          "2001:db8:cafe::17",
				`for="[2001:db8:cafe::17]:_port"`:                                    "2001:db8:cafe::17",
				"for=203.0.113.1, for=198.51.100.7, for=10.1.2.3":                    "198.51.100.7",
				`for=203.0.113.1;by="a,b;for=9.9.9.9",for="198.51.100.7"`:            "198.51.100.7",
				`for="1\98.51.100.7"`:                                                "198.51.100.7",
				"for=198.51.100.7, for=_hidden":                                      "127.0.0.1",
				"for=198.51.100.7, for=unknown, for=10.1.2.3":                        "10.1.2.3",
				"for=198.51.100.7, proto=https":                                      "127.0.0.1",
				"for=198.51.100.7;for=198.51.100.8":                                  "127.0.0.1",
				`for=198.51.100.7, for="198.51.100.8`:                                "127.0.0.1",
				`for="198.51.100.7, 198.51.100.8"`:                                   "127.0.0.1",
				"198.51.100.7":                                                       "127.0.0.1",
				"for=198.51.100.7,":                                                  "198.51.100.7",
				"for=198.51.100.9\r\nForwarded: for=198.51.100.7, for=10.0.0.1:8080": "198.51.100.7",
			},
		} {
			var rec cmdRecorder
			s := d.open(t, chat.Options{TrustedProxies: loopback, ProxyHeader: header, Middleware: []chat.Middleware{before(rec.note)}})
			for said, want := range rows {
				rec.take()
				res := s.ask("X-Forwarded-For: 203.0.113.99", header+": "+said)
				require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
				require.Equal(t, want, rec.take()[0].RemoteIP.String(), "%s: %s", header, said)
			}
		}
	})
}

// Behind a Unix socket there is nobody but a proxy.
func TestForwardedThroughAUnixSocket(t *testing.T) {
	for _, raw := range []bool{false, true} {
		t.Run(fmt.Sprintf("raw %v", raw), func(t *testing.T) {
			var rec cmdRecorder
			srv := newServer(t, chat.Options{Middleware: []chat.Middleware{before(rec.note)}, TrustedProxies: loopback})
			path := filepath.Join(t.TempDir(), "chat.sock")
			ln, err := net.Listen("unix", path)
			require.NoError(t, err)
			var wg sync.WaitGroup
			web := &http.Server{Handler: http.StripPrefix("/chat", srv)}
			wg.Go(func() {
				if raw {
					_ = srv.Serve(ln)
				} else {
					_ = web.Serve(ln)
				}
			})
			defer wg.Wait()
			defer func() { _ = web.Close() }()
			defer func() { _ = srv.Close() }()
			for said, want := range map[string]string{
				"198.51.100.7:5678": "198.51.100.7", "[2001:db8::1]:443": "2001:db8::1",
				"203.0.113.1, 198.51.100.7, 127.0.0.1": "198.51.100.7", "nonsense": "invalid IP",
			} {
				rec.take()
				conn, err := net.Dial("unix", path)
				require.NoError(t, err)
				s := &venue{Server: srv, t: t, addr: "x.test", path: "/chat/ws"}
				res := s.handshake(conn, "Authorization: Bearer alice", "X-Forwarded-For: "+said)
				require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
				require.NoError(t, conn.Close())
				require.Equal(t, want, rec.take()[0].RemoteIP.String(), said)
			}
		})
	}
}

// Middleware that puts the client's address into RemoteAddr leaves no port there,
// and makes nobody a proxy.
func TestRemoteAddrWithoutAPort(t *testing.T) {
	var rec cmdRecorder
	srv := newServer(t, chat.Options{Middleware: []chat.Middleware{before(rec.note)}})
	for addr, want := range map[string]string{"198.51.100.7": "198.51.100.7", "2001:db8::1": "2001:db8::1", "pipe": "invalid IP"} {
		r := httptest.NewRequest(http.MethodGet, "http://chat.example.com/rooms", nil)
		r.RemoteAddr = addr
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("X-Forwarded-For", "203.0.113.1")
		srv.ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, want, rec.take()[0].RemoteIP.String(), addr)
	}
}

// TestPlainPagesOfATLSHost: who is on the way can write into a page of plain http.
func TestPlainPagesOfATLSHost(t *testing.T) {
	srv := newServer(t, chat.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}) // where httptest comes from
	for _, row := range []struct {
		origin, proto string
		tls           bool
		status        int
	}{
		{"http://chat.example.com", "", false, 200},
		{"https://chat.example.com", "", false, 200},
		{"https://chat.example.com", "http", false, 200}, // of two proxies the second sees no TLS
		{"http://chat.example.com", "", true, 403},
		{"http://chat.example.com", "https", false, 403},
		{"http://chat.example.com", "wss", false, 403},
		{"http://chat.example.com", "https, http", false, 403},
		{"https://chat.example.com", "https", false, 200},
		{"https://chat.example.com", "", true, 200},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://chat.example.com/rooms", nil)
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("Origin", row.origin)
		if row.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if row.proto != "" {
			r.Header.Set("X-Forwarded-Proto", row.proto)
		}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		require.Equal(t, row.status, w.Code, "%+v: %s", row, w.Body)
	}
}

func TestRefusedOriginSaysWhatWasCompared(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{})
		res := s.ask("Origin: https://chat.example.com")
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, res.StatusCode)
		for _, want := range []string{"https://chat.example.com", s.addr, "Options.Origins", "Host"} {
			require.Contains(t, string(body), want)
		}
	})
}

// A site behind basic authentication of its own: the first frame says who it is.
func TestBasicAuthOfTheSiteIsNotOurs(t *testing.T) {
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("site:secret"))
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{QueryToken: "token"})
		for _, header := range []string{basic, "Authorization: Negotiate abc", "authorization: digest username=x"} {
			c := s.conn()
			res := s.handshake(c, header)
			require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode, header)
		}
		res := s.handshake(s.conn(), "Authorization: Bearer ")
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, "this was meant for us")
		s.path += "?token=alice"
		require.Equal(t, http.StatusSwitchingProtocols, s.handshake(s.conn(), basic).StatusCode)
		online := func(s *venue, user string) {
			// The answer is on the wire before the session is.
			require.Eventually(t, func() bool { return s.User(user).Online() }, 30*time.Second, time.Millisecond)
		}
		online(s, "alice") // the token of the URL counts beside it

		own := d.open(t, chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
			if name, password, ok := r.BasicAuth(); ok && password == "secret" {
				return chat.User{ID: name}, nil
			}
			return chat.User{}, chat.ErrUnauthenticated
		}})
		require.Equal(t, http.StatusSwitchingProtocols, own.handshake(own.conn(), basic).StatusCode)
		online(own, "site") // a host may well authenticate by it
	})
}

// lines is a log that counts its lines by message.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// Whoever can make the server write a line can make it write a million.
func TestStrangersCannotFillTheLog(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		var log lines
		s := d.open(t, chat.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 20 {
			require.Equal(t, http.StatusForbidden, s.ask("Origin: https://evil.example").StatusCode)
			for _, request := range []string{
				"GET " + s.path + " HTTP/1.1\r\nHost: x\r\n\r\n",
				"GET " + s.path + " HTTP/1.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
				"GET " + s.path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n",
			} {
				c := s.conn()
				_, err := io.WriteString(c, request)
				require.NoError(t, err)
				_, err = c.Read(make([]byte, 1))
				require.NoError(t, err)
			}
		}
		require.LessOrEqual(t, log.count("\n"), 6, log.text.String())
	})
}
