//go:build linux

package main

import (
	"bytes"

	"github.com/gabblehq/chat/internal/wire"
)

// decoded remembers the newest messages that have been decoded, by position.
// All members of a room get the same bytes: what equals a decoded frame from
// end to end says the same, and comparing costs a tenth of decoding. With
// -decode once the clients can so take more than they could decode; a real
// client decodes each frame, and so does this one unless told otherwise.
type decoded [maxWindow]struct {
	payload []byte
	peeked  wire.Peeked
}

// find returns what the payload says if it is the message at the position and
// has been decoded for somebody else.
func (d *decoded) find(rev int64, payload []byte) *wire.Peeked {
	e := &d[rev%maxWindow]
	if e.peeked.Rev != rev || !bytes.Equal(e.payload, payload) {
		return nil
	}
	return &e.peeked
}

// keep remembers a message that has been decoded and found in order.
func (d *decoded) keep(rev int64, payload []byte) {
	e := &d[rev%maxWindow]
	e.payload = append(e.payload[:0], payload...)
	e.peeked, _ = wire.Peek(e.payload) // once more, to point into what is kept
}
