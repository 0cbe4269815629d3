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
	quick     bool       // see hostConn.quick
	raw       hostConn   // what to close to cut it without any last words
	peer      netip.AddrPort

	// Under Conn.mu: see apart.
	todo  []func()
	doing bool

	// What the sweep may see of the reader's input.
	partial   atomic.Bool
	partialAt atomic.Uint32
}

func newNetConn(c *Conn, conn hostConn) *netConn {
	n := &netConn{hostConn: conn, raw: conn.raw(), quick: conn.quick(), peer: conn.addrPort()}
	n.wakeUp.L = &c.mu
	_, n.halfClose = conn.Conn.(interface{ CloseWrite() error })
	if b, ok := n.raw.Conn.(interface{ SetWriteBuffer(int) error }); ok {
		defer n.raw.rescue(nil)
		_ = b.SetWriteBuffer(sendBuffer)
	}
	return n
}

// apart makes a call of the connection behind those made before. Whoever needs one
// holds mu, for which the senders to a whole room wait, or looks after all connections:
// they never wait for code of the host's, which may block. It needs mu.
func (n *netConn) apart(call func()) {
	if n.quick {
		call()
		return
	}
	n.todo = append(n.todo, call)
	if !n.doing {
		n.doing = true
		go n.makeCalls()
	}
}

func (n *netConn) makeCalls() {
	mu := n.wakeUp.L
	mu.Lock()
	defer func() {
		n.doing = false
		mu.Unlock()
	}()
	for len(n.todo) > 0 {
		call := n.todo[0]
		n.todo = n.todo[1:]
		func() {
			mu.Unlock()
			defer mu.Lock()
			call()
		}()
	}
}

// hurry bounds the reads and writes of a connection that ends, and wakes its reader.
// It needs mu.
func (n *netConn) hurry(d time.Duration) {
	at := time.Now().Add(d)
	n.apart(func() { _ = n.SetDeadline(at) })
	n.wakeUp.Broadcast()
}

// cut needs mu.
func (n *netConn) cut() {
	n.raw.drop()
	if !n.quick { // its Close may hang
		n.hurry(0)
	}
	n.wakeUp.Broadcast()
}

// closeNet closes the connection when nothing is to be read or written any more. It
// waits for that no longer than for a closing handshake.
func (c *Conn) closeNet() {
	n, most := c.net, c.t.opts.CloseTimeout
	if n.quick {
		if _, ok := n.Conn.(*tls.Conn); ok { // it says goodbye, and would wait for 5 s
			defer time.AfterFunc(most, n.raw.drop).Stop()
		}
		_ = n.Close()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.Close()
	}()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
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

// readLoop is the reader's goroutine: it ends when the connection has, also if code
// of the host's makes it exit.
func (c *Conn) readLoop(pre []byte) {
	defer c.t.wg.Done()
	err := errExited
	defer func() { c.endNet(err) }()
	err = c.readUntilEnd(pre)
}

// endNet ends the connection, and tells its Handler.
func (c *Conn) endNet(err error) {
	defer c.t.leave()
	defer c.t.nets.remove(c)
	c.awaitWriter()
	c.closeNet()
	c.net.calls.Lock()
	defer c.net.calls.Unlock()
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

// handful is how many bytes may wait for the writer's goroutine.
const handful = 2 << 10

// handing reports whether what waits, with n bytes more, is no more than what the
// writer's goroutine may have been left. It needs mu and something that waits.
func (c *Conn) handing(n int) bool { return c.net != nil && c.out.bytes+n <= handful }

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
	returned := false
	defer func() {
		if !returned {
			c.abort(codeAbnormal, errExited)
		}
	}()
	tell := c.writeAll()
	returned = true
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
		n, err := c.writeNet(p)
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
		c.closeWriteNet() // the queue is empty for good
	}
	tell = c.out != nil && c.drained()
	c.net.wakeUp.Broadcast()
	if e := c.end; e != nil && e.sent && e.received && !c.net.halfClose {
		c.net.apart(func() { _ = c.net.SetReadDeadline(time.Now()) }) // the reader has nothing to wait for
	}
	return tell
}

// writeNet is a Write during which mu, which it needs, is not held. However it ends,
// the caller has it back.
func (c *Conn) writeNet(p []byte) (n int, err error) {
	c.mu.Unlock()
	defer c.mu.Lock()
	return c.net.Write(p)
}

// closeWriteNet is the same for the end of our direction, which may block.
func (c *Conn) closeWriteNet() {
	c.mu.Unlock()
	defer c.mu.Lock()
	c.net.closeWrite()
}
