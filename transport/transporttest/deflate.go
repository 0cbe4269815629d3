package transporttest

import (
	"bytes"
	"compress/flate"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
)

// deflateOffer is what browsers offer.
const deflateOffer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

func (s *suite) deflate(t *testing.T) {
	t.Run("granted if all agree", s.deflateGrant)
	t.Run("messages", s.deflateMessages)
	t.Run("frames", s.deflateFrames)
	t.Run("misuse", s.deflateMisuse)
	t.Run("too large is skipped and told", s.deflateTooLarge)
	t.Run("bombs delay nobody", s.deflateBombs)
	t.Run("messages keep their order", s.deflateOrder)
	t.Run("who has used up their budget can be closed", s.deflateEnds)
}

// packed is a message compressed as a client would.
func packed(s string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		panic(err) // only for unknown levels
	}
	_, _ = io.WriteString(w, s)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// packedFrame is a client's frame with the bit set that says compressed.
func packedFrame(fin bool, op ws.OpCode, payload []byte) []byte {
	h := ws.Header{Fin: fin, Rsv: ws.Rsv(true, false, false), OpCode: op, Masked: true, Mask: [4]byte{9, 8, 7, 6}, Length: int64(len(payload))}
	return RawFrame(h, payload)
}

// nextUnpacked reads a data frame and inflates it, if it is compressed.
func (c *Client) nextUnpacked() (payload string, wasPacked bool, err error) {
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return "", false, err
	}
	b := make([]byte, h.Length)
	if _, err = io.ReadFull(c.r, b); err != nil || h.Rsv == 0 {
		return string(b), false, err
	}
	r := flate.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	b, err = io.ReadAll(r)
	return string(b), true, err
}

// deflating starts a transport that grants permessage-deflate to whoever offers it.
func (s *suite) deflating(t *testing.T, o transport.Options) func() *pair {
	o.Deflate = true
	type opened struct {
		c *transport.Conn
		h *Recorder
	}
	conns := make(chan opened, 1)
	tr, dial := s.start(t, o, func(*http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		return transport.Upgrade{Deflate: true}, func(c *transport.Conn) transport.Handler {
			h := NewRecorder()
			conns <- opened{c, h}
			return h
		}, nil
	})
	return func() *pair {
		t.Helper()
		client := offer(t, dial, deflateOffer)
		t.Cleanup(client.Close)
		c := Wait(t, conns, "connection")
		t.Cleanup(func() { c.h.Check(t) })
		return &pair{Client: client, t: t, tr: tr, c: c.c, h: c.h}
	}
}

func offer(t *testing.T, dial func() (net.Conn, error), lines ...string) *Client {
	t.Helper()
	conn, err := dial()
	require.NoError(t, err)
	c, err := Handshake(conn, Request("/ws", lines...))
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
	return c
}

func (s *suite) deflateGrant(t *testing.T) {
	const granted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for name, tc := range map[string]struct {
		option, upgrade bool
		offers          []string
		want            string
	}{
		"all":         {true, true, []string{deflateOffer}, granted},
		"second line": {true, true, []string{"Sec-WebSocket-Extensions: other", deflateOffer}, granted},
		"second best": {true, true, []string{"sec-websocket-extensions: permessage-deflate; server_max_window_bits=10, permessage-deflate"}, granted},
		"no option":   {false, true, []string{deflateOffer}, ""},
		"not granted": {true, false, []string{deflateOffer}, ""},
		"not offered": {true, true, nil, ""},
		"declined":    {true, true, []string{"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := make(chan bool, 1)
			_, dial := s.start(t, transport.Options{Deflate: tc.option}, func(*http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
				u := transport.Upgrade{Deflate: tc.upgrade, Header: http.Header{"X-Granted": {"yes"}}}
				return u, func(c *transport.Conn) transport.Handler { told <- c.Deflates(); return NewRecorder() }, nil
			})
			c := offer(t, dial, tc.offers...)
			defer c.Close()
			require.Equal(t, tc.want, strings.Join(c.Response.Header.Values("Sec-WebSocket-Extensions"), "|"))
			require.Equal(t, "yes", c.Response.Header.Get("X-Granted"))
			require.Equal(t, tc.want != "", Wait(t, told, "connection"))
			if tc.want == "" {
				require.NoError(t, c.Write(packedFrame(true, ws.OpText, packed("x"))))
				require.EqualValues(t, 1002, c.End().Code)
			}
		})
	}
}

