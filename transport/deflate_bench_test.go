package transport

import (
	"fmt"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

func TestInflateAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c, _ := deflatingConn(t, Options{})
	c.h = idle{}
	frame := packedFrame(true, ws.OpText, deflated(t, chatText(350), 6))
	buf := make([]byte, len(frame))
	n := testing.AllocsPerRun(1000, func() { copy(buf, frame); c.spent = 0; c.feed(buf) })
	require.Zero(t, n)
	require.Nil(t, c.in, "an idle connection holds nothing")
}

func TestPackAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	tr, err := New(Options{Deflate: true})
	require.NoError(t, err)
	frame := AppendFrame(nil, ws.OpText, chatText(350))
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() { tr.Pack(frame) }), 1.0, "the result")
}

// BenchmarkPack is what the second encoding of a frame costs, once for everybody.
func BenchmarkPack(b *testing.B) {
	tr, err := New(Options{Deflate: true})
	require.NoError(b, err)
	for _, size := range []int{350, 1 << 10, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			frame := AppendFrame(nil, ws.OpText, chatText(size))
			b.ReportAllocs()
			b.SetBytes(int64(size))
			var packed []byte
			for b.Loop() {
				packed = tr.Pack(frame)
			}
			b.ReportMetric(float64(len(frame)-len(packed)), "bytes-saved")
		})
	}
}

// emptyBlocks is a message of dynamic blocks with nothing in them: the most work that
// a compressed byte can make.
func emptyBlocks(size int) []byte {
	var bits []byte
	number := func(v, n int) {
		for i := range n {
			bits = append(bits, byte(v>>i&1))
		}
	}
	for len(bits) < 8*(size-32) {
		number(0, 1)
		number(2, 2)    // dynamic codes
		number(0, 5+5)  // of 257 literals and one distance
		number(18-4, 4) // for whose lengths there are 18 codes,
		number(0, 2*3)  // in the order of RFC 1951, section 3.2.7:
		number(1, 3)    // 18 has one bit,
		number(0, 14*3) //
		number(1, 3)    // and so has 1.
		number(1, 1)    // 256 literals without a code,
		number(138-11, 7)
		number(1, 1)
		number(118-11, 7)
		number(0, 1+1) // the end of a block and the distance with one bit
		number(0, 1)   // the end of the block
	}
	number(0, 3)
	for len(bits)%8 != 0 {
		number(0, 1)
	}
	out := make([]byte, len(bits)/8)
	for i, bit := range bits {
		out[i/8] |= bit << (i % 8)
	}
	return out
}

// BenchmarkInflate is what a compressed message costs from the read buffer to the
// Handler; the last ones are hostile.
func BenchmarkInflate(b *testing.B) {
	for _, bc := range []struct {
		name    string
		payload []byte
	}{
		{"350", deflated(b, chatText(350), 6)},
		{"4000", deflated(b, chatText(4000), 6)},
		{"bomb of 1 MiB", deflated(b, make([]byte, 1<<20-258), 9)},
		{"64 KiB of empty blocks", emptyBlocks(64 << 10)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			c, _ := deflatingConn(b, Options{})
			c.h = idle{}
			c.clear(isBroken)
			frame := packedFrame(true, ws.OpBinary, bc.payload)
			buf := make([]byte, len(frame))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, frame)
				c.spent = 0
				feedAll(c, buf)
			}
		})
	}
}
