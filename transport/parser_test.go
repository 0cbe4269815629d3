package transport

import (
	"bytes"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// collector keeps messages. It stands in for a host.
type collector struct {
	messages []string
	large    []int64
	closed   int
}

func (h *collector) Message(_ *Conn, p []byte, _ bool) { h.messages = append(h.messages, string(p)) }
func (h *collector) TooLarge(_ *Conn, size int64)      { h.large = append(h.large, size) }
func (h *collector) Writable(*Conn)                    {}
func (h *collector) Closed(*Conn, uint16, error)       { h.closed++ }

// parserConn is a connection that only parses: it can no longer write, so it needs
// no engine.
func parserConn(t testing.TB, o Options) (*Conn, *collector) {
	o.Loops = 1
	o.Logger = slog.New(slog.DiscardHandler)
	tr, err := New(o)
	require.NoError(t, err)
	c := tr.newConn(0)
	h := &collector{}
	c.h = h
	c.set(isBroken)
	c.end = &ending{}
	return c, h
}

func clientFrame(fin bool, op ws.OpCode, p []byte, mask [4]byte) []byte {
	var b bytes.Buffer
	_ = ws.WriteHeader(&b, ws.Header{Fin: fin, OpCode: op, Masked: true, Mask: mask, Length: int64(len(p))})
	n := b.Len()
	b.Write(p)
	ws.Cipher(b.Bytes()[n:], mask, 0)
	return b.Bytes()
}

// feedIn feeds a stream in the given pieces, as an engine would.
func feedIn(c *Conn, stream []byte, sizes func() int) {
	for len(stream) > 0 {
		n := min(max(sizes(), 1), len(stream))
		feedAll(c, bytes.Clone(stream[:n]))
		c.settle()
		stream = stream[n:]
	}
}

// feedAll feeds, and waits for what is inflated elsewhere, as an engine would.
func feedAll(c *Conn, p []byte) {
	rest := c.feed(p)
	for c.hasJob() {
		for c.is(isInflating) {
			runtime.Gosched()
		}
		rest = c.feed(rest)
	}
}

// TestSplits: however a stream is cut into reads, the same messages come out.
func TestSplits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var stream []byte
		var want []string
		var large []int64
		mask := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(rt, "mask"))
		for range rapid.IntRange(1, 8).Draw(rt, "messages") {
			p := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(rt, "payload")
			if len(p) > 300 {
				large = append(large, int64(len(p)))
			} else {
				want = append(want, string(p))
			}
			op := ws.OpBinary
			for {
				n := rapid.IntRange(0, len(p)).Draw(rt, "fragment")
				fin := n == len(p)
				stream = append(stream, clientFrame(fin, op, p[:n], mask)...)
				if fin {
					break
				}
				p, op = p[n:], ws.OpContinuation
				if rapid.Bool().Draw(rt, "control") {
					stream = append(stream, clientFrame(true, ws.OpPong, p[:min(len(p), 125)], mask)...)
				}
			}
		}
		c, h := parserConn(t, Options{MaxMessage: 300, SkipMessage: 400, MaxFragments: 1000})
		feedIn(c, stream, func() int { return rapid.IntRange(1, 200).Draw(rt, "read") })
		require.Equal(rt, want, h.messages)
		require.Equal(rt, large, h.large)
		require.Nil(rt, c.in, "nothing is kept of whole messages")
		require.Zero(rt, c.t.Stats().Partial)
	})
}

// FuzzParser: arbitrary bytes never panic, never make the parser hold more than a
// message, and mean the same however they are cut, and wherever they are inflated.
func FuzzParser(f *testing.F) {
	mask := [4]byte{1, 2, 3, 4}
	f.Add(clientFrame(true, ws.OpText, []byte("hello"), mask), uint64(1))
	f.Add(append(clientFrame(false, ws.OpBinary, make([]byte, 70), mask), clientFrame(true, ws.OpContinuation, make([]byte, 70), mask)...), uint64(2))
	f.Add([]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, uint64(3))
	f.Add(clientFrame(true, ws.OpClose, []byte{3, 0xe8}, mask), uint64(4))
	f.Add(append(packedFrame(true, ws.OpText, []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}), clientFrame(true, ws.OpText, []byte("behind"), mask)...), uint64(5))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		o := Options{MaxMessage: 1000, SkipMessage: 2000}
		deflates := seed&1 != 0
		o.Deflate = deflates
		whole, all := parserConn(t, o)
		if deflates {
			whole.set(isDeflating)
		}
		feedIn(whole, stream, func() int { return len(stream) })
		pieces, some := parserConn(t, o)
		if deflates {
			pieces.set(isDeflating)
			pieces.spent = hereCost
		}
		rnd := rand.New(rand.NewPCG(seed, 0))
		feedIn(pieces, stream, func() int {
			if held := pieces.t.Stats().Partial; held > inputSize+3*1000+125 {
				t.Fatalf("holds %d bytes", held)
			}
			return 1 + rnd.IntN(20)
		})
		require.Equal(t, all, some)
		require.Equal(t, whole.end.code, pieces.end.code)
		require.Equal(t, whole.in == nil, pieces.in == nil)
	})
}

