package transport

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// netConn is the part of a connection that only the goroutine engine needs.
type netConn struct {
	hostConn
	calls     sync.Mutex // serialises the Handler's calls from reader and writer
	wakeUp    sync.Cond  // on Conn.mu: resumed, aborted, or the writer is done
	halfClose bool       // one direction can be closed
	raw       hostConn   // what to close to cut it without any last words

	// What the sweep may see of the reader's input.
	partial   atomic.Bool
	partialAt atomic.Uint32
}

func newNetConn(c *Conn, conn hostConn) *netConn {
	n := &netConn{hostConn: conn, raw: conn}
	n.wakeUp.L = &c.mu
	_, n.halfClose = conn.Conn.(interface{ CloseWrite() error })
	if tc, ok := conn.Conn.(*tls.Conn); ok {
		n.raw.Conn = tc.NetConn()
	}
	if b, ok := n.raw.Conn.(interface{ SetWriteBuffer(int) error }); ok {
		defer n.raw.rescue(nil)
		_ = b.SetWriteBuffer(sendBuffer)
	}
	return n
}

// hurry bounds the reads and writes of a connection that ends, and wakes its reader.
func (n *netConn) hurry(d time.Duration) {
	_ = n.SetDeadline(time.Now().Add(d))
	n.wakeUp.Broadcast()
}

func (n *netConn) cut() {
	_ = n.raw.Close()
	n.wakeUp.Broadcast()
}

func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort()
	case nil:
		return netip.AddrPort{}
	default:
		ap, _ := netip.ParseAddrPort(a.String())
		return ap
	}
}

// smallRead is the size of the buffer that a reader holds while it waits. One that
// fills it borrows a large one until it has caught up.
const smallRead = 1 << 10

// readLoop is the reader's goroutine: it ends when the connection has.
func (c *Conn) readLoop(pre []byte) {
	defer c.t.wg.Done()
	err := c.readUntilEnd(pre)
	c.awaitWriter()
	_ = c.net.Close()
	c.net.calls.Lock()
	c.mu.Lock()
	c.set(isClosed)
	c.out = nil
	e := ending{code: codeAbnormal, err: err}
	if c.end != nil {
		e = *c.end
	}
	c.mu.Unlock()
	c.dropInput()
	c.tellClosed(e)
	c.net.calls.Unlock()
	c.t.nets.remove(c)
	c.t.leave()
}

// readUntilEnd is readAll, which ends with a panic, too.
func (c *Conn) readUntilEnd(pre []byte) error {
	defer c.rescue()
	return c.readAll(pre)
}

// readAll reads and parses until the connection's end.
func (c *Conn) readAll(rest []byte) error {
	small := make([]byte, smallRead)
	buf := small
	var large *[joinBytes]byte
	defer func() {
		if large != nil {
			c.t.buffers.Put(large)
		}
	}()
	var err error
	for {
		if len(rest) > 0 || c.hasJob() {
			rest = c.receiveNet(rest)
		}
		if over := c.awaitResume(); over {
			return err
		}
		if len(rest) > 0 || c.hasJob() {
			continue
		}
		if err != nil {
			return err
		}
		var n int
		n, err = c.net.Read(buf)
		rest = buf[:n]
		if n > 0 {
			c.hear(c.t.ticks())
			c.t.counters[c.loop].bytesIn.Add(int64(n))
			rest = c.receiveNet(rest)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if len(rest) > 0 {
			continue // it lies in buf
		}
		if n == smallRead && large == nil {
			large = c.t.buffers.Get().(*[joinBytes]byte)
			buf = large[:]
		} else if n < smallRead && large != nil {
			c.t.buffers.Put(large)
			large, buf = nil, small
		}
	}
}

// receiveNet parses what was read, beside nothing of the writer's calls.
func (c *Conn) receiveNet(p []byte) (rest []byte) {
	func() {
		c.net.calls.Lock()
		defer c.net.calls.Unlock()
		defer c.rescue()
		rest = c.feed(p)
	}()
	c.settle()
	if in := c.in; in != nil {
		c.net.partialAt.Store(in.since)
	}
	c.net.partial.Store(c.in.unfinished())
	if c.overPartial() {
		c.t.nets.shed(c.loop)
	}
	return rest
}

// awaitResume blocks while reading is paused, or a message is inflated elsewhere. It tells whether reading is over.
func (c *Conn) awaitResume() (over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.is(isPaused|isInflating) && !c.is(isAborted) {
		c.net.wakeUp.Wait()
	}
	if c.is(isAborted) {
		return true
	}
	// Without a way to close one direction, the peer waits for us to close both.
	return !c.net.halfClose && c.end != nil && c.end.sent && c.end.received
}

// awaitWriter lets the close frame and what waits before it go out. The deadline
// set by hurry, or the sweep, makes sure that this ends.
func (c *Conn) awaitWriter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out != nil && c.is(isClosing) && !c.is(isAborted) {
		c.net.wakeUp.Wait()
	}
}

// takeFrames queues frames, at least one and about joinBytes of them, and starts
// the writer. It needs mu and a connection on which nothing waits.
func (c *Conn) takeFrames(frames [][]byte) (taken int) {
	if len(frames) == 0 {
		return 0
	}
	c.out = &output{since: c.t.ticks()}
	for taken < len(frames) && (taken == 0 || c.out.bytes+len(frames[taken]) <= joinBytes) {
		c.out.push(frames[taken])
		taken++
	}
	c.t.wg.Add(1)
	go c.writeLoop()
	return taken
}

// writeLoop is the writer's goroutine: it ends when nothing waits any more.
func (c *Conn) writeLoop() {
	defer c.t.wg.Done()
	tell := c.writeAll()
	if tell {
		c.net.calls.Lock()
		defer c.net.calls.Unlock()
		defer c.rescue()
		if !c.is(isClosed) {
			c.h.Writable(c)
		}
	}
}

func (c *Conn) writeAll() (tell bool) {
	buf := c.t.buffers.Get().(*[joinBytes]byte)
	defer c.t.buffers.Put(buf)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out != nil {
		p := c.out.next(buf[:])
		if len(p) == 0 {
			break
		}
		before := c.t.ticks()
		c.mu.Unlock()
		n, err := c.net.Write(p)
		c.mu.Lock()
		c.t.countWrite(c, n)
		if c.out == nil {
			return false
		}
		had := c.taken.Load()
		c.progress(n)
		if c.out.since == before {
			c.taken.Store(had) // it never had to wait: no sign of the peer
		}
		if err != nil {
			c.broke(err)
			c.net.wakeUp.Broadcast()
			return false
		}
	}
	if c.is(isClosing) && !c.is(isAborted) && c.net.halfClose {
		// It may block, and the queue is empty for good.
		c.mu.Unlock()
		c.net.closeWrite()
		c.mu.Lock()
	}
	tell = c.out != nil && c.drained()
	c.net.wakeUp.Broadcast()
	if e := c.end; e != nil && e.sent && e.received && !c.net.halfClose {
		_ = c.net.SetReadDeadline(time.Now()) // the reader has nothing to wait for
	}
	return tell
}