func (s *suite) deflateMessages(t *testing.T) {
	p := s.deflating(t, transport.Options{})()
	long := strings.Repeat("a long text, of which much is the same. ", 1000)
	body := packed(long)
	require.NoError(t, p.Write(cat(
		packedFrame(true, ws.OpText, packed("Hello")),
		packedFrame(true, ws.OpText, []byte{0}), // RFC 7692, section 7.2.3.6
		Frame(true, ws.OpText, []byte("plain")),
		packedFrame(true, ws.OpBinary, packed("\xff\x00")),
		packedFrame(false, ws.OpText, body[:10]),
		Frame(true, ws.OpPing, []byte("now")),
		Frame(false, ws.OpContinuation, nil),
		Frame(true, ws.OpContinuation, body[10:]),
		Frame(false, ws.OpText, []byte("pl")),
		Frame(true, ws.OpContinuation, []byte("ain")),
	)))
	for _, want := range []Message{text("Hello"), text(""), text("plain"), blob("\xff\x00"), text(long), text("plain")} {
		require.Equal(t, want, p.next())
	}
	f, err := p.Client.Next()
	require.NoError(t, err)
	require.Equal(t, ws.OpPong, f.Header.OpCode)
	require.Equal(t, "now", string(f.Payload))
}

func (s *suite) deflateFrames(t *testing.T) {
	p := s.deflating(t, transport.Options{})()
	long := strings.Repeat("what the server says over and over. ", 100)
	frame := transport.AppendFrame(nil, ws.OpText, []byte(long))
	small := transport.AppendFrame(nil, ws.OpText, []byte("small"))
	smaller := p.tr.Pack(frame)
	require.Less(t, len(smaller), len(frame)/4)
	require.Nil(t, p.tr.Pack(small))
	for _, f := range [][]byte{smaller, small, smaller, frame} {
		p.c.Send(f)
	}
	for _, want := range []struct {
		payload string
		packed  bool
	}{{long, true}, {"small", false}, {long, true}, {long, false}} {
		got, wasPacked, err := p.nextUnpacked()
		require.NoError(t, err)
		require.Equal(t, want.payload, got)
		require.Equal(t, want.packed, wasPacked)
	}
}

func (s *suite) deflateMisuse(t *testing.T) {
	open := s.deflating(t, transport.Options{MaxMessage: 1000, SkipMessage: 5000})
	for name, tc := range map[string]struct {
		stream []byte
		code   uint16
	}{
		"on a ping":         {packedFrame(true, ws.OpPing, nil), 1002},
		"on a continuation": {cat(packedFrame(false, ws.OpText, []byte{0}), packedFrame(true, ws.OpContinuation, nil)), 1002},
		"with rsv2":         {cat(head(0xe1, 0x80, 0, 0, 0, 0)), 1002},
		"corrupt":           {packedFrame(true, ws.OpText, []byte("not deflate")), 1007},
		"not UTF-8":         {packedFrame(true, ws.OpText, packed("\xff")), 1007},
		"far too large":     {packedFrame(true, ws.OpText, packed(strings.Repeat("x", 5001))), 1009},
	} {
		p := open()
		require.NoError(t, p.Write(tc.stream), name)
		require.Equal(t, tc.code, p.Client.End().Code, name)
		p.Close()
		e := p.ended()
		require.Equal(t, tc.code, e.Code, name)
		var bad *transport.ProtocolError
		require.ErrorAs(t, e.Err, &bad, name)
	}
}