// TestFragmentsAreCopiedOnce: however small the pieces are in which a message comes,
// what is copied of it is at most twice its size.
func TestFragmentsAreCopiedOnce(t *testing.T) {
	const size = 1 << 20
	for _, piece := range []int{16, 66, 1000, 60_000} {
		c, h := parserConn(t, Options{MaxMessage: size})
		copied, had := 0, 0
		for off := 0; off < size; off += piece {
			op := ws.OpContinuation
			if off == 0 {
				op = ws.OpBinary
			}
			end := min(off+piece, size)
			c.feed(clientFrame(end == size, op, make([]byte, end-off), [4]byte{}))
			if in := c.in; in != nil && cap(in.buf) != had {
				copied, had = copied+off, cap(in.buf)
				require.LessOrEqual(t, had, max(2*(end), leastBuffer), "room follows what has come")
			}
		}
		require.Len(t, h.messages, 1)
		require.Len(t, h.messages[0], size)
		require.Less(t, copied, 2*size, "in pieces of %d", piece)
	}
}

// TestRestIsCopiedOnce: a Handler that takes one message at a time costs no copy of
// all the others with each.
func TestRestIsCopiedOnce(t *testing.T) {
	stream := bytes.Repeat(clientFrame(true, ws.OpBinary, []byte("x"), [4]byte{}), 8000)
	var in input
	copied, rest, kept := 0, stream, []byte(nil)
	for len(rest) > 0 {
		in.keep(rest, kept)
		if len(kept) == 0 || &in.kept[0] != &kept[0] {
			copied += len(rest)
		}
		rest, kept = in.rest[7:], in.kept
		require.LessOrEqual(t, len(kept), max(2*len(in.rest), len(stream)))
	}
	require.LessOrEqual(t, copied, 2*len(stream))
}

// TestGrow: memory follows the bytes that came, not the length that was declared.
func TestGrow(t *testing.T) {
	c, _ := parserConn(t, Options{MaxMessage: 1 << 30})
	frame := clientFrame(true, ws.OpBinary, make([]byte, 100), [4]byte{})
	big := []byte{0x82, 0xff, 0, 0, 0, 0, 0x3f, 0, 0, 0, 0, 0, 0, 0}
	c.feed(append(big, frame...))
	c.settle()
	require.Less(t, c.t.Stats().Partial, int64(1000))
}

func TestOutput(t *testing.T) {
	var o output
	pong := func(s string) []byte { return AppendFrame(nil, ws.OpPong, []byte(s)) }
	o.push([]byte("abcdef"))
	o.pongs = mostPongs // of which there have been as many as may wait
	o.pushPong(pong("1"))
	o.pushPong(pong("2"))
	o.push([]byte("ghi"))
	require.Equal(t, 6+4-1+3, o.bytes)
	buf := make([]byte, joinBytes)
	require.Equal(t, "abcdef\x8a\x012ghi", string(o.next(buf)))
	o.pushPong(pong("3")) // the write that is in progress may cover the second
	o.advance(7)          // it ends inside the pong
	require.Equal(t, "\x012ghi\x8a\x013", string(o.next(buf)))
	o.advance(2)
	o.pushPong(pong("44"))
	require.Equal(t, "ghi\x8a\x0244", string(o.next(buf)))
	o.advance(7)
	require.Zero(t, o.bytes)
	require.Empty(t, o.next(buf))
}

func TestAppendClose(t *testing.T) {
	long := string(bytes.Repeat([]byte("€"), 50))
	f := appendClose(nil, 4000, long)
	require.Equal(t, 2+2+123, len(f))
	f = appendClose(nil, 4000, "x"+long)
	require.Equal(t, 2+2+1+120, len(f), "cut at a rune")
	code, bad := parseClose(f[2:])
	require.Nil(t, bad)
	require.EqualValues(t, 4000, code)
	require.Equal(t, []byte{0x88, 0}, appendClose(nil, 1005, "x"))
}

func TestTicksOf(t *testing.T) {
	for d, ticks := range map[time.Duration]uint32{0: 0, 1: 1, tick: 1, tick + 1: 2, tick << 30: 1 << 30, math.MaxInt64: 1 << 30} {
		require.Equal(t, ticks, ticksOf(d), "%v", d)
	}
}

func TestOptionsNamed(t *testing.T) {
	_, err := New(Options{Engine: "kqueue", Loops: -1, MaxMessage: -1, PingInterval: 9, DeadAfter: 8, StallCode: 5000})
	for _, name := range []string{"Engine", "Loops", "MaxMessage", "DeadAfter", "StallCode"} {
		require.ErrorContains(t, err, "Options."+name)
	}
}

// TestCloseReasonsAreUTF8: a peer must fail on a reason that is not (RFC 6455, section
// 8.1), and never learns the code then.
func TestCloseReasonsAreUTF8(t *testing.T) {
	for reason, want := range map[string]string{
		"no\xff\xfe":                      "no\ufffd",
		"é\xc3":                           "é\ufffd",
		strings.Repeat("\xffx", 100):      strings.Repeat("\ufffdx", 30) + "\ufffd",
		strings.Repeat("é", 100):          strings.Repeat("é", 61),
		"\xff" + strings.Repeat("é", 100): "\ufffd" + strings.Repeat("é", 60),
		strings.Repeat("\x80", 1000):      "",
	} {
		f := appendClose(nil, 4501, reason)
		require.Equal(t, byte(len(f)-2), f[1])
		require.LessOrEqual(t, len(f)-2, 125)
		code, bad := parseClose(f[2:])
		require.Nil(t, bad, "%q", reason)
		require.EqualValues(t, 4501, code)
		require.Equal(t, want, string(f[4:]))
	}
}
