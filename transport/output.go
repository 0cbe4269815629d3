package transport

import "github.com/gobwas/ws"

const (
	// joinBytes is how much output goes into one write, and how large a frame may
	// be to be copied beside others rather than written by itself.
	joinBytes   = 64 << 10
	joinedFrame = 16 << 10
	// sendBuffer is how much the kernel is asked to hold of what a peer does not
	// take. It rounds up: of 48 KiB it makes up to 60.
	sendBuffer = 48 << 10
)

// output is what waits to be written: whole frames, of which the first may have
// been begun. It exists only while something waits or the kernel takes no more.
type output struct {
	frames [][]byte
	off    int    // bytes of frames[0] that are gone
	bytes  int    // bytes that wait
	since  uint32 // tick at which waiting began or last made progress
	flight int    // frames that a write in progress may cover
	pong   int    // 1 + index of the newest pong, while it waits; 0: none
	pongs  int    // pongs that had to wait
}

// mostPongs is how many pongs wait at a time; beyond, the newest takes the place of
// the one before.
const mostPongs = 64

func (o *output) push(frame []byte) {
	o.frames = append(o.frames, frame)
	o.bytes += len(frame)
}

// pushPong queues a pong. Of many that wait only the latest ping needs an answer (RFC
// 6455, section 5.5.3).
func (o *output) pushPong(frame []byte) {
	if i := o.pong - 1; o.pongs >= mostPongs && i >= o.flight && (i > 0 || i == 0 && o.off == 0) {
		o.bytes += len(frame) - len(o.frames[i])
		o.frames[i] = frame
		return
	}
	o.push(frame)
	o.pong = len(o.frames)
	o.pongs++
}

// next returns what to write now: a part of the first frame, or several small
// frames joined in buf.
func (o *output) next(buf []byte) []byte {
	if len(o.frames) == 0 {
		return nil
	}
	o.flight = 1
	first := o.frames[0][o.off:]
	if len(first) > joinedFrame || len(o.frames) == 1 {
		return first[:min(len(first), joinBytes)]
	}
	p := append(buf[:0], first...)
	for _, f := range o.frames[1:] {
		if len(f) > joinedFrame || len(p)+len(f) > joinBytes {
			break
		}
		p = append(p, f...)
		o.flight++
	}
	return p
}

// advance forgets n bytes that have been written.
func (o *output) advance(n int) {
	o.flight = 0
	o.bytes -= n
	n += o.off
	i := 0
	for i < len(o.frames) && n >= len(o.frames[i]) {
		n -= len(o.frames[i])
		o.frames[i] = nil
		i++
	}
	o.off = n
	o.frames = o.frames[i:]
	o.pong = max(o.pong-i, 0)
}

// put writes a frame or queues it behind what waits. It needs mu and a connection
// that can be written to.
func (c *Conn) put(frame []byte) {
	switch {
	case c.out != nil:
		c.out.push(frame)
	case c.net != nil:
		c.takeFrames([][]byte{frame})
	default:
		switch n, err := c.write(frame); {
		case err != nil:
			c.broke(err)
		case n < len(frame):
			c.hold(frame, n)
		}
	}
}

// hold keeps what is left of a frame of which the kernel has taken n bytes. It
// needs mu and nothing that waits.
func (c *Conn) hold(frame []byte, n int) {
	o := &output{since: c.t.ticks()}
	o.push(frame[n:])
	c.out = o
	c.watch()
}

// pong answers a ping.
func (c *Conn) pong(payload []byte) {
	frame := AppendFrame(nil, ws.OpPong, payload)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.is(cannotWrite):
	case c.out != nil:
		c.out.pushPong(frame)
	default:
		c.put(frame)
	}
}

// keepTail notes that a write of frames ended after n bytes, or with an error: the
// rest of the frame that was begun is kept, and the loop watches for room. It
// returns the number of frames wholly or partly written. It needs mu.
func (c *Conn) keepTail(frames [][]byte, n int, err error) (taken int) {
	if err != nil {
		c.broke(err)
		return 0
	}
	o := &output{since: c.t.ticks()}
	for taken < len(frames) && n > 0 {
		f := frames[taken]
		taken++
		if n < len(f) {
			o.push(f[n:])
			// The tail is a frame begun: nothing may take its place.
			break
		}
		n -= len(f)
	}
	c.out = o
	c.watch()
	return taken
}

// drained notes that nothing waits any more and tells whether the Handler is to
// hear of it. It needs mu.
func (c *Conn) drained() bool {
	c.out = nil
	if c.is(isClosing) {
		c.closeWrite()
		return false
	}
	return !c.is(cannotWrite)
}

// progress notes that n bytes of what waited have been taken. It needs mu.
func (c *Conn) progress(n int) {
	c.out.advance(n)
	c.out.since = c.t.ticks()
	c.taken.Store(c.out.since)
}

func (t *Transport) countWrite(c *Conn, n int) {
	s := &t.counters[c.loop]
	s.writes.Add(1)
	s.bytesOut.Add(int64(n))
}