func (s *suite) deflateTooLarge(t *testing.T) {
	p := s.deflating(t, transport.Options{MaxMessage: 1000, SkipMessage: 5000})()
	require.NoError(t, p.Write(cat(
		packedFrame(true, ws.OpText, packed(strings.Repeat("x", 5000))),
		packedFrame(true, ws.OpText, packed(strings.Repeat("y", 1000))),
	)))
	require.EqualValues(t, 5000, Wait(t, p.h.Large, "TooLarge"))
	require.Equal(t, text(strings.Repeat("y", 1000)), p.next())
}

// deflateBombs: while those of one connection are beyond its budget others are heard,
// and a pause in the midst of them holds.
func (s *suite) deflateBombs(t *testing.T) {
	open := s.deflating(t, transport.Options{Loops: 1})
	hostile, other := open(), open()
	const bombs = 12 // half a megabyte each: three seconds' worth, of which two come at once
	bomb := packedFrame(true, ws.OpBinary, packed(strings.Repeat("x", 500<<10)))
	sent := make(chan error, 1)
	go func() {
		sent <- hostile.Write(append(bytes.Repeat(bomb, bombs), Frame(true, ws.OpText, []byte("after"))...))
	}()
	Wait(t, hostile.h.Large, "TooLarge")
	hostile.c.Pause()
	hostile.c.Resume()
	require.NoError(t, other.Write(packedFrame(true, ws.OpText, packed("hello"))))
	require.Equal(t, text("hello"), other.next())
	None(t, hostile.h.Messages, "message before the budget has grown")
	for range bombs - 1 {
		require.EqualValues(t, 500<<10, Wait(t, hostile.h.Large, "TooLarge"))
	}
	require.Equal(t, text("after"), hostile.next())
	require.NoError(t, Wait(t, sent, "write"))
}

// deflateOrder: wherever a message is inflated, it comes in its place.
func (s *suite) deflateOrder(t *testing.T) {
	p := s.deflating(t, transport.Options{})()
	var stream []byte
	var want []Message
	for i := range 60 {
		content := strings.Repeat(string(rune('a'+i%26)), []int{10, 30_000, 3000, 60_000}[i%4])
		want = append(want, text(content), text("plain"))
		stream = append(stream, packedFrame(true, ws.OpText, packed(content))...)
		stream = append(stream, Frame(true, ws.OpText, []byte("plain"))...)
	}
	sent := make(chan error, 1)
	go func() { sent <- p.Write(stream) }()
	for i, m := range want {
		got := p.next()
		require.True(t, m == got, "message %d: %.20q", i, got.Payload)
	}
	require.NoError(t, <-sent)
	require.Eventually(t, func() bool { return p.tr.Stats().Partial == 0 }, patience, time.Millisecond)
}

// deflateEnds: what waits for its budget keeps nobody from ending the connection.
func (s *suite) deflateEnds(t *testing.T) {
	bomb := packedFrame(true, ws.OpBinary, packed(strings.Repeat("x", 1<<20)))
	for name, end := range map[string]func(p *pair){
		"Close": func(p *pair) { p.c.Close(4000, "enough"); require.EqualValues(t, 4000, p.Client.End().Code) },
		"Abort": func(p *pair) { p.c.Abort() },
		"Cut":   func(p *pair) { require.NoError(t, p.tr.Close()) },
	} {
		o := quick()
		o.PingInterval, o.DeadAfter = time.Minute, time.Hour
		p := s.deflating(t, o)()
		sent := make(chan struct{})
		go func() { defer close(sent); _ = p.Write(bytes.Repeat(bomb, 100)) }()
		for range 4 { // then the budget is used up
			Wait(t, p.h.Large, name)
		}
		end(p)
		p.Close()
		p.ended()
		<-sent
	}
}
