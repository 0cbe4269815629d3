package transport

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Handler receives the events of one connection. Calls for one connection never
// overlap: they come from its event loop or its reader goroutine, so they must not
// block. A panic is logged and closes that connection with 1011.
type Handler interface {
	// Message delivers a whole message. payload may be changed but is only valid
	// during the call. The payload of a text message is valid UTF-8 (RFC 6455,
	// section 8.1).
	Message(c *Conn, payload []byte, binary bool)
	// TooLarge tells that a message of size bytes, above Options.MaxMessage but
	// within SkipMessage, was read and thrown away.
	TooLarge(c *Conn, size int64)
	// Writable tells that everything that waited has been given to the kernel. It
	// comes after each time that output had to wait: when Buffered was above zero,
	// Signal was refused, or WriteFrames took less than it was offered.
	Writable(c *Conn)
	// Closed is called exactly once and last. code is the close code that the peer
	// or this side said first, 1005 if a close came without one, 1006 if the
	// connection was cut. err is nil after a close that the peer or Conn.Close
	// began, otherwise the cause.
	Closed(c *Conn, code uint16, err error)
}

// Conn is one connection. Its methods may be called from any goroutine, at any
// time: once the connection is closed they do nothing.
type Conn struct {
	mu sync.Mutex
	h  Handler
	t  *Transport

	in  *input   // owned by the reader; nil unless a message is incomplete
	out *output  // under mu; nil unless output waits or the kernel takes no more
	end *ending  // under mu; nil until the connection starts to end
	net *netConn // nil on an event loop

	fd   int32 // under mu; -1 once closed. Only the loop closes it.
	slot int32 // the loop's token for it

	state  atomic.Uint32 // flags; changed under mu
	heard  atomic.Uint32 // tick of the last bytes received
	taken  atomic.Uint32 // tick at which waiting output last made progress
	pinged uint32        // owned by the sweep
	floods uint16        // owned by the reader: control frames in this second
	spent  uint16        // owned by the reader: what inflating has cost it in this second
	loop   uint8
}

// Flags of Conn.state.
const (
	isPaused    = 1 << iota // the owner wants no input
	isClosing               // a close frame is sent or waits; nothing goes behind it
	isDeaf                  // input is thrown away unread
	isBroken                // writing failed; the reader will find out why
	isAborted               // to be cut as soon as its loop sees it
	isClosed                // Handler.Closed has been called, or is being called
	isAdded                 // the loop watches it
	isParked                // hung up while paused: not watched until resumed
	isResuming              // a resume is on its way to the loop
	watchesIn               // the loop watches it for input
	watchesOut              // the loop watches it for output
	isDeflating             // permessage-deflate was granted, before the first event
	isInflating             // a message is inflated elsewhere; nothing behind it is read
	cannotWrite = isClosing | isBroken | isAborted | isClosed
)

// ending is how and until when a connection ends.
type ending struct {
	code     uint16
	err      error
	deadline uint32 // tick
	sent     bool   // our close frame has gone out
	received bool   // the peer's has come in
	hungUp   bool   // the peer has ended its direction; we wait to finish ours
}

func (c *Conn) is(flags uint32) bool { return c.state.Load()&flags != 0 }

// set and clear need mu.
func (c *Conn) set(flags uint32)   { c.state.Store(c.state.Load() | flags) }
func (c *Conn) clear(flags uint32) { c.state.Store(c.state.Load() &^ flags) }

// Loop tells which loop the connection belongs to, from 0 to Transport.Loops()-1,
// the same for its whole life. Connections without an event loop are spread alike.
func (c *Conn) Loop() int { return int(c.loop) }

// RemoteAddr is the peer's address as the kernel knows it, the zero AddrPort when
// the connection is closed or has no IP address. It may cost a system call.
func (c *Conn) RemoteAddr() netip.AddrPort {
	if c.net != nil {
		return c.net.peer
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return netip.AddrPort{}
	}
	return peerOf(int(c.fd))
}

// Send sends a complete server frame, which must not change from now on. It is
// written at once if nothing waits, otherwise queued. Send never blocks and never
// drops: whoever calls it bounds what waits by Buffered. It does nothing on a
// connection that is closing.
func (c *Conn) Send(frame []byte) {
	c.mu.Lock()
	if !c.is(cannotWrite) {
		c.put(frame)
	}
	c.mu.Unlock()
}

// Write is Send for a frame that is only valid during the call: what the kernel
// does not take at once is copied.
func (c *Conn) Write(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is(cannotWrite) {
		return
	}
	if c.out != nil || c.net != nil {
		c.put(slices.Clone(frame))
		return
	}
	switch n, err := c.write(frame); {
	case err != nil:
		c.broke(err)
	case n < len(frame):
		c.hold(slices.Clone(frame), n)
	}
}

// Signal is Send, except that the frame is dropped, and false returned, when
// anything is waiting; see WriteFrames.
func (c *Conn) Signal(frame []byte) bool {
	c.mu.Lock()
	ok := !c.is(cannotWrite) && (c.out == nil || c.handing(len(frame)))
	if ok {
		c.put(frame)
	}
	c.mu.Unlock()
	return ok
}

