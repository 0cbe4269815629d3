package transport

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/gabblehq/chat/internal/work"
)

// Nothing that comes from outside, and no function of the host, is to end the
// process. Above each of them one of these is deferred: it gives back what was held
// and says so in the log. A bug of ours in a parser ends there, too.

// rescue is deferred around what happens on a connection, and around every call of
// its Handler. A panic ends that connection, and nothing else.
func (c *Conn) rescue() {
	if v := recover(); v != nil {
		c.panicked(v)
	}
}

// panicked implements source.
func (c *Conn) panicked(v any) {
	c.t.panicked("transport: panic in a connection's handler", v)
	c.fail(codeInternal, "internal error", fmt.Errorf("transport: panic: %v", v))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(isDeaf) // also if it was closing already: what panicked is not to go on
}

// tellClosed makes the last call.
func (c *Conn) tellClosed(e ending) {
	defer c.rescue()
	c.h.Closed(c, e.code, e.err)
}

// panicked counts a panic and logs it.
func (t *Transport) panicked(msg string, v any) {
	t.panics.Add(1)
	t.report(slog.LevelError, msg, "panic", v)
}

// rescue is deferred around a function that nothing depends on.
func (t *Transport) rescue(what string) {
	if v := recover(); v != nil {
		t.panicked("transport: panic in "+what, v)
	}
}

// guarded is a function of the host that may panic.
func (t *Transport) guarded(what string, f func()) func() {
	if f == nil {
		return func() {}
	}
	return func() {
		defer t.rescue(what)
		f()
	}
}

// reportEvery is how often at most something is logged which a peer can make happen.
const reportEvery = 10 * time.Second

// reported is what was left out of the log since a message was in it last.
type reported struct {
	next time.Time
	more int
}

// report logs what has no caller to be returned to. Whoever can make it happen must
// not be able to fill the log with it: of each message, of which there are few, one
// line a period is written, with the number of those that were left out. One about a
// panic has the stack with it.
func (t *Transport) report(level slog.Level, msg string, args ...any) {
	// It may be the host's Handler of logs that panics.
	defer func() { _ = recover() }()
	more, due := t.dueReport(msg)
	if !due {
		return
	}
	if more > 0 {
		args = append(args, "more", more)
	}
	if len(args) > 0 && args[0] == "panic" {
		args = append(args, "stack", string(debug.Stack()))
	}
	t.log.Log(t.ctx, level, msg, args...)
}

func (t *Transport) dueReport(msg string) (more int, due bool) {
	t.reports.Lock()
	defer t.reports.Unlock()
	now, r := time.Now(), t.reports.of[msg]
	if r == nil {
		r = new(reported)
		t.reports.of[msg] = r
	}
	if now.Before(r.next) {
		r.more++
		return 0, false
	}
	more = r.more
	r.next, r.more = now.Add(reportEvery), 0
	return more, true
}

// hostConn is a connection that may be of a type of the host's. A call of it that
// panics fails instead, and so does one whose error would when it is looked at.
type hostConn struct {
	net.Conn
	t *Transport
}

func (c hostConn) rescue(err *error) {
	if v := recover(); v != nil {
		c.t.panicked("transport: panic in a net.Conn", v)
		if err != nil {
			*err = fmt.Errorf("transport: panic: %v", v)
		}
		return
	}
	if err != nil {
		*err = work.Sound(*err)
	}
}

func (c hostConn) Read(p []byte) (n int, err error) {
	defer c.rescue(&err)
	n, err = c.Conn.Read(p)
	return min(max(n, 0), len(p)), err
}

func (c hostConn) Write(p []byte) (n int, err error) {
	defer c.rescue(&err)
	n, err = c.Conn.Write(p)
	return min(max(n, 0), len(p)), err
}

func (c hostConn) Close() (err error) {
	defer c.rescue(&err)
	return c.Conn.Close()
}

func (c hostConn) SetDeadline(t time.Time) (err error) {
	defer c.rescue(&err)
	return c.Conn.SetDeadline(t)
}

func (c hostConn) SetReadDeadline(t time.Time) (err error) {
	defer c.rescue(&err)
	return c.Conn.SetReadDeadline(t)
}

func (c hostConn) RemoteAddr() (a net.Addr) {
	defer c.rescue(nil)
	return c.Conn.RemoteAddr()
}

func (c hostConn) addrPort() (a netip.AddrPort) {
	defer c.rescue(nil)
	return addrPort(c.Conn.RemoteAddr())
}

// raw is what carries it: without TLS, the connection itself.
func (c hostConn) raw() hostConn {
	if tc, ok := c.Conn.(*tls.Conn); ok {
		c.Conn = tc.NetConn()
	}
	return c
}

// quick tells that what carries it is a socket of the net package. Deadlines of one are
// set, and one is closed, without waiting for anything; a type of the host's may wait in
// any of its calls.
func (c hostConn) quick() bool {
	switch c.raw().Conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// drop closes it for somebody who cannot wait for that.
func (c hostConn) drop() {
	if c.quick() {
		_ = c.raw().Close()
		return
	}
	go func() { _ = c.Close() }()
}

// closeWrite ends our direction of it, if it has two.
func (c hostConn) closeWrite() (ok bool) {
	defer c.rescue(nil)
	hc, ok := c.Conn.(interface{ CloseWrite() error })
	return ok && hc.CloseWrite() == nil
}
