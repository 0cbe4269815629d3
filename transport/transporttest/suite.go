// Package transporttest is the specification of package transport, as tests. It
// runs on every engine, door and kind of network, and holds a client that says
// exactly the bytes that a test wants to be said.
package transporttest

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
)

// Start serves accept on a new transport and returns how to connect to it. What it
// starts ends with the test.
type Start func(t testing.TB, o transport.Options, accept transport.AcceptFunc) (*transport.Transport, func() (net.Conn, error))

// Features say what the network under a transport can do.
type Features struct {
	// Kernel: output goes through socket buffers, so that a peer that does not read
	// can be told from a slow call.
	Kernel bool
	// HalfClose: one direction can be closed.
	HalfClose bool
}

// Run runs the whole suite.
func Run(t *testing.T, start Start, f Features) {
	s := &suite{start: start, features: f}
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Handshake", s.handshake},
		{"RFC6455", s.rfc},
		{"Limits", s.limits},
		{"Deflate", s.deflate},
		{"Output", s.output},
		{"Pause", s.pause},
		{"Close", s.closing},
		{"Heartbeat", s.heartbeat},
		{"Shutdown", s.shutdown},
	} {
		t.Run(part.name, part.run)
	}
}

type suite struct {
	start    Start
	features Features
}

// pair is one connection seen from both ends.
type pair struct {
	*Client
	t  *testing.T
	tr *transport.Transport
	c  *transport.Conn
	h  *Recorder
}

// server starts a transport whose connections go to handlers made by the function.
func (s *suite) server(t *testing.T, o transport.Options, handler func(*transport.Conn) transport.Handler) (*transport.Transport, func() (net.Conn, error)) {
	return s.start(t, o, func(*http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		return transport.Upgrade{}, handler, nil
	})
}

// open connects a client. prepare may change the recorder before the first event.
func (s *suite) open(t *testing.T, o transport.Options, prepare func(*Recorder)) *pair {
	t.Helper()
	return s.openWith(t, o, nil, prepare)
}

// openWith sends bytes in one piece with the handshake.
func (s *suite) openWith(t *testing.T, o transport.Options, extra []byte, prepare func(*Recorder)) *pair {
	t.Helper()
	h := NewRecorder()
	if prepare != nil {
		prepare(h)
	}
	conns := make(chan *transport.Conn, 1)
	tr, dial := s.server(t, o, func(c *transport.Conn) transport.Handler {
		conns <- c
		return h
	})
	conn, err := dial()
	require.NoError(t, err)
	client, err := Handshake(conn, append(Request("/ws"), extra...))
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, client.Response.StatusCode)
	t.Cleanup(func() {
		client.Close()
		h.Check(t)
	})
	return &pair{Client: client, t: t, tr: tr, c: Wait(t, conns, "connection"), h: h}
}

// next is the next message that the server got.
func (p *pair) next() Message {
	p.t.Helper()
	return Wait(p.t, p.h.Messages, "message")
}

// ended is what the server's Handler was told last.
func (p *pair) ended() End {
	p.t.Helper()
	return Wait(p.t, p.h.End, "Closed")
}

// quick are short times, for tests that wait for one to pass.
func quick() transport.Options {
	return transport.Options{
		PingInterval: 100 * time.Millisecond,
		DeadAfter:    500 * time.Millisecond,
		StallAfter:   150 * time.Millisecond,
		FrameTimeout: 100 * time.Millisecond,
		CloseTimeout: 100 * time.Millisecond,
	}
}