// WriteFrames offers many frames at once. joined is their concatenation and only
// valid during the call; each of frames must never change.
//
// If anything waits it takes none; on a connection with a writer of its own, what the
// writer is about to write does not count as waiting while it is a handful of bytes,
// for it says nothing of the peer. Otherwise it returns how many frames are now
// certain to go out unless the connection ends: those written whole and the one
// that was begun, of which the connection keeps the unsent tail. If that is less
// than len(frames), a Handler.Writable or Closed follows.
func (c *Conn) WriteFrames(joined []byte, frames [][]byte) (taken int) {
	c.mu.Lock()
	if c.is(cannotWrite) {
		c.mu.Unlock()
		return 0
	}
	if c.out != nil {
		if c.handing(len(joined)) { // all or none: what is offered together belongs together
			for _, frame := range frames {
				c.out.push(frame)
			}
			taken = len(frames)
		}
		c.mu.Unlock()
		return taken
	}
	if c.net != nil {
		taken = c.takeFrames(frames)
		c.mu.Unlock()
		return taken
	}
	n, err := c.write(joined)
	if n == len(joined) {
		c.mu.Unlock()
		return len(frames)
	}
	taken = c.keepTail(frames, n, err)
	c.mu.Unlock()
	return taken
}

// Buffered is the number of bytes that wait to be written.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		return 0
	}
	return c.out.bytes
}

// Pause stops reading, so that the peer is slowed down by TCP. No Message follows
// the call, or the Message during which it is made, until Resume. Pauses do not
// nest.
func (c *Conn) Pause() {
	c.mu.Lock()
	if !c.is(isPaused | isClosing | isClosed) {
		c.set(isPaused)
		c.watch()
	}
	c.mu.Unlock()
}

// Resume ends a Pause. Messages that had been read already come first.
func (c *Conn) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.is(isPaused) || c.is(isClosed) {
		return
	}
	c.heard.Store(c.t.ticks()) // silence while paused was ours
	c.unpause(isPaused)
}

// unpause lets reading go on that some of these kept from it. On a loop it is the loop
// that starts to watch for input again, after the bytes that it had read already. It
// needs mu.
func (c *Conn) unpause(flags uint32) {
	if !c.is(flags) {
		return
	}
	c.clear(flags)
	if c.net != nil {
		c.net.wakeUp.Broadcast()
	} else if !c.is(isResuming) {
		c.set(isResuming)
		c.post(opResume, nil)
	}
}

// Close begins the closing handshake (RFC 6455, section 7.1.2): a close frame goes
// out behind what waits, then input is read and thrown away until the peer closes
// too or Options.CloseTimeout has passed. A code that may not be sent, such as 0,
// sends a close frame without one. Later calls do nothing.
func (c *Conn) Close(code uint16, reason string) {
	said := code
	if !validCloseCode(code) {
		said = codeNoStatus
	}
	c.finishWith(ending{code: said}, code, reason, 0)
}

// Abort cuts the connection. What waits is lost.
func (c *Conn) Abort() { c.abort(codeAbnormal, ErrAborted) }

// fail closes the connection for what its peer did or did not do. Nothing more is
// parsed of what it sends.
func (c *Conn) fail(code uint16, reason string, err error) {
	c.finishWith(ending{code: code, err: err}, code, reason, isDeaf)
}

// finishWith sends a close frame and starts to end the connection.
func (c *Conn) finishWith(e ending, code uint16, reason string, flags uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is(isClosing | isClosed | isAborted) {
		return
	}
	if c.end == nil || e.received { // else a failed write has said why already
		e.deadline = c.t.ticks() + c.t.closeTicks
		c.end = &e
	}
	if !c.is(isBroken) {
		c.put(appendClose(nil, code, reason))
	}
	c.set(isClosing | flags)
	c.unpause(isPaused | isInflating)
	if c.out == nil {
		c.closeWrite()
	}
	c.watch()
	if c.net != nil {
		c.net.hurry(c.t.opts.CloseTimeout)
	} else {
		c.post(opEnding, nil)
	}
}

// abort makes the owner of the connection cut it.
func (c *Conn) abort(code uint16, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is(isClosed | isAborted) {
		return
	}
	if c.end == nil {
		c.end = &ending{code: code, err: err}
	}
	c.set(isAborted)
	c.unpause(isPaused | isInflating)
	if c.net != nil {
		c.net.cut()
	} else {
		c.post(opAbort, nil)
	}
}

// broke notes that writing failed. What the peer has sent is still read; the
// reader meets the error or the end soon, and the deadline makes sure of it.
// It needs mu.
func (c *Conn) broke(err error) {
	c.set(isBroken)
	c.out = nil
	if c.end == nil {
		c.end = &ending{code: codeAbnormal, err: err, deadline: c.t.ticks() + c.t.closeTicks}
	}
	if c.net != nil {
		c.net.hurry(c.t.opts.CloseTimeout)
	} else {
		c.post(opEnding, nil)
	}
}
