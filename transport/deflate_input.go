package transport

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"

	"github.com/gobwas/ws"
)

// packedCost is how many bytes of output a compressed byte may stand for in the
// account of what inflating costs: a block without output takes the longest.
const packedCost = 8

// inflate hands on a message that came compressed. It is no larger than a message
// may be that did not: the limits hold for both forms of it. packed is the caller's,
// unless it is said to be mine.
func (c *Conn) inflate(op ws.OpCode, packed []byte, mine bool) {
	if c.is(isClosing | isAborted | isClosed) {
		return
	}
	if c.inflateHere(op, packed) {
		return
	}
	if !mine {
		packed = bytes.Clone(packed)
	}
	c.inflateElsewhere(op, packed)
}

// inflateHere inflates a message if that is a little work, and tells whether it was.
func (c *Conn) inflateHere(op ws.OpCode, packed []byte) bool {
	if len(packed) > hereIn || c.spent >= hereCost {
		return false
	}
	o := &c.t.opts
	f := c.t.inflater()
	most := max(o.MaxMessage, o.SkipMessage)
	size, err := f.inflate(packed, min(o.MaxMessage, hereOut), min(most, hereOut))
	c.spent += uint16(inflateCost(len(packed), size)/hereUnit + 1)
	more := err == errInflatesTooFar && most > hereOut
	if !more {
		c.inflated(op, f.out, size, err)
	}
	f.letGo()
	c.t.inflaters.Put(f)
	return !more
}

// inflated hands on what a message has been inflated to.
func (c *Conn) inflated(op ws.OpCode, out []byte, size int64, err error) {
	switch {
	case err != nil:
		bad := inflateError(err)
		c.fail(bad.Code, bad.Reason, bad)
	case size > c.t.opts.MaxMessage:
		if !c.is(isClosing | isAborted | isClosed) {
			c.h.TooLarge(c, size)
		}
	default:
		c.message(op, out)
	}
}

// inflater takes one out of the pool. It goes back with letGo and Put.
func (t *Transport) inflater() *inflater {
	if f, ok := t.inflaters.Get().(*inflater); ok {
		return f
	}
	return newInflater()
}

// errInflatesTooFar says that there is more in a message than may be thrown away.
var errInflatesTooFar = errors.New("message inflates too far")

func inflateError(err error) *ProtocolError {
	switch err {
	case errInflatesTooFar:
		return &ProtocolError{codeTooBig, "message is too large"}
	case errPanicked:
		return &ProtocolError{codeInternal, "internal error"}
	}
	return &ProtocolError{codeBadData, "compressed data is corrupt"}
}

// inflater decompresses one message at a time.
type inflater struct {
	src   packedSource
	r     io.Reader // also a flate.Resetter
	out   []byte    // the message
	spill [1 << 10]byte
}

func newInflater() *inflater {
	f := &inflater{}
	f.r = flate.NewReader(&f.src)
	return f
}

// maxFinals is how many final blocks a message may have: most have none, and each
// makes the reader start anew.
const maxFinals = 8

// inflate decompresses a message into out, if that is no longer than most, and
// returns how long it is. Beyond skip it gives up.
func (f *inflater) inflate(packed []byte, most, skip int64) (size int64, err error) {
	f.src = packedSource{packed: packed, tail: deflateTail + deflateEnd}
	f.out = f.out[:0]
	for range maxFinals {
		if err = f.r.(flate.Resetter).Reset(&f.src, nil); err != nil {
			return size, err
		}
		for err == nil && size <= skip {
			var n int
			if size < most {
				f.out = grow(f.out, int(min(most-size, 512)), most)
				room := f.out[len(f.out):min(int64(cap(f.out)), most)]
				n, err = f.r.Read(room)
				f.out = f.out[:len(f.out)+n]
			} else {
				n, err = f.r.Read(f.spill[:])
			}
			size += int64(n)
		}
		switch {
		case size > skip:
			return size, errInflatesTooFar
		case err != io.EOF:
			return size, err
		case f.src.done():
			return size, nil
		}
		// Section 7.2.3.4: a final block ends the stream, not the message.
	}
	return size, errors.New("too many final blocks")
}

// letGo drops what belongs to the message.
func (f *inflater) letGo() {
	f.src = packedSource{}
	if cap(f.out) > keptBuffer {
		f.out = nil
	}
}

// deflateEnd is an empty final block, which ends what has no end.
const deflateEnd = "\x01\x00\x00\xff\xff"

// packedSource reads a compressed message and what was left out of it. It gives out
// single bytes, so that the reader takes no more than it needs.
type packedSource struct {
	packed []byte
	tail   string
}

func (s *packedSource) Read(p []byte) (n int, err error) {
	if n = copy(p, s.packed); n > 0 {
		s.packed = s.packed[n:]
	} else if n = copy(p, s.tail); n > 0 {
		s.tail = s.tail[n:]
	} else if len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (s *packedSource) ReadByte() (b byte, err error) {
	switch {
	case len(s.packed) > 0:
		b, s.packed = s.packed[0], s.packed[1:]
	case len(s.tail) > 0:
		b, s.tail = s.tail[0], s.tail[1:]
	default:
		return 0, io.EOF
	}
	return b, nil
}

// done tells that the message was read to its end. One whose last block is final
// may have left nothing out.
func (s *packedSource) done() bool {
	return len(s.packed) == 0 && (len(s.tail) == 0 || len(s.tail) == len(deflateTail+deflateEnd))
}
