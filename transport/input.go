package transport

import (
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// maxControls is how many control frames a peer may send within a second.
const maxControls = 1000

// smallFragment is the payload below which a fragment is mostly header. What others
// cost is bounded by the size of the message.
const smallFragment = 16

// inputSize stands for the struct itself in the account of partial bytes.
const inputSize = 192

// input is what a connection keeps of a message that has not come in whole. It is
// made when a read ends inside a message and dropped with the message's last byte.
type input struct {
	head  [maxHeader]byte // of a header that is incomplete
	nhead uint8

	inFrame bool      // a frame's payload is coming in
	frame   ws.Header // that frame
	got     int64     // payload bytes of it that have come
	control []byte    // its payload, if it is a control frame

	op    ws.OpCode // of the message; 0 while none has begun
	pack  bool      // it is compressed
	skip  bool      // it is too large and thrown away
	size  int64     // payload bytes its frames have declared so far
	small int       // its fragments behind the first that have hardly any payload
	buf   []byte    // its payload, unmasked

	rest  []byte // bytes behind a message during which reading was paused
	kept  []byte // the memory that rest is the end of
	job   *job   // a message that is inflated elsewhere, before rest
	since uint32 // tick at which it began
	held  int64  // what the account of partial bytes knows of it
}

// feed parses bytes that came in and hands on the messages that they complete, after
// the one that has been inflated elsewhere. It changes p. It returns what is left when
// reading gets paused, or while a message is inflated elsewhere.
func (c *Conn) feed(p []byte) (rest []byte) {
	c.takeJob()
	for len(p) > 0 {
		if c.is(isDeaf | isAborted | isClosed) {
			return nil
		}
		if c.is(isPaused) || c.hasJob() { // also if it is done already
			return p
		}
		if c.in != nil && c.in.inFrame {
			p = c.feedPayload(c.in, p)
			continue
		}
		h, n, minimal, whole := c.feedHeader(p)
		p = p[n:]
		if !whole {
			return nil
		}
		if bad := c.check(&h, minimal); bad != nil {
			c.fail(bad.Code, bad.Reason, bad)
			return nil
		}
		if h.Length <= int64(len(p)) {
			payload := p[:h.Length]
			p = p[h.Length:]
			ws.Cipher(payload, h.Mask, 0)
			c.frame(h, payload)
			continue
		}
		in := c.partial()
		in.inFrame, in.frame, in.got = true, h, 0
		if !h.OpCode.IsControl() {
			in.begin(h, c.t.opts.MaxMessage)
		}
	}
	return nil
}

// feedHeader reads a header from what is kept and p, and tells how much of p it took
// and whether that was the whole header.
func (c *Conn) feedHeader(p []byte) (h ws.Header, n int, minimal, whole bool) {
	in := c.in
	if in == nil || in.nhead == 0 {
		if h, n, minimal = parseHeader(p); n == 0 {
			in = c.partial()
			in.nhead = uint8(copy(in.head[:], p))
			return h, len(p), true, false
		}
	} else {
		had := int(in.nhead)
		all := had + copy(in.head[had:], p)
		if h, n, minimal = parseHeader(in.head[:all]); n == 0 {
			in.nhead = uint8(all)
			return h, len(p), true, false
		}
		in.nhead = 0
		n -= had
		if !in.inMessage() {
			c.dropInput()
		}
	}
	return h, n, minimal, true
}

func (in *input) inMessage() bool { return in.op != 0 }

// idle tells that nothing is kept.
func (in *input) idle() bool {
	return in.nhead == 0 && !in.inFrame && !in.inMessage() && in.rest == nil && in.job == nil
}

// keep keeps what cannot be parsed yet: a copy, or of what is kept already the same
// memory, until most of that is used up. So taking one message at a time costs no
// copy of all the others.
func (in *input) keep(rest, kept []byte) {
	if 2*len(rest) <= len(kept) || kept == nil {
		kept = append([]byte(nil), rest...)
		rest = kept
	}
	in.rest, in.kept = rest, kept
}

// unfinished tells that a message has begun which has not come in whole, rather than
// that something is kept because of us.
func (in *input) unfinished() bool { return in != nil && in.rest == nil && in.job == nil }

// partial returns the connection's input, which begins now if there is none.
func (c *Conn) partial() *input {
	if c.in == nil {
		c.in = &input{since: c.t.ticks()}
	}
	return c.in
}

// feedPayload takes what p has of the payload of the frame that is coming in.
func (c *Conn) feedPayload(in *input, p []byte) (rest []byte) {
	h := in.frame
	n := min(int64(len(p)), h.Length-in.got)
	piece := p[:n]
	ws.Cipher(piece, h.Mask, int(in.got&3))
	in.got += n
	in.inFrame = in.got < h.Length
	if !h.OpCode.IsControl() {
		in.add(piece, h.Fin, c.t.opts.MaxMessage)
		if !in.inFrame && h.Fin {
			c.whole(in)
		}
		return p[n:]
	}
	in.control = append(in.control, piece...)
	if !in.inFrame {
		payload := in.control
		in.control = nil
		if !in.inMessage() {
			c.dropInput()
		}
		c.control(h.OpCode, payload)
	}
	return p[n:]
}

// frame handles a frame whose payload came in one piece.
func (c *Conn) frame(h ws.Header, payload []byte) {
	switch {
	case h.OpCode.IsControl():
		c.control(h.OpCode, payload)
	case h.Fin && h.OpCode != ws.OpContinuation && h.Length <= c.t.opts.MaxMessage:
		if h.Rsv != 0 {
			c.inflate(h.OpCode, payload, false)
			return
		}
		c.message(h.OpCode, payload) // the common case: nothing is copied
	default:
		in := c.partial()
		in.begin(h, c.t.opts.MaxMessage)
		in.add(payload, h.Fin, c.t.opts.MaxMessage)
		if h.Fin {
			c.whole(in)
		}
	}
}

// begin counts a data frame in.
func (in *input) begin(h ws.Header, most int64) {
	if !in.inMessage() {
		in.op, in.pack = h.OpCode, h.Rsv != 0
	}
	in.size += h.Length
	if in.size > most {
		in.skip, in.buf = true, nil
	}
}

// tooMany counts a small fragment, and tells whether there are more of them than the
// time since the message began allows.
func (in *input) tooMany(t *Transport) bool {
	in.small++
	return in.small > t.opts.MaxFragments &&
		in.small/t.opts.MaxFragments > int(time.Duration(age(t.ticks(), in.since))*tick/time.Second)
}

// add appends a piece of payload to the message, which is to become no larger than
// most. Once its last frame has begun it is known how large it will be.
func (in *input) add(piece []byte, fin bool, most int64) {
	if in.skip {
		return
	}
	if fin {
		most = in.size
	}
	in.buf = append(grow(in.buf, len(piece), most), piece...)
}

// whole hands on the message that was kept.
func (c *Conn) whole(in *input) {
	op, size, skip, pack, buf := in.op, in.size, in.skip, in.pack, in.buf
	c.dropInput()
	switch {
	case skip:
		if !c.is(isClosing | isAborted | isClosed) {
			c.h.TooLarge(c, size)
		}
	case pack:
		c.inflate(op, buf, true)
	default:
		c.message(op, buf)
	}
}

// message hands on a message.
func (c *Conn) message(op ws.OpCode, payload []byte) {
	if op == ws.OpText && !utf8.Valid(payload) {
		bad := &ProtocolError{codeBadData, "text is not UTF-8"}
		c.fail(bad.Code, bad.Reason, bad)
		return
	}
	c.t.counters[c.loop].messagesIn.Add(1)
	if c.is(isClosing | isAborted | isClosed) {
		return
	}
	c.h.Message(c, payload, op == ws.OpBinary)
}

// control answers a control frame (section 5.5).
func (c *Conn) control(op ws.OpCode, payload []byte) {
	switch op {
	case ws.OpPing:
		c.pong(payload)
	case ws.OpClose:
		code, bad := parseClose(payload)
		if bad != nil {
			c.fail(bad.Code, bad.Reason, bad)
			return
		}
		c.peerClosed(code)
	}
}

// peerClosed echoes the peer's close, or notes that it answered ours.
func (c *Conn) peerClosed(code uint16) {
	c.finishWith(ending{code: code, received: true}, code, "", isDeaf)
	c.mu.Lock()
	c.set(isDeaf)
	if c.end != nil {
		c.end.received = true
	}
	c.mu.Unlock()
}

// hear notes a sign of life. Each second has its own budget of control frames and of
// what is inflated where it is read.
func (c *Conn) hear(now uint32) {
	const perSecond = uint32(time.Second / tick)
	if now/perSecond != c.heard.Load()/perSecond {
		c.floods, c.spent = 0, 0
	}
	c.heard.Store(now)
}

// settle brings the account of partial bytes up to date after a feed.
func (c *Conn) settle() {
	in := c.in
	if in == nil {
		return
	}
	held := inputSize + int64(cap(in.buf)+cap(in.control)+cap(in.kept))
	if in.job != nil {
		held += int64(cap(in.job.packed))
	}
	c.t.counters[c.loop].partial.Add(held - in.held)
	in.held = held
}

// dropInput forgets what was kept.
func (c *Conn) dropInput() {
	if c.in != nil {
		c.in.dropJob(c)
		c.t.counters[c.loop].partial.Add(-c.in.held)
		c.in = nil
	}
}

// overPartial tells whether the connections of this loop hold more than they may.
func (c *Conn) overPartial() bool {
	return c.t.counters[c.loop].partial.Load() > c.t.opts.PartialBytes
}

// shed closes the connection that holds the most.
func (c *Conn) shed() {
	c.fail(codeTryLater, "too much unfinished input", &ProtocolError{codeTryLater, "too much unfinished input"})
}
