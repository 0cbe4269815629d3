package transport

import (
	"log/slog"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// adopt moves the socket of conn out of Go's poller and into c. It fails for
// connections that do not have one of their own: only the two concrete types are
// taken, since a type that embeds one may read or close in its own way.
func (t *Transport) adopt(c *Conn, conn net.Conn) bool {
	if t.opts.Engine == EngineGoroutine {
		return false
	}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return false
	}
	if _, err := t.loopAt(c.loop); err != nil {
		t.report(slog.LevelWarn, "transport: no event loop, using a goroutine", "error", err)
		return false
	}
	fd, err := dup(conn.(syscall.Conn))
	if err != nil {
		return false // out of descriptors, most likely: one is enough for the other engine
	}
	// The duplicate keeps the socket; without the original the runtime knows nothing
	// of it any more.
	_ = conn.Close()
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
	setOptions(fd)
	c.fd = int32(fd)
	return true
}

// dup returns a duplicate of a socket's descriptor. It is as non-blocking as the
// original, whose open file it shares.
func dup(sc syscall.Conn) (fd int, err error) {
	rc, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := rc.Control(func(s uintptr) {
		fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 3)
	})
	if cerr != nil {
		return -1, cerr
	}
	return fd, err
}

// options is what every socket has set.
var options = [...]struct{ level, name, value int }{
	// The kernel is not to hide a slow reader behind megabytes.
	{unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer},
	{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, sendBuffer},
	{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
}

func setOptions(fd int) {
	for _, o := range options {
		_ = unix.SetsockoptInt(fd, o.level, o.name, o.value) // a Unix socket has no TCP
	}
}

func optionsOf(fd int) (values [len(options)]int) {
	for i, o := range options {
		values[i], _ = unix.GetsockoptInt(fd, o.level, o.name)
	}
	return values
}

// run hands an adopted connection to the host and to its loop.
func (t *Transport) run(c *Conn, pre []byte, open func(*Conn) Handler) {
	ok := t.handOut(c, open)
	c.uncork()
	if !ok {
		c.mu.Lock()
		fd := int(c.fd)
		c.fd = -1
		c.set(isClosed)
		c.mu.Unlock()
		_ = unix.Close(fd)
		t.leave()
		return
	}
	c.mu.Lock()
	c.post(opAdd, pre)
	c.mu.Unlock()
}
