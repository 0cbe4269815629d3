package transport

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// packedFrame is a client's frame of a compressed message.
func packedFrame(fin bool, op ws.OpCode, p []byte) []byte {
	f := clientFrame(fin, op, p, [4]byte{1, 2, 3, 4})
	f[0] |= packedBit
	return f
}

// deflated is a payload compressed at a level, as a client would.
func deflated(tb testing.TB, p []byte, level int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	require.NoError(tb, err)
	_, _ = w.Write(p)
	require.NoError(tb, w.Flush())
	return bytes.TrimSuffix(b.Bytes(), []byte(deflateTail))
}

// deflatingConn is a connection that only parses, compressed messages too.
func deflatingConn(t testing.TB, o Options) (*Conn, *collector) {
	o.Deflate = true
	c, h := parserConn(t, o)
	c.set(isDeflating)
	return c, h
}

// RFC 7692, section 7.2.3.
func TestInflateExamples(t *testing.T) {
	hello := []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}
	for name, tc := range map[string]struct {
		packed []byte
		want   string
	}{
		"7.2.3.1 one block":          {hello, "Hello"},
		"7.2.3.2 shared window, new": {hello, "Hello"},
		"7.2.3.3 no compression":     {[]byte{0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00}, "Hello"},
		"7.2.3.4 final block":        {[]byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00}, "Hello"},
		"7.2.3.5 two blocks":         {[]byte{0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00}, "Hello"},
		"7.2.3.6 empty":              {[]byte{0x00}, ""},
		"final block and no more":    {[]byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}, "Hello"},
		"two final blocks":           {append([]byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}, hello...), "HelloHello"},
	} {
		t.Run(name, func(t *testing.T) {
			c, h := deflatingConn(t, Options{})
			c.feed(packedFrame(true, ws.OpText, tc.packed))
			// The same in fragments with a ping between them.
			stream := packedFrame(false, ws.OpText, tc.packed[:1])
			stream = append(stream, clientFrame(true, ws.OpPing, nil, [4]byte{})...)
			stream = append(stream, clientFrame(true, ws.OpContinuation, tc.packed[1:], [4]byte{5, 6, 7, 8})...)
			c.feed(stream)
			require.Equal(t, []string{tc.want, tc.want}, h.messages)
			require.Nil(t, c.in)
		})
	}
}

func TestInflateRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		stream []byte
		code   uint16
	}{
		"garbage":              {packedFrame(true, ws.OpText, []byte{0xff, 0xff, 0xff}), 1007},
		"nothing":              {packedFrame(true, ws.OpText, nil), 1007},
		"a cut stream":         {packedFrame(true, ws.OpBinary, deflated(t, bytes.Repeat([]byte("abcdefgh"), 40), 6)[:5]), 1007},
		"endless finals":       {packedFrame(true, ws.OpBinary, bytes.Repeat([]byte{0x03, 0x00}, 100)), 1007},
		"not UTF-8":            {packedFrame(true, ws.OpText, deflated(t, []byte("\xff\xfe"), 6)), 1007},
		"rsv1 on a ping":       {packedFrame(true, ws.OpPing, nil), 1002},
		"rsv1 on a close":      {packedFrame(true, ws.OpClose, nil), 1002},
		"rsv2":                 {append([]byte{0xa1}, packedFrame(true, ws.OpText, []byte{0})[1:]...), 1002},
		"rsv1 on a fragment":   {append(packedFrame(false, ws.OpText, []byte{0}), packedFrame(true, ws.OpContinuation, nil)...), 1002},
		"rsv1 in the middle":   {append(clientFrame(false, ws.OpText, nil, [4]byte{}), packedFrame(true, ws.OpContinuation, nil)...), 1002},
		"beyond SkipMessage":   {packedFrame(true, ws.OpBinary, deflated(t, make([]byte, 5001), 9)), 1009},
		"far beyond":           {packedFrame(true, ws.OpBinary, deflated(t, make([]byte, 4<<20), 1)), 1009},
		"compressed too large": {packedFrame(true, ws.OpBinary, make([]byte, 5001)), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			c, h := deflatingConn(t, Options{MaxMessage: 1000, SkipMessage: 5000})
			if name == "far beyond" {
				c.t.opts.MaxMessage, c.t.opts.SkipMessage = 100<<10, 1<<20
			}
			c.end = nil
			feedAll(c, tc.stream)
			require.Empty(t, h.messages)
			require.NotNil(t, c.end)
			require.Equal(t, tc.code, c.end.code)
			var bad *ProtocolError
			require.ErrorAs(t, c.end.err, &bad)
		})
	}
	c, _ := parserConn(t, Options{Deflate: true})
	c.end = nil
	c.feed(packedFrame(true, ws.OpText, []byte{0}))
	require.EqualValues(t, 1002, c.end.code, "rsv1 where nothing was granted")
}

