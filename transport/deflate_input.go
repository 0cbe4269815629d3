package transport

import (
	"compress/flate"
	"errors"
	"io"
	"math"

	"github.com/gobwas/ws"
)

// turnCost bounds what a connection may have inflated per turn, in KiB of output,
// before the others of its loop have theirs.
const turnCost = 128

// packedCost is how many bytes of output a compressed byte may stand for in that
// account: a block without output takes the longest.
const packedCost = 8

// inflate hands on a message that came compressed. It is no larger than a message
// may be that did not: the limits hold for both forms of it.
func (c *Conn) inflate(op ws.OpCode, packed []byte) {
	if c.is(isClosing | isAborted | isClosed) {
		return
	}
	f, _ := c.t.inflaters.Get().(*inflater)
	if f == nil {
		f = newInflater()
	}
	o := &c.t.opts
	size, err := f.inflate(packed, o.MaxMessage, max(o.MaxMessage, o.SkipMessage))
	c.spend(packedCost*int64(len(packed)) + size)
	switch {
	case err != nil:
		bad := inflateError(err)
		c.fail(bad.Code, bad.Reason, bad)
	case size > o.MaxMessage:
		c.h.TooLarge(c, size)
	default:
		c.message(op, f.out)
	}
	f.letGo()
	c.t.inflaters.Put(f)
}

// spend notes what a message has cost in this turn.
func (c *Conn) spend(bytes int64) {
	c.spent = uint16(min(int64(c.spent)+bytes>>10+1, math.MaxUint16))
}

// nextTurn has the rest parsed when others have had their turn, unless it waits for
// the owner to resume.
func (c *Conn) nextTurn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.is(isPaused | isResuming | isAborted | isClosed) {
		c.set(isResuming)
		c.watch()
		c.post(opResume, nil)
	}
}

// errInflatesTooFar says that there is more in a message than may be thrown away.
var errInflatesTooFar = errors.New("message inflates too far")

func inflateError(err error) *ProtocolError {
	if errors.Is(err, errInflatesTooFar) {
		return &ProtocolError{codeTooBig, "message is too large"}
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
