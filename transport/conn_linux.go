package transport

import (
	"io"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/poll"
)

// rounds is how many writes a connection gets per event before others have a turn.
const rounds = 8

// post asks the connection's loop. It needs mu, under which the connection is not
// closed, so the loop is there.
func (c *Conn) post(o op, p []byte) {
	if !c.is(isAdded) && o != opAdd {
		return // addConn will see
	}
	c.t.loops[c.loop].post(task{op: o, c: c, p: p})
}

// wants is what the loop should watch for. It needs mu.
func (c *Conn) wants() (flags uint32) {
	hungUp := c.end != nil && c.end.hungUp
	if !c.is(isPaused|isInflating|isResuming) && !hungUp {
		flags |= watchesIn
	}
	if c.out != nil {
		flags |= watchesOut
	}
	return flags
}

func eventsOf(flags uint32) (ev poll.Events) {
	if flags&watchesIn != 0 {
		ev |= poll.Readable
	}
	if flags&watchesOut != 0 {
		ev |= poll.Writable
	}
	return ev
}

// watch tells the loop's epoll instance what changed. It needs mu.
func (c *Conn) watch() {
	if c.net != nil || !c.is(isAdded) || c.is(isParked|isClosed) {
		return
	}
	want := c.wants()
	if c.state.Load()&(watchesIn|watchesOut) == want {
		return
	}
	c.clear(watchesIn | watchesOut)
	c.set(want)
	_ = c.t.loops[c.loop].poll.Mod(int(c.fd), c.slot, eventsOf(want))
}

// write is one write call. It returns an error only when writing is over; a full
// socket buffer takes 0 bytes. It needs mu and a connection that is not closed.
func (c *Conn) write(p []byte) (int, error) {
	for {
		n, err := unix.Write(int(c.fd), p)
		switch err {
		case nil:
			c.t.countWrite(c, n)
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

// closeWrite ends our direction, behind what the kernel still has. It needs mu.
func (c *Conn) closeWrite() {
	if c.end.sent {
		return
	}
	c.end.sent = true
	if c.net == nil && c.fd >= 0 {
		_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
	}
}

// ready implements source.
func (c *Conn) ready(ev poll.Events) {
	l := c.t.loops[c.loop]
	if ev&poll.Writable != 0 {
		c.flush(l)
	}
	if ev&(poll.Readable|poll.Failed|poll.Hangup) == 0 || c.is(isClosed) {
		return
	}
	if c.is(isPaused | isInflating | isResuming) {
		if ev&(poll.Failed|poll.Hangup) != 0 {
			c.park(l)
		}
		return
	}
	c.readable(l)
}

// sweep implements source.
func (c *Conn) sweep(now uint32) (urgent bool) {
	l := c.t.loops[c.loop]
	var since uint32
	partial := c.in.unfinished()
	if partial {
		since = c.in.since
	}
	if c.beat(now, since, partial) == overdue {
		l.finish(c, io.ErrUnexpectedEOF)
	}
	return !c.is(isClosed) && c.is(isClosing|isBroken)
}

// inputWaits tells whether the kernel holds input that the loop has not come to read
// yet. It asks only if there is a doubt.
func (c *Conn) inputWaits(doubt bool) bool {
	if !doubt || c.net != nil {
		return false
	}
	n, err := unix.IoctlGetInt(int(c.fd), unix.TIOCINQ)
	return err == nil && n > 0
}

// cut implements source.
func (c *Conn) cut() {
	c.Signal(appendClose(nil, codeGoingAway, ""))
	c.t.loops[c.loop].finish(c, ErrAborted)
}

// readable reads once, so that no connection keeps the others waiting: what is left
// in the socket raises another event.
func (c *Conn) readable(l *loop) {
	n, err := unix.Read(int(c.fd), l.buf)
	switch {
	case n > 0:
		c.hear(l.now)
		l.t.counters[l.id].bytesIn.Add(int64(n))
		c.receive(l, l.buf[:n], nil)
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil:
		l.finish(c, err)
	default:
		c.hangUp(l)
	}
}

// hangUp handles the end of the peer's direction. A close frame of ours that still
// waits gets its time.
func (c *Conn) hangUp(l *loop) {
	c.mu.Lock()
	waits := c.out != nil && c.is(isClosing)
	if waits {
		c.end.hungUp = true
		c.watch()
	}
	c.mu.Unlock()
	if !waits {
		l.finish(c, io.EOF)
	}
}

// receive parses what came in, from the loop's buffer or from elsewhere. kept is the
// memory that p is the end of, if that is the connection's own.
func (c *Conn) receive(l *loop, p, kept []byte) {
	defer c.account(l)
	if rest := c.feed(p); len(rest) > 0 {
		c.partial().keep(rest, kept)
	}
}

// account counts what the connection holds, and sheds load if that is too much.
func (c *Conn) account(l *loop) {
	c.settle()
	if !c.overPartial() {
		return
	}
	most, held := (*Conn)(nil), int64(0)
	for _, s := range l.slots {
		if o, ok := s.(*Conn); ok && o.in != nil && o.in.held > held {
			most, held = o, o.in.held
		}
	}
	if most != nil {
		most.shed()
		most.dropInput()
	}
}

// resumed hands on what has been inflated and parses what was left when reading was
// paused, then watches for more.
func (c *Conn) resumed(l *loop) {
	c.mu.Lock()
	c.clear(isResuming)
	stop := c.is(isPaused | isInflating | isClosed)
	c.mu.Unlock()
	if stop {
		return
	}
	if c.in != nil && (c.in.rest != nil || c.in.job != nil) {
		rest, kept := c.in.rest, c.in.kept
		c.in.rest, c.in.kept = nil, nil
		if c.in.idle() {
			c.dropInput()
		}
		c.receive(l, rest, kept)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is(isClosed) {
		return
	}
	if c.is(isParked) && !c.is(isPaused|isInflating|isResuming) {
		c.clear(isParked)
		want := c.wants()
		c.set(want)
		_ = l.poll.Add(int(c.fd), c.slot, eventsOf(want))
		return
	}
	c.watch()
}

// park stops watching a connection that hung up while it is paused: the kernel
// would go on reporting that, and there may be input to be read when it resumes.
func (c *Conn) park(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.is(isParked | isClosed) {
		_ = l.poll.Del(int(c.fd))
		c.clear(watchesIn | watchesOut)
		c.set(isParked)
	}
}

// flush writes what waits, as far as the kernel takes it.
func (c *Conn) flush(l *loop) {
	c.mu.Lock()
	tell, over := false, false
	for i := 0; c.out != nil && i < rounds; i++ {
		p := c.out.next(l.buf)
		if len(p) == 0 {
			tell = c.drained()
			over = c.end != nil && c.end.hungUp
			c.watch()
			break
		}
		n, err := c.write(p)
		if err != nil {
			c.broke(err)
			c.watch()
			break
		}
		if n > 0 {
			c.progress(n)
		}
		if n < len(p) {
			c.out.flight = 0
			break
		}
	}
	c.mu.Unlock()
	if over {
		l.finish(c, nil)
	}
	if tell {
		c.h.Writable(c)
	}
}

// peerOf asks the kernel for the address of fd's peer.
func peerOf(fd int) netip.AddrPort {
	sa, err := syscall.Getpeername(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return sockaddr(sa)
}

func sockaddr(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
