package chat_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/wire"
)

// TestHalfOpenConnectionsCountByAddress: behind Serve, where nobody else bounds them.
func TestHalfOpenConnectionsCountByAddress(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		if !d.raw {
			t.Skip("net/http has them until their request is in")
		}
		s := d.open(t, chat.Options{Limits: chat.Limits{ConnectionsPerIP: 2}})
		half := []net.Conn{s.conn(), s.conn()}
		require.Eventually(t, func() bool {
			status, c := knockAt(t, s.addr)
			defer func() { _ = c.Close() }()
			return status == 503
		}, time.Minute, time.Millisecond, "two are under way")
		require.NoError(t, half[0].Close())
		s.requireRoom()
		// The other one still is what it was: its request makes it a connection.
		require.Equal(t, http.StatusSwitchingProtocols, s.handshake(half[1], "Authorization: Bearer alice").StatusCode)
	})
}

// TestAddressesBehindProxies: who comes through a trusted proxy is bounded by the
// address that it tells, an IPv6 one by its /64, and never under the proxy's.
func TestAddressesBehindProxies(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{TrustedProxies: loopback, Limits: chat.Limits{ConnectionsPerIP: 1}})
		for range 5 {
			s.conn() // half open, of the proxy's
		}
		from := func(ip string) int {
			return s.handshake(s.conn(), "Authorization: Bearer alice", "X-Forwarded-For: "+ip).StatusCode
		}
		for _, row := range []struct {
			ip     string
			status int
		}{
			{"198.51.100.7", 101},
			{"198.51.100.7", 503},
			{"::ffff:198.51.100.7", 503}, // the same, written differently
			{"203.0.113.1, 198.51.100.7", 503},
			{"198.51.100.8", 101},
			{"2001:db8::1", 101},
			{"2001:db8::ffff:ffff:ffff:ffff", 503},
			{"2001:db8:0:1::1", 101},
		} {
			require.Equal(t, row.status, from(row.ip), row.ip)
		}
		require.EqualValues(t, 4, s.Stats().Rejected)
	})
}

// TestPlacesAreGivenBack: whatever becomes of connections, there is room for as many
// as before.
func TestPlacesAreGivenBack(t *testing.T) {
	const room = 3
	var moody atomic.Bool // middleware refuses
	hostile := map[string]func(s *venue){
		"authenticate panics": func(s *venue) { s.refused("Authorization: Bearer panics") },
		"authenticate errs":   func(s *venue) { s.refused("Authorization: Bearer nobody") },
		"connect is refused": func(s *venue) {
			moody.Store(true)
			defer moody.Store(false)
			s.refused("Authorization: Bearer alice")
		},
		"origin is refused": func(s *venue) { s.refused("Origin: https://evil.example") },
		"no WebSocket":      func(s *venue) { s.refused("Sec-WebSocket-Version: 12") },
		"cut": func(s *venue) {
			l := s.enter()
			_ = l.Conn.(*net.TCPConn).SetLinger(0)
			_ = l.Close()
		},
		"cut before the answer": func(s *venue) {
			c := s.conn()
			_, _ = c.Write([]byte("GET /chat/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer alice\r\n\r\n"))
			_ = c.Close()
		},
		"breaks the protocol": func(s *venue) {
			l := s.enter()
			_, err := l.Write([]byte{0x81, 2, '{', '}'})
			require.NoError(s.t, err)
			s.requireEnd(l, 1002)
		},
		"command panics": func(s *venue) {
			l := s.enter()
			require.NoError(s.t, l.say(`{"type":"join","ref":"j","room":"panics"}`))
			ev := wire.Event{}
			for ev.Type != "error" {
				var err error
				ev, err = l.event()
				require.NoError(s.t, err)
			}
			_ = l.Close()
		},
		"farewell": func(s *venue) {
			l := s.enter()
			body := ws.NewCloseFrameBody(1000, "")
			require.NoError(s.t, ws.WriteFrame(l, ws.MaskFrame(ws.NewCloseFrame(body))))
			s.requireEnd(l, 1000)
		},
	}
	for limit, limits := range map[string]chat.Limits{"in all": {Connections: room}, "per address": {ConnectionsPerIP: room}} {
		t.Run(limit, func(t *testing.T) {
			throughDoors(t, func(t *testing.T, d doorway) {
				s := d.open(t, chat.Options{Limits: limits, Authenticate: panicking, Middleware: []chat.Middleware{picky(&moody)}, Logger: slog.New(slog.DiscardHandler)})
				for name, harm := range hostile {
					for range room + 1 { // one too many if none were given back
						harm(s)
					}
					s.requireExactly(room, name)
				}
			})
		})
	}
}

