package transport

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
)

// idle is a Handler that does nothing.
type idle struct{}

func (idle) Message(*Conn, []byte, bool) {}
func (idle) TooLarge(*Conn, int64)       {}
func (idle) Writable(*Conn)              {}
func (idle) Closed(*Conn, uint16, error) {}

// BenchmarkParse is what a small message costs from the read buffer to the Handler.
func BenchmarkParse(b *testing.B) {
	c, _ := parserConn(b, Options{})
	c.h = idle{}
	c.clear(isBroken)
	frame := clientFrame(true, ws.OpText, bytes.Repeat([]byte("x"), 64), [4]byte{1, 2, 3, 4})
	buf := make([]byte, len(frame))
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, frame)
		c.feed(buf)
	}
}

// TestParseAllocs: parsing and handing on a message that came whole costs nothing.
func TestParseAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c, _ := parserConn(t, Options{})
	c.h = idle{}
	frame := clientFrame(true, ws.OpText, bytes.Repeat([]byte("x"), 64), [4]byte{1, 2, 3, 4})
	buf := make([]byte, len(frame))
	if n := testing.AllocsPerRun(1000, func() { copy(buf, frame); c.feed(buf) }); n != 0 {
		t.Errorf("%v allocations for a message", n)
	}
}