// What is too large but may be skipped is told by its inflated size, and nothing of
// it beyond MaxMessage is held.
func TestInflateTooLarge(t *testing.T) {
	c, h := deflatingConn(t, Options{MaxMessage: 1000, SkipMessage: 5000})
	for _, size := range []int{1000, 1001, 5000} {
		feedAll(c, packedFrame(true, ws.OpBinary, deflated(t, make([]byte, size), 9)))
	}
	require.Equal(t, []int64{1001, 5000}, h.large)
	require.Len(t, h.messages, 1)
	f := newInflater()
	size, err := f.inflate(deflated(t, make([]byte, 4<<20), 1), 1000, 5000)
	require.ErrorIs(t, err, errInflatesTooFar)
	require.LessOrEqual(t, size, int64(5000+len(f.spill)))
	require.LessOrEqual(t, cap(f.out), 1000)
}

// What is inflated where it is read is little, and bounded for each second; the rest
// goes elsewhere, and nothing gets out of order.
func TestInflateHere(t *testing.T) {
	c, h := deflatingConn(t, Options{MaxMessage: 32 << 10, SkipMessage: 64 << 10})
	defer func() { require.NoError(t, c.t.Close()) }()
	frame := func(size int) []byte { return packedFrame(true, ws.OpBinary, deflated(t, make([]byte, size), 9)) }
	require.Empty(t, c.feed(frame(hereOut)))
	require.False(t, c.hasJob(), "little")
	require.Empty(t, c.feed(frame(hereOut+1)))
	require.True(t, c.hasJob(), "more")
	feedAll(c, nil)
	require.Empty(t, c.feed(packedFrame(true, ws.OpBinary, emptyBlocks(hereIn+100))))
	require.True(t, c.hasJob(), "much to read")
	feedAll(c, nil)
	require.Len(t, h.messages, 3)

	here := 0
	for ; !c.hasJob(); here++ {
		require.Less(t, here, 1000)
		rest := c.feed(append(frame(4000), clientFrame(true, ws.OpBinary, fmt.Append(nil, here), [4]byte{})...))
		require.Equal(t, c.hasJob(), len(rest) > 0, "what follows waits")
		if c.hasJob() {
			feedAll(c, rest)
			break
		}
	}
	require.Less(t, here*4000, 300<<10)
	require.Equal(t, fmt.Sprint(here), h.messages[len(h.messages)-1])
	c.hear(c.t.ticks() + 200)
	require.Empty(t, c.feed(frame(hereOut)))
	require.False(t, c.hasJob(), "the next second has a budget of its own")
}

func TestOffers(t *testing.T) {
	const granted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for _, tc := range []struct{ offer, want string }{
		{"permessage-deflate", granted},
		{"Permessage-Deflate", granted},
		{"permessage-deflate; client_max_window_bits", granted},
		{"permessage-deflate; client_max_window_bits=8", granted},
		{`permessage-deflate; client_max_window_bits="1\5"`, granted},
		{"permessage-deflate;server_no_context_takeover;client_no_context_takeover", granted},
		{"permessage-deflate; server_max_window_bits=15", granted + "; server_max_window_bits=15"},
		{`permessage-deflate; server_max_window_bits="15"`, granted + "; server_max_window_bits=15"},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", granted},
		{"x-webkit-deflate-frame, permessage-deflate", granted},
		{`x; a="permessage-deflate, \"", permessage-deflate`, granted},
		{"permessage-deflate; unknown, , permessage-deflate; client_max_window_bits", granted},

		{"", ""},
		{"permessage-bzip2", ""},
		{"permessage-deflate; server_max_window_bits=14", ""},
		{"permessage-deflate; server_max_window_bits", ""},
		{"permessage-deflate; server_max_window_bits=", ""},
		{"permessage-deflate; server_max_window_bits=16", ""},
		{"permessage-deflate; server_max_window_bits=015", ""},
		{"permessage-deflate; client_max_window_bits=7", ""},
		{"permessage-deflate; client_max_window_bits=16", ""},
		{"permessage-deflate; client_max_window_bits=09", ""},
		{"permessage-deflate; client_max_window_bits=", ""},
		{`permessage-deflate; client_max_window_bits=""`, ""},
		{`permessage-deflate; client_max_window_bits="15`, ""},
		{`permessage-deflate; client_max_window_bits="15\"`, ""},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits=15", ""},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		{"permessage-deflate; server_no_context_takeover=1", ""},
		{"permessage-deflate; client_no_context_takeover=true", ""},
		{"permessage-deflate; mux", ""},
		{"permessage-deflate;", ""},
		{"permessage-deflate;;client_max_window_bits", ""},
		{"permessage-deflate; = 15", ""},
		{"permessage-deflate client_max_window_bits", ""},
		{"permessage deflate", ""},
		{`"permessage-deflate"`, ""},
	} {
		require.Equal(t, tc.want, acceptDeflate([]string{tc.offer}), tc.offer)
	}
	require.Equal(t, granted, acceptDeflate([]string{"permessage-deflate; server_max_window_bits=9", "permessage-deflate"}))
}