// panicking is an Authenticator with a weakness.
func panicking(r *http.Request) (chat.User, error) {
	switch token := r.Header.Get("Authorization"); {
	case strings.HasSuffix(token, "panics"):
		panic("authenticate")
	case strings.HasSuffix(token, "nobody"):
		return chat.User{}, chat.ErrUnauthenticated
	}
	return chat.User{ID: "alice"}, nil
}

// picky is a Middleware with one, too.
func picky(moody *atomic.Bool) chat.Middleware {
	return func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			switch {
			case cmd.Type == chat.CmdJoin && cmd.Room == "panics":
				panic("command")
			case cmd.Type == chat.CmdConnect && moody.Load():
				return chat.ErrForbidden
			}
			return next(ctx, cmd)
		}
	}
}

// enter connects, as soon as there is room.
func (s *venue) enter() (l *line) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		h := &host{s.Server, s.t, s.addr}
		c := s.conn()
		var err error
		if l, err = h.upgrade(c, "alice"); err != nil {
			require.ErrorContains(s.t, err, "503")
			_ = c.Close()
		}
		return err == nil
	}, time.Minute, time.Millisecond)
	return l
}

// requireEnd reads up to the server's close frame.
func (s *venue) requireEnd(l *line, code int) {
	s.t.Helper()
	defer func() { _ = l.Close() }()
	for {
		if _, err := l.event(); err != nil {
			require.Equal(s.t, closedBy(code), err)
			return
		}
	}
}

// refused asks for an upgrade that is not granted. Those refused before may still be
// on their way out.
func (s *venue) refused(lines ...string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		c := s.conn()
		defer func() { _ = c.Close() }()
		res := s.handshake(c, lines...)
		require.NotEqual(s.t, http.StatusSwitchingProtocols, res.StatusCode)
		return res.StatusCode != http.StatusServiceUnavailable
	}, time.Minute, time.Millisecond)
}

// requireExactly fills the server up, and empties it.
func (s *venue) requireExactly(room int, after string) {
	s.t.Helper()
	var in []net.Conn
	for range room {
		require.Eventually(s.t, func() bool {
			status, c := knockAt(s.t, s.addr)
			in = append(in, c)
			return status == http.StatusSwitchingProtocols
		}, time.Minute, 5*time.Millisecond, after)
	}
	s.requireFull()
	for _, c := range in {
		_ = c.Close()
	}
}

// TestShutdownOfAFullServer: who is in is let go, who comes learns that it is over,
// and nothing is counted afterwards.
func TestShutdownOfAFullServer(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{Limits: chat.Limits{Connections: 2, ConnectionsPerIP: 2}})
		in := []*chattest.Client{s.dial("alice"), s.dial("bob")}
		s.requireFull()
		require.NoError(t, s.Shutdown(t.Context()))
		for _, c := range in {
			require.Equal(t, 4000, c.CloseCode())
		}
		require.Zero(t, s.Stats().Connections)
		require.Zero(t, s.Stats().Users)
		if !d.raw {
			require.Equal(t, http.StatusServiceUnavailable, s.handshake(s.conn()).StatusCode)
		}
	})
}
