package transporttest

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
)

func (s *suite) closing(t *testing.T) {
	t.Run("our close and its echo", s.ourClose)
	t.Run("our close without an echo", s.noEcho)
	t.Run("unread input does not destroy the close frame", s.closeWithUnread)
	t.Run("cut", s.peerGone)
	t.Run("abort", s.abort)
	t.Run("a panic costs one connection", s.panics)
	t.Run("from everywhere at once", s.closeRace)
}

func (s *suite) ourClose(t *testing.T) {
	p := s.open(t, transport.Options{CloseTimeout: patience}, nil)
	p.c.Close(4003, "token expired")
	p.c.Close(4000, "too late")
	f, err := p.Next()
	require.NoError(t, err)
	require.Equal(t, CloseBody(4003, "token expired"), f.Payload)
	require.NoError(t, p.SendClose(4003, ""))
	_, err = p.Next()
	require.Error(t, err, "the server closes the connection")
	p.Close()
	require.Equal(t, End{Code: 4003}, p.ended())
}

func (s *suite) noEcho(t *testing.T) {
	p := s.open(t, transport.Options{CloseTimeout: 50 * time.Millisecond}, nil)
	go func() { _, _ = p.Next() }() // a pipe needs a reader
	p.c.Close(0, "no code, so no reason")
	require.Equal(t, End{Code: 1005}, p.ended(), "CloseTimeout ends it")
}

func (s *suite) closeWithUnread(t *testing.T) {
	if !s.features.Kernel {
		t.Skip("nothing is unread in a pipe")
	}
	p := s.open(t, transport.Options{}, nil)
	p.c.Pause()
	require.NoError(t, p.Binary(make([]byte, 30_000)))
	p.c.Close(4000, "restart")
	e := p.Client.End()
	require.EqualValues(t, 4000, e.Code)
	require.Equal(t, io.EOF, e.Err, "an orderly end, no reset")
}

func (s *suite) peerGone(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	if s.features.Kernel {
		require.NoError(t, p.Text("last words"))
	}
	p.Close()
	e := p.ended()
	require.EqualValues(t, 1006, e.Code)
	require.Error(t, e.Err)
	if s.features.Kernel {
		require.Equal(t, text("last words"), p.next(), "data that comes with the end is delivered")
	}
}

func (s *suite) abort(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	p.c.Abort()
	require.Equal(t, End{1006, transport.ErrAborted}, p.ended())
	require.EqualValues(t, 1006, p.Client.End().Code)
}

func (s *suite) panics(t *testing.T) {
	h := NewRecorder()
	h.OnMessage = func(_ *transport.Conn, payload []byte, _ bool) {
		if string(payload) == "panic" {
			panic("host code")
		}
	}
	_, dial := s.server(t, transport.Options{Loops: 1}, func(*transport.Conn) transport.Handler { return h })
	var clients [2]*Client
	for i := range clients {
		conn, err := dial()
		require.NoError(t, err)
		clients[i], err = Handshake(conn, Request("/"))
		require.NoError(t, err)
		defer clients[i].Close()
	}
	require.NoError(t, clients[0].Text("panic"))
	require.EqualValues(t, 1011, clients[0].End().Code)
	clients[0].Close()
	e := Wait(t, h.End, "Closed")
	require.EqualValues(t, 1011, e.Code)
	require.ErrorContains(t, e.Err, "host code")
	require.NoError(t, clients[1].Text("fine"))
	require.Equal(t, text("fine"), Wait(t, h.Messages, "message"))
}

// closeRace ends connections from several sides while others write.
func (s *suite) closeRace(t *testing.T) {
	conns := make(chan *transport.Conn, 1)
	h := NewRecorder()
	_, dial := s.server(t, transport.Options{CloseTimeout: 50 * time.Millisecond}, func(c *transport.Conn) transport.Handler {
		conns <- c
		return h
	})
	for i := range 30 {
		conn, err := dial()
		require.NoError(t, err)
		client, err := Handshake(conn, Request("/"))
		require.NoError(t, err)
		c := Wait(t, conns, "connection")
		var all sync.WaitGroup
		for _, f := range []func(){
			func() { c.Close(4000, "") },
			func() { c.Send(numbered(1, 100_000)) },
			func() { f := numbered(1, 9); c.WriteFrames(f, [][]byte{f}) },
			func() { c.Pause(); c.Resume() },
			func() { _ = client.Text("x") },
			func() { _ = client.Write(Frame(true, ws.OpClose, nil)) },
			func() { _ = client.End(); client.Close() },
			func() {
				if i%3 == 0 {
					c.Abort()
				}
			},
			func() { _ = c.RemoteAddr(); _ = c.Buffered() },
		} {
			all.Go(f)
		}
		Wait(t, h.End, "Closed")
		client.Close()
		all.Wait()
		for len(h.Messages) > 0 {
			<-h.Messages
		}
	}
}

