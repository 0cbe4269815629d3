//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The opcodes of WebSocket frames, RFC 6455, section 5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// maxFrame is more than a server sends in one frame: a page of history.
const maxFrame = 1 << 20

// nextFrame takes one frame of a server off the front of b. n is how many bytes
// it has, 0 while it is not whole. Servers neither mask nor, here, fragment.
func nextFrame(b []byte) (opcode byte, payload []byte, n int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	if b[0]&0xf0 != 0x80 {
		return 0, nil, 0, fmt.Errorf("frame begins with %#x: fragmented, or with reserved bits", b[0])
	}
	if b[1]&0x80 != 0 {
		return 0, nil, 0, errors.New("masked frame from a server")
	}
	head, size := 2, int(b[1])
	switch size {
	case 126:
		if len(b) < 4 {
			return 0, nil, 0, nil
		}
		head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return 0, nil, 0, nil
		}
		long := binary.BigEndian.Uint64(b[2:])
		if long > maxFrame {
			return 0, nil, 0, fmt.Errorf("frame of %d bytes", long)
		}
		head, size = 10, int(long)
	}
	if len(b) < head+size {
		return 0, nil, 0, nil
	}
	return b[0] & 0x0f, b[head : head+size], head + size, nil
}

// mask is what this client masks with. RFC 6455 wants an unpredictable one
// against scripts in browsers; here there are none.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// appendFrame appends a client's frame.
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, 0x80|opcode)
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	dst = append(dst, mask[:]...)
	at := len(dst)
	dst = append(dst, payload...)
	unmask(dst[at:])
	return dst
}

// takeClientFrame takes one frame of a client off the front of b, whose payload
// it unmasks in place; n is 0 while it is not whole.
func takeClientFrame(b []byte) (opcode byte, payload []byte, n int) {
	if len(b) < 6 {
		return 0, nil, 0
	}
	head, size := 2, int(b[1]&0x7f)
	if size == 126 {
		head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
	}
	head += len(mask)
	if len(b) < head+size {
		return 0, nil, 0
	}
	payload = b[head : head+size]
	unmask(payload)
	return b[0] & 0x0f, payload, head + size
}

// unmask masks, too.
func unmask(b []byte) {
	for i := range b {
		b[i] ^= mask[i&3]
	}
}
