package transport

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gobwas/ws"
)

// BenchmarkFragments is what the parser takes for a message in pieces, beside the same
// in one frame, read 64 KiB at a time.
func BenchmarkFragments(b *testing.B) {
	for _, bc := range []struct{ size, pieces int }{
		{64 << 10, 1}, {64 << 10, 993}, {4 << 20, 1}, {4 << 20, 65536},
	} {
		b.Run(fmt.Sprintf("size=%d/frames=%d", bc.size, bc.pieces), func(b *testing.B) {
			var stream []byte
			piece := (bc.size + bc.pieces - 1) / bc.pieces
			for off := 0; off < bc.size; off += piece {
				op := ws.OpContinuation
				if off == 0 {
					op = ws.OpBinary
				}
				end := min(off+piece, bc.size)
				stream = append(stream, clientFrame(end == bc.size, op, make([]byte, end-off), [4]byte{1, 2, 3, 4})...)
			}
			c, _ := parserConn(b, Options{MaxMessage: 4 << 20, SkipMessage: 1})
			c.h = ignore{}
			buf := make([]byte, joinBytes)
			b.SetBytes(int64(bc.size))
			b.ReportAllocs()
			for b.Loop() {
				for r := bytes.NewReader(stream); r.Len() > 0; {
					n, _ := r.Read(buf)
					c.feed(buf[:n])
				}
			}
		})
	}
}

// ignore is a Handler that does nothing.
type ignore struct{}

func (ignore) Message(*Conn, []byte, bool) {}
func (ignore) TooLarge(*Conn, int64)       {}
func (ignore) Writable(*Conn)              {}
func (ignore) Closed(*Conn, uint16, error) {}
