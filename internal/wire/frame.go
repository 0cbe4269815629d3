package wire

import "encoding/binary"

// headroom is the longest header of an unmasked WebSocket frame.
const headroom = 10

// NewFrame returns a buffer to append one payload of about n bytes to, with
// room in front for the header that [Seal] writes.
func NewFrame(n int) []byte { return make([]byte, headroom, headroom+n) }

// Reuse returns the buffer of an earlier frame, as [NewFrame] would, to append
// another one to.
func Reuse(b []byte) []byte { return append(b[:0], make([]byte, headroom)...) }

// Seal completes a buffer that began as [NewFrame]: it puts the header of an
// unmasked, final text frame (RFC 6455, section 5.2) right before the payload
// and returns header and payload, in the same memory.
func Seal(b []byte) []byte {
	const finText = 0x81
	switch n := len(b) - headroom; {
	case n <= 125:
		b = b[headroom-2:]
		b[1] = byte(n)
	case n <= 0xffff:
		b = b[headroom-4:]
		b[1] = 126
		binary.BigEndian.PutUint16(b[2:], uint16(n))
	default:
		b[1] = 127
		binary.BigEndian.PutUint64(b[2:], uint64(n))
	}
	b[0] = finText
	return b
}
