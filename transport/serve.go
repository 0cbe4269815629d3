package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gabblehq/chat/internal/work"
)

// Serve accepts connections from ln and upgrades them without net/http, for a port
// that serves nothing else. It owns ln and returns ErrClosed after CloseListeners,
// Shutdown, Close, or when ln is closed.
//
// accept sees a request without a body whose Header holds what the client sent
// except the handshake's own fields, but with Sec-WebSocket-Protocol. Its context
// ends when Shutdown cuts what is left.
func (t *Transport) Serve(ln net.Listener, accept AcceptFunc) error {
	if handled, err := t.serveLoop(ln, accept); handled {
		return err
	}
	l := &acceptor{ln: ln, stopped: make(chan struct{})}
	defer l.stop()
	if !t.keep(l) {
		return ErrClosed
	}
	defer t.forget(l)
	return t.acceptLoop(l, accept)
}

// acceptor is a listener served by an accept loop.
type acceptor struct {
	ln      net.Listener
	once    sync.Once
	stopped chan struct{}
}

func (l *acceptor) stop() {
	l.once.Do(func() {
		close(l.stopped)
		_ = l.ln.Close()
	})
}

// wait passes d, or less if the listener is stopped.
func (l *acceptor) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.stopped:
	}
}

func (t *Transport) acceptLoop(l *acceptor, accept AcceptFunc) error {
	const longest = time.Second
	var pause time.Duration
	for {
		var conn net.Conn
		err := work.Guard(func() (err error) {
			conn, err = l.ln.Accept()
			return err
		})
		switch {
		case err == nil:
			pause = 0
		case errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
			return ErrClosed
		case isTemporary(err):
			// Out of descriptors or the like: without a pause this would spin.
			pause = min(max(2*pause, 5*time.Millisecond), longest)
			t.report(slog.LevelWarn, "transport: accept", "error", err, "retry_in_ms", pause.Milliseconds())
			l.wait(pause)
			continue
		default:
			return err
		}
		hc := hostConn{conn, t}
		switch t.enter() {
		case entryNot:
			hc.drop()
			return ErrClosed
		case entryFull:
			t.turnAway(hc)
			continue
		}
		var left func()
		if hc.quick() {
			var ok bool
			if left, ok = t.arrive(addrOf(hc)); !ok {
				t.leave()
				t.turnAway(hc)
				continue
			}
		} // else asking for its address may wait for the peer, as behind a PROXY protocol
		t.wg.Add(1)
		go t.greetConn(hc, accept, left)
	}
}

// isTemporary tells whether a later Accept may succeed. The method is deprecated
// because it says little about most errors; about those of Accept it says this.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// greetConn reads the request of an accepted connection and answers it. Without left
// the peer has not been counted yet.
func (t *Transport) greetConn(conn hostConn, accept AcceptFunc, left func()) {
	defer t.wg.Done()
	stop := t.nets.guard(conn)
	settled := false // another has taken the connection over, or it is closed
	defer func() {
		if v := recover(); v != nil {
			t.panicked("transport: panic in a handshake", v)
		}
		if !settled { // a goroutine may also exit
			if left != nil {
				left()
			}
			conn.drop()
			stop()
			t.leave()
		}
	}()
	if left == nil {
		_ = conn.SetDeadline(time.Now().Add(t.opts.HandshakeTimeout))
		var ok bool
		if left, ok = t.arrive(addrOf(conn)); !ok {
			settled = true
			stop()
			t.leave()
			t.turnAway(conn)
			return
		}
	}
	raw, bad := t.readRequest(conn)
	once := left
	left = nil
	once()
	var answer, pre []byte
	var open func(*Conn) Handler
	var dropped func()
	switch {
	case bad != nil:
		answer = refusal(bad)
	case raw != nil:
		n := endOfHeader(raw)
		g := greeting{raw: raw[:n], remote: "@"}
		if a := conn.RemoteAddr(); a != nil {
			g.remote = a.String()
		}
		pre = raw[n:]
		if tc, ok := conn.Conn.(*tls.Conn); ok {
			state := tc.ConnectionState()
			g.tls = &state
		}
		answer, open, dropped = t.greet(g, accept)
	}
	_ = conn.SetDeadline(time.Now().Add(t.opts.HandshakeTimeout))
	_, err := conn.Write(answer)
	if err != nil || open == nil {
		if open != nil {
			dropped()
		}
		linger(conn, t.opts.CloseTimeout, err == nil && answer != nil)
		settled = true
		stop()
		t.leave()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	stop()
	settled = true
	t.serve(conn.Conn, pre, open)
}

// readRequest reads up to the blank line, and what came with it. Nothing at all
// means that nobody is left to be answered.
func (t *Transport) readRequest(conn hostConn) ([]byte, *HandshakeError) {
	_ = conn.SetDeadline(time.Now().Add(t.opts.HandshakeTimeout))
	buf := make([]byte, 0, 1<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := conn.Read(buf[len(buf):min(cap(buf), t.opts.HandshakeBytes)])
		buf = buf[:len(buf)+n]
		whole, bad := t.checkRequestBytes(buf)
		if whole || bad != nil {
			return buf, bad
		}
		var timeout net.Error
		switch {
		case err == nil:
		case errors.As(err, &timeout) && timeout.Timeout():
			return nil, refuse(http.StatusRequestTimeout, "the request did not come in whole in time")
		default:
			return nil, nil
		}
	}
}

// checkRequestBytes looks at what has come of a request.
func (t *Transport) checkRequestBytes(b []byte) (whole bool, bad *HandshakeError) {
	switch {
	case len(b) > 0 && (b[0] < 'A' || b[0] > 'Z'):
		return false, refuse(http.StatusBadRequest, "this is not HTTP")
	case endOfHeader(b) >= 0:
		return true, nil
	case len(b) >= t.opts.HandshakeBytes:
		return false, refuse(http.StatusRequestHeaderFieldsTooLarge, "the request's header is too large")
	}
	return false, nil
}

// linger closes a connection so that the peer can read the answer: closing one with
// unread input would reset it.
func linger(conn hostConn, timeout time.Duration, answered bool) {
	defer func() { _ = conn.Close() }()
	if !answered {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(timeout))
	if conn.closeWrite() {
		_, _ = io.Copy(io.Discard, conn)
	}
}
