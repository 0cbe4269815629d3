package transport

import (
	"bytes"
	"compress/flate"

	"github.com/gobwas/ws"
)

const (
	// rsv1 is the bit of a header's Rsv that says that a message is compressed
	// (RFC 7692, section 6).
	rsv1 = 0x4
	// packedBit is the same in the first byte of a frame.
	packedBit = rsv1 << 4
	// packMin is the payload from which on compressing is worth its time: less
	// hardly gets smaller without a context.
	packMin = 256
	// keptBuffer is the largest buffer that goes back into a pool.
	keptBuffer = 64 << 10
	// deflateTail is what the end of a message leaves out: the last four bytes of
	// an empty block (section 7.2.1).
	deflateTail = "\x00\x00\xff\xff"
)

// Deflates tells whether permessage-deflate was granted to the connection, so that
// it may be sent what Transport.Pack returns. It never changes.
func (c *Conn) Deflates() bool { return c.is(isDeflating) }

// Pack compresses a whole server frame with a text or binary message, for any
// number of connections that deflate. It returns nil where that is not worth it:
// the frame is small, or does not get smaller. It takes 10 µs for a short message
// and a millisecond for 256 KiB: too long for a Handler, which must not block. frame
// is not kept.
func (t *Transport) Pack(frame []byte) []byte {
	h, n, _ := parseHeader(frame)
	payload := frame[n:]
	if n == 0 || !h.Fin || h.Rsv != 0 || h.Masked || h.OpCode != ws.OpText && h.OpCode != ws.OpBinary ||
		len(payload) < packMin || h.Length != int64(len(payload)) {
		return nil
	}
	d, _ := t.deflaters.Get().(*deflater)
	if d == nil {
		d = newDeflater()
	}
	defer t.deflaters.Put(d)
	body := d.deflate(payload)
	if len(body) >= len(payload) {
		return nil
	}
	packed := AppendHeader(make([]byte, 0, len(body)+maxHeader-4), h.OpCode, len(body))
	packed[0] |= packedBit
	return append(packed, body...)
}

// deflater compresses one message at a time. It holds more than a megabyte, so
// there are only as many as messages are compressed at once.
type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

func newDeflater() *deflater {
	d := &deflater{}
	d.w, _ = flate.NewWriter(&d.out, flate.BestSpeed) // fails for unknown levels only
	return d
}

// deflate returns the payload compressed as section 7.2.1 wants it, valid until the
// next call.
func (d *deflater) deflate(payload []byte) []byte {
	if d.out.Cap() > keptBuffer {
		d.out = bytes.Buffer{}
	}
	d.out.Reset()
	d.w.Reset(&d.out)
	_, _ = d.w.Write(payload) // a bytes.Buffer takes everything
	_ = d.w.Flush()
	return bytes.TrimSuffix(d.out.Bytes(), []byte(deflateTail))
}
