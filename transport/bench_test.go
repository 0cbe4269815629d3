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

// BenchmarkParseMany is the same for a message among many in one read.
func BenchmarkParseMany(b *testing.B) {
	const many = 256
	c, _ := parserConn(b, Options{})
	c.h = idle{}
	c.clear(isBroken)
	frames := bytes.Repeat(clientFrame(true, ws.OpText, bytes.Repeat([]byte("x"), 64), [4]byte{1, 2, 3, 4}), many)
	buf := make([]byte, len(frames))
	b.SetBytes(int64(len(frames)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, frames)
		c.feed(buf)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*many), "ns/frame")
}

func BenchmarkAppendFrame(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 128)
	var buf []byte
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendFrame(buf[:0], ws.OpText, payload)
	}
}

// TestAppendFrameAllocs: a buffer that is large enough is all that a frame needs.
func TestAppendFrameAllocs(t *testing.T) {
	payload := make([]byte, 70_000)
	buf := make([]byte, 0, len(payload)+maxHeader)
	for _, n := range []int{0, 125, 126, len(payload)} {
		if n := testing.AllocsPerRun(100, func() { AppendFrame(buf, ws.OpText, payload[:n]) }); n != 0 {
			t.Errorf("%v allocations for a frame", n)
		}
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