// FuzzOffer: whatever is offered, what is granted can be kept.
func FuzzOffer(f *testing.F) {
	for _, s := range []string{"permessage-deflate; client_max_window_bits", `a; b="c\",", permessage-deflate`, "permessage-deflate; server_max_window_bits=15"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, offer string) {
		granted := acceptDeflate([]string{offer})
		if granted == "" {
			return
		}
		require.Contains(t, strings.ToLower(offer), deflateName)
		require.Equal(t, granted, acceptDeflate([]string{granted}), "what is granted would be granted again, or more")
		require.NotContains(t, granted, clientMaxWindowBits)
	})
}

// FuzzInflate: arbitrary bytes never panic, never yield more than they may, and mean
// what compress/flate alone says.
func FuzzInflate(f *testing.F) {
	f.Add([]byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00})
	f.Add([]byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00})
	f.Add(deflated(f, bytes.Repeat([]byte("abc"), 5000), 9))
	f.Fuzz(func(t *testing.T, packed []byte) {
		const most, skip = 1000, 3000
		in := newInflater()
		size, err := in.inflate(packed, most, skip)
		require.LessOrEqual(t, cap(in.out), most)
		all := append(bytes.Clone(packed), deflateTail+deflateEnd...)
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(all)), skip+1))
		switch {
		case err != nil:
		case wantErr != nil:
			t.Fatalf("took what flate refuses with %v", wantErr)
		case size <= most:
			require.True(t, bytes.HasPrefix(in.out, want[:min(len(want), most)]))
			require.EqualValues(t, size, len(in.out))
		}
		again := newInflater()
		size2, err2 := again.inflate(packed, most, skip)
		require.Equal(t, size, size2)
		require.Equal(t, err == nil, err2 == nil)
	})
}

// chatText is about as compressible as the frames of a chat.
func chatText(size int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, `{"type":"message","id":"01JD%08X%08X","room":"general","seq":%d,"rev":%d,"user":{"id":"u%d","name":"Alice Example"},`+
			`"content":"the deploy went through, and latency is back to where it was before %d","created_at":"2026-11-22T10:11:12.%03dZ"}`,
			rnd.Uint32(), rnd.Uint32(), i, i+100, rnd.IntN(1e6), rnd.IntN(1e9), rnd.IntN(1000))
	}
	return b[:size]
}

func TestPack(t *testing.T) {
	tr, err := New(Options{Deflate: true, Loops: 1})
	require.NoError(t, err)
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	require.Nil(t, tr.Pack(AppendFrame(nil, ws.OpText, chatText(packMin-1))), "small")
	require.Nil(t, tr.Pack(AppendFrame(nil, ws.OpBinary, noise)), "cannot get smaller")
	require.Nil(t, tr.Pack(AppendFrame(nil, ws.OpPing, chatText(packMin))), "not a message")
	require.Nil(t, tr.Pack(nil))
	in := newInflater()
	for _, size := range []int{packMin, 350, 1000, 70_000, 1 << 20} {
		frame := AppendFrame(nil, ws.OpText, chatText(size))
		packed := tr.Pack(frame)
		require.Less(t, len(packed), len(frame))
		require.Nil(t, tr.Pack(packed), "packed already")
		h, n, minimal := parseHeader(packed)
		require.Equal(t, ws.Header{Fin: true, Rsv: rsv1, OpCode: ws.OpText, Length: int64(len(packed) - n)}, h)
		require.True(t, minimal)
		_, err := in.inflate(packed[n:], 2<<20, 2<<20)
		require.NoError(t, err)
		require.Equal(t, frame[len(frame)-size:], in.out)
	}
}