func (s *suite) heartbeat(t *testing.T) {
	t.Run("the silent are pinged, the dead are closed", s.dead)
	t.Run("pongs keep a connection", s.alive)
	t.Run("the stalled are closed", s.stalled)
}

func (s *suite) dead(t *testing.T) {
	t.Parallel()
	o := quick()
	o.DeadCode = 4002
	p := s.open(t, o, nil)
	f, err := p.Next()
	require.NoError(t, err)
	require.Equal(t, ws.OpPing, f.Header.OpCode)
	require.EqualValues(t, 4002, p.Client.End().Code)
	p.Close()
	require.Equal(t, End{4002, transport.ErrDead}, p.ended())
}

func (s *suite) alive(t *testing.T) {
	t.Parallel()
	o := quick()
	o.PingInterval, o.DeadAfter = 200*time.Millisecond, 2*time.Second
	p := s.open(t, o, nil)
	for start := time.Now(); time.Since(start) < o.DeadAfter+o.PingInterval; {
		f, err := p.Next()
		require.NoError(t, err)
		require.Equal(t, ws.OpPing, f.Header.OpCode)
		require.NoError(t, p.Write(Frame(true, ws.OpPong, f.Payload)))
	}
	None(t, p.h.End, "Closed")
}

// stalled: a peer that sends but does not read.
func (s *suite) stalled(t *testing.T) {
	t.Parallel()
	o := quick()
	o.StallCode = 4001
	o.PingInterval, o.DeadAfter, o.FrameTimeout = time.Minute, time.Hour, time.Hour
	p := s.open(t, o, nil)
	p.fill()
	stop := make(chan struct{})
	var wrote sync.WaitGroup
	wrote.Go(func() {
		for p.Write(Frame(true, ws.OpPong, nil)) == nil {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	require.Equal(t, End{4001, transport.ErrStalled}, p.ended())
	close(stop)
	p.Close()
	wrote.Wait()
}

func (s *suite) shutdown(t *testing.T) {
	t.Run("waits, refuses, cuts", s.shutdownCuts)
	t.Run("ends when the last one leaves", s.shutdownWaits)
	t.Run("under traffic", s.shutdownTraffic)
}

func (s *suite) shutdownCuts(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.tr.Shutdown(ctx), context.DeadlineExceeded)
	require.EqualValues(t, 1006, p.ended().Code)
	require.Zero(t, p.tr.Stats().Connections)
	require.NoError(t, p.tr.Shutdown(t.Context()), "a second time there is nothing to wait for")
}

func (s *suite) shutdownWaits(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	done := make(chan error, 1)
	go func() { done <- p.tr.Shutdown(t.Context()) }()
	require.NoError(t, p.Text("still served"))
	p.next()
	p.c.Close(4000, "restart")
	require.EqualValues(t, 4000, p.Client.End().Code)
	p.Close()
	require.NoError(t, Wait(t, done, "end of Shutdown"))
	p.ended()
}

func (s *suite) shutdownTraffic(t *testing.T) {
	var tr *transport.Transport
	echo := func(c *transport.Conn) transport.Handler {
		h := NewRecorder()
		h.OnMessage = func(c *transport.Conn, p []byte, _ bool) {
			c.Send(transport.AppendFrame(nil, ws.OpText, p))
			<-h.Messages
		}
		h.Messages = make(chan Message, 2)
		h.Messages <- Message{}
		return h
	}
	tr, dial := s.server(t, transport.Options{}, echo)
	var clients sync.WaitGroup
	busy := make(chan struct{}, 8)
	for range 8 {
		clients.Go(func() {
			conn, err := dial()
			if err != nil {
				return
			}
			c, err := Handshake(conn, Request("/"))
			if err != nil {
				return
			}
			defer c.Close()
			for i := 0; ; i++ {
				if c.Text("x") != nil {
					return
				}
				if _, err := c.Next(); err != nil {
					return
				}
				if i == 10 {
					busy <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		Wait(t, busy, "traffic")
	}
	require.NoError(t, tr.Close())
	clients.Wait()
	require.Zero(t, tr.Stats().Connections)
}
