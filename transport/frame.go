package transport

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// AppendHeader appends the header of an unfragmented, unmasked frame with a payload
// of length n (RFC 6455, section 5.2) to dst.
func AppendHeader(dst []byte, op ws.OpCode, n int) []byte {
	dst = append(dst, 0x80|byte(op))
	switch {
	case n <= 125:
		return append(dst, byte(n))
	case n <= 0xffff:
		dst = append(dst, 126)
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 127)
		return binary.BigEndian.AppendUint64(dst, uint64(n))
	}
}

// AppendFrame appends a whole server frame to dst.
func AppendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// maxHeader is the longest header a client can send: the length in eight bytes and
// a mask.
const maxHeader = 14

// parseHeader reads a frame header. n is its length, 0 when b does not hold it
// whole. minimal tells whether the length was sent in as few bytes as possible. A
// length beyond 2^63-1, which section 5.2 forbids, comes out as that: above every
// limit, and never negative.
func parseHeader(b []byte) (h ws.Header, n int, minimal bool) {
	if len(b) < 2 {
		return h, 0, true
	}
	h.Fin = b[0]&0x80 != 0
	h.Rsv = b[0] & 0x70 >> 4
	h.OpCode = ws.OpCode(b[0] & 0x0f)
	h.Masked = b[1]&0x80 != 0
	n, minimal = 2, true
	switch short := b[1] & 0x7f; short {
	case 126:
		if len(b) < 4 {
			return h, 0, true
		}
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		n, minimal = 4, h.Length > 125
	case 127:
		if len(b) < 10 {
			return h, 0, true
		}
		long := binary.BigEndian.Uint64(b[2:])
		h.Length = int64(min(long, math.MaxInt64))
		n, minimal = 10, long > 0xffff
	default:
		h.Length = int64(short)
	}
	if h.Masked {
		if len(b) < n+4 {
			return h, 0, true
		}
		h.Mask = [4]byte(b[n:])
		n += 4
	}
	return h, n, minimal
}

// check applies RFC 6455, section 5, and the limits to a header.
func (c *Conn) check(h *ws.Header, minimal bool) *ProtocolError {
	state := ws.StateServerSide
	var size int64
	inMessage := c.in != nil && c.in.inMessage()
	if inMessage {
		state = state.Set(ws.StateFragmented)
		size = c.in.size
	}
	// RFC 7692, section 6: the bit may be set on the first frame of a message.
	packed := h.Rsv == rsv1 && (h.OpCode == ws.OpText || h.OpCode == ws.OpBinary) && c.is(isDeflating)
	if packed {
		h.Rsv = 0
	}
	if err := ws.CheckHeader(*h, state); err != nil {
		return &ProtocolError{codeProtocol, err.Error()}
	}
	if packed {
		h.Rsv = rsv1
	}
	if h.OpCode.IsControl() {
		if c.floods++; c.floods > maxControls {
			return &ProtocolError{codePolicy, "too many control frames"}
		}
	} else {
		most := max(c.t.opts.MaxMessage, c.t.opts.SkipMessage)
		if h.Length > most-size {
			return &ProtocolError{codeTooBig, "message is too large"}
		}
		if inMessage && h.Length < smallFragment && c.in.tooMany(c.t) {
			return &ProtocolError{codePolicy, "too many small fragments"}
		}
	}
	// Section 5.2: "the minimal number of bytes MUST be used to encode the length".
	if !minimal {
		return &ProtocolError{codeProtocol, "length is not in its shortest form"}
	}
	return nil
}

// leastBuffer is the least that a message is given room for which comes in pieces.
const leastBuffer = 128

// grow makes room for n more bytes, at most most in all. It follows the bytes that
// have come, never the length that was declared, and doubles: however many pieces
// they come in, what is copied is less than twice what is kept.
func grow(buf []byte, n int, most int64) []byte {
	need := len(buf) + n
	if need <= cap(buf) {
		return buf
	}
	size := max(min(int64(max(need, 2*cap(buf), leastBuffer)), most), int64(need))
	bigger := make([]byte, len(buf), size)
	copy(bigger, buf)
	return bigger
}

// Close codes of RFC 6455, section 7.4.1, that the transport uses itself.
const (
	codeNormal    = 1000
	codeGoingAway = 1001
	codeProtocol  = 1002
	codeNoStatus  = 1005
	codeAbnormal  = 1006
	codeBadData   = 1007
	codePolicy    = 1008
	codeTooBig    = 1009
	codeInternal  = 1011
	codeTryLater  = 1013
)

// validCloseCode tells whether a code may stand in a close frame: those registered
// for it and the ranges for libraries and applications (sections 7.4.1, 7.4.2).
func validCloseCode(code uint16) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}

// parseClose reads the body of a close frame (section 5.5.1). An empty body means
// 1005, as section 7.1.5 has it.
func parseClose(body []byte) (code uint16, bad *ProtocolError) {
	if len(body) == 0 {
		return codeNoStatus, nil
	}
	if len(body) == 1 {
		return 0, &ProtocolError{codeProtocol, "close frame with half a code"}
	}
	code = binary.BigEndian.Uint16(body)
	if !validCloseCode(code) {
		return 0, &ProtocolError{codeProtocol, "close code that may not be sent"}
	}
	if !utf8.Valid(body[2:]) {
		return 0, &ProtocolError{codeBadData, "close reason is not UTF-8"}
	}
	return code, nil
}

// appendClose appends a close frame. A code that may not be sent leaves it without
// a body; a reason is cut at a rune boundary to what a control frame can hold, and
// what of it is not UTF-8 replaced: peers must fail on that (section 5.5.1), and
// would not learn the code.
func appendClose(dst []byte, code uint16, reason string) []byte {
	if !validCloseCode(code) {
		return AppendHeader(dst, ws.OpClose, 0)
	}
	const most = ws.MaxControlFramePayloadSize - 2
	reason = cutText(strings.ToValidUTF8(cutText(reason, most), "\ufffd"), most)
	dst = AppendHeader(dst, ws.OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}

// cutText returns the first most bytes of s, less what of its last rune is in.
func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
