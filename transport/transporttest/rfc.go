package transporttest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
)

// rfcCase is a stream of bytes and what must come of it.
type rfcCase struct {
	name   string
	rule   string // of RFC 6455, in our words
	stream []byte
	want   []Message
	pongs  []string
	code   uint16 // of the close frame; 0: the connection stays
}

func head(first, second byte, rest ...byte) []byte { return append([]byte{first, second}, rest...) }

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func text(s string) Message { return Message{Payload: s} }
func blob(s string) Message { return Message{Payload: s, Binary: true} }

func labels(format string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

func pings(format string, n int) (stream []byte) {
	for _, s := range labels(format, n) {
		stream = append(stream, Frame(true, ws.OpPing, []byte(s))...)
	}
	return stream
}

func rfcCases() []rfcCase {
	mask := [4]byte{1, 2, 3, 4}
	f := func(fin bool, op ws.OpCode, s string) []byte { return Frame(fin, op, []byte(s)) }
	raw := func(h ws.Header, s string) []byte { h.Length = int64(len(s)); return RawFrame(h, []byte(s)) }
	long := strings.Repeat("x", 70000)
	return []rfcCase{
		{name: "ten pings", rule: "5.5.2: each ping is answered where there is room", stream: pings("payload-%d", 10), pongs: labels("payload-%d", 10)},
		{name: "text", rule: "5.6: text frames carry UTF-8", stream: f(true, ws.OpText, "hello"), want: []Message{text("hello")}},
		{name: "binary", rule: "5.6: binary frames carry anything", stream: f(true, ws.OpBinary, "\xff\x00"), want: []Message{blob("\xff\x00")}},
		{name: "empty text", rule: "5.2: a payload may be empty", stream: f(true, ws.OpText, ""), want: []Message{text("")}},
		{name: "125 bytes", rule: "5.2: seven bits of length", stream: f(true, ws.OpText, long[:125]), want: []Message{text(long[:125])}},
		{name: "126 bytes", rule: "5.2: sixteen bits of length", stream: f(true, ws.OpText, long[:126]), want: []Message{text(long[:126])}},
		{name: "65535 bytes", rule: "5.2: sixteen bits of length", stream: f(true, ws.OpText, long[:65535]), want: []Message{text(long[:65535])}},
		{name: "65536 bytes", rule: "5.2: sixty-four bits of length", stream: f(true, ws.OpText, long[:65536]), want: []Message{text(long[:65536])}},
		{name: "zero mask", rule: "5.3: any mask will do", stream: raw(ws.Header{Fin: true, OpCode: ws.OpText, Masked: true}, "plain"), want: []Message{text("plain")}},
		{name: "two in one segment", rule: "5.2: frames need no gap", stream: cat(f(true, ws.OpText, "a"), f(true, ws.OpText, "b")), want: []Message{text("a"), text("b")}},
		{name: "fragments", rule: "5.4: fragments make one message", stream: cat(f(false, ws.OpText, "he"), f(false, ws.OpContinuation, "l"), f(true, ws.OpContinuation, "lo")), want: []Message{text("hello")}},
		{name: "empty fragments", rule: "5.4: a fragment may be empty", stream: cat(f(false, ws.OpBinary, ""), f(false, ws.OpContinuation, ""), f(true, ws.OpContinuation, "")), want: []Message{blob("")}},
		{name: "ping between fragments", rule: "5.4: control frames may come between fragments", stream: cat(f(false, ws.OpText, "he"), f(true, ws.OpPing, "now"), f(true, ws.OpContinuation, "llo")), want: []Message{text("hello")}, pongs: []string{"now"}},
		{name: "pong between fragments", rule: "5.5.3: a pong nobody asked for is ignored", stream: cat(f(false, ws.OpText, "he"), f(true, ws.OpPong, "?"), f(true, ws.OpContinuation, "llo")), want: []Message{text("hello")}},
		{name: "rune split by a fragment", rule: "8.1: UTF-8 is checked over the message", stream: cat(f(false, ws.OpText, "\xe2\x82"), f(true, ws.OpContinuation, "\xac")), want: []Message{text("€")}},
		{name: "ping", rule: "5.5.2: a ping is answered with its payload", stream: f(true, ws.OpPing, "abc"), pongs: []string{"abc"}},
		{name: "empty ping", rule: "5.5.2: a ping is answered with its payload", stream: f(true, ws.OpPing, ""), pongs: []string{""}},
		{name: "ten pings", rule: "5.5.3: the latest ping is answered", stream: cat(f(true, ws.OpPing, "1"), f(true, ws.OpPing, "2")), pongs: []string{"1", "2"}},
		{name: "largest ping", rule: "5.5: control frames carry up to 125 bytes", stream: f(true, ws.OpPing, long[:125]), pongs: []string{long[:125]}},

		{name: "no mask", rule: "5.1: an unmasked frame fails the connection", stream: raw(ws.Header{Fin: true, OpCode: ws.OpText}, "x"), code: 1002},
		{name: "rsv1", rule: "5.2: reserved bits are 0 without extension", stream: raw(ws.Header{Fin: true, Rsv: 4, OpCode: ws.OpText, Masked: true, Mask: mask}, "x"), code: 1002},
		{name: "rsv2", rule: "5.2: reserved bits are 0 without extension", stream: raw(ws.Header{Fin: true, Rsv: 2, OpCode: ws.OpText, Masked: true, Mask: mask}, "x"), code: 1002},
		{name: "rsv3", rule: "5.2: reserved bits are 0 without extension", stream: raw(ws.Header{Fin: true, Rsv: 1, OpCode: ws.OpPing, Masked: true, Mask: mask}, "x"), code: 1002},
		{name: "opcode 3", rule: "5.2: an unknown opcode fails the connection", stream: f(true, 3, "x"), code: 1002},
		{name: "opcode 7", rule: "5.2: an unknown opcode fails the connection", stream: f(true, 7, ""), code: 1002},
		{name: "opcode 11", rule: "5.2: an unknown opcode fails the connection", stream: f(true, 11, ""), code: 1002},
		{name: "opcode 15", rule: "5.2: an unknown opcode fails the connection", stream: f(true, 15, ""), code: 1002},
		{name: "continuation of nothing", rule: "5.4: a continuation needs a beginning", stream: f(true, ws.OpContinuation, "x"), code: 1002},
		{name: "continuation after the end", rule: "5.4: a continuation needs a beginning", stream: cat(f(false, ws.OpText, "a"), f(true, ws.OpContinuation, "b"), f(true, ws.OpContinuation, "c")), want: []Message{text("ab")}, code: 1002},
		{name: "interleaved messages", rule: "5.4: fragments of two messages do not mix", stream: cat(f(false, ws.OpText, "a"), f(true, ws.OpText, "b")), code: 1002},
		{name: "fragmented ping", rule: "5.5: control frames are not fragmented", stream: f(false, ws.OpPing, "x"), code: 1002},
		{name: "fragmented close", rule: "5.5: control frames are not fragmented", stream: f(false, ws.OpClose, ""), code: 1002},
		{name: "ping of 126 bytes", rule: "5.5: control frames carry up to 125 bytes", stream: f(true, ws.OpPing, long[:126]), code: 1002},
		{name: "close of 126 bytes", rule: "5.5: control frames carry up to 125 bytes", stream: f(true, ws.OpClose, long[:126]), code: 1002},
		{name: "wasteful 16-bit length", rule: "5.2: the shortest form of a length must be used", stream: cat(head(0x81, 0xfe, 0, 5, 0, 0, 0, 0), []byte("hello")), code: 1002},
		{name: "wasteful 64-bit length", rule: "5.2: the shortest form of a length must be used", stream: cat(head(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0), []byte("hello")), code: 1002},
		{name: "length 2^31", rule: "10.4: limits are kept before anything is allocated", stream: head(0x82, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0), code: 1009},
		{name: "length 2^62", rule: "10.4: limits are kept before anything is allocated", stream: head(0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), code: 1009},
		{name: "ping of 2^63 bytes", rule: "5.2: the first bit of a length is 0", stream: head(0x89, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), code: 1002},
		{name: "pong of 2^63 bytes", rule: "5.2: the first bit of a length is 0", stream: head(0x8a, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), code: 1002},
		{name: "close of 2^63 bytes", rule: "5.2: the first bit of a length is 0", stream: head(0x88, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), code: 1002},
		{name: "ping of 2^64-1 bytes", rule: "5.2: the first bit of a length is 0", stream: head(0x89, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), code: 1002},
		{name: "ping of 2^64-2 bytes", rule: "5.2: the first bit of a length is 0", stream: head(0x89, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0), code: 1002},
		{name: "close of 2^63-1 bytes", rule: "5.5: control frames carry up to 125 bytes", stream: head(0x88, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), code: 1002},
		{name: "pong of 2^63 bytes between fragments", rule: "5.2: the first bit of a length is 0", stream: cat(f(false, ws.OpText, "a"), head(0x8a, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), code: 1002},
		{name: "unmasked ping of 2^63 bytes", rule: "5.2: the first bit of a length is 0", stream: head(0x89, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0), code: 1002},
		{name: "opcode 11 of 2^63 bytes", rule: "5.2: an unknown opcode fails the connection", stream: head(0x8b, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), code: 1002},
		{name: "fragment of 2^63 bytes", rule: "10.4: limits hold for the sum", stream: cat(f(false, ws.OpBinary, "abc"), head(0x80, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), code: 1009},
		{name: "length 2^64-1", rule: "10.4: limits are kept before anything is allocated", stream: head(0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), code: 1009},
		{name: "length 2^63", rule: "10.4: limits are kept before anything is allocated", stream: head(0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), code: 1009},
		{name: "fragment of 2^63-1", rule: "10.4: limits hold for the sum", stream: cat(f(false, ws.OpBinary, "abc"), head(0x80, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)), code: 1009},

		{name: "bad UTF-8", rule: "8.1: text that is not UTF-8 fails the connection", stream: f(true, ws.OpText, "a\xffb"), code: 1007},
		{name: "bad UTF-8 in fragments", rule: "8.1: text that is not UTF-8 fails the connection", stream: cat(f(false, ws.OpText, "\xe2\x82"), f(true, ws.OpContinuation, "\x28")), code: 1007},
		{name: "truncated rune", rule: "8.1: text that is not UTF-8 fails the connection", stream: f(true, ws.OpText, "\xe2\x82"), code: 1007},
		{name: "surrogate", rule: "8.1: surrogates are not UTF-8", stream: f(true, ws.OpText, "\xed\xa0\x80"), code: 1007},
		{name: "overlong", rule: "8.1: overlong forms are not UTF-8", stream: f(true, ws.OpText, "\xc0\xaf"), code: 1007},

		{name: "close without code", rule: "7.1.5: a close may carry no code", stream: f(true, ws.OpClose, ""), code: 1005},
		{name: "close 1000", rule: "5.5.1: a close is answered with its code", stream: Frame(true, ws.OpClose, CloseBody(1000, "bye")), code: 1000},
		{name: "close 1001", rule: "7.4.1", stream: Frame(true, ws.OpClose, CloseBody(1001, "")), code: 1001},
		{name: "close 1007", rule: "7.4.1", stream: Frame(true, ws.OpClose, CloseBody(1007, "")), code: 1007},
		{name: "close 1012", rule: "7.4.1 and its registry", stream: Frame(true, ws.OpClose, CloseBody(1012, "")), code: 1012},
		{name: "close 1014", rule: "7.4.1 and its registry", stream: Frame(true, ws.OpClose, CloseBody(1014, "")), code: 1014},
		{name: "close 3000", rule: "7.4.2: for libraries", stream: Frame(true, ws.OpClose, CloseBody(3000, "")), code: 3000},
		{name: "close 4999", rule: "7.4.2: for applications", stream: Frame(true, ws.OpClose, CloseBody(4999, "")), code: 4999},
		{name: "close with half a code", rule: "5.5.1: a body begins with two bytes", stream: f(true, ws.OpClose, "x"), code: 1002},
		{name: "close 0", rule: "7.4.2: below 1000 is not used", stream: Frame(true, ws.OpClose, CloseBody(0, "")), code: 1002},
		{name: "close 999", rule: "7.4.2: below 1000 is not used", stream: Frame(true, ws.OpClose, CloseBody(999, "")), code: 1002},
		{name: "close 1004", rule: "7.4.1: reserved", stream: Frame(true, ws.OpClose, CloseBody(1004, "")), code: 1002},
		{name: "close 1005", rule: "7.4.1: must not be sent", stream: Frame(true, ws.OpClose, CloseBody(1005, "")), code: 1002},
		{name: "close 1006", rule: "7.4.1: must not be sent", stream: Frame(true, ws.OpClose, CloseBody(1006, "")), code: 1002},
		{name: "close 1015", rule: "7.4.1: must not be sent", stream: Frame(true, ws.OpClose, CloseBody(1015, "")), code: 1002},
		{name: "close 2000", rule: "7.4.2: reserved for the protocol", stream: Frame(true, ws.OpClose, CloseBody(2000, "")), code: 1002},
		{name: "close 5000", rule: "7.4.2: not defined", stream: Frame(true, ws.OpClose, CloseBody(5000, "")), code: 1002},
		{name: "close with bad reason", rule: "5.5.1: the reason is UTF-8", stream: Frame(true, ws.OpClose, CloseBody(1000, "\xff")), code: 1007},
		{name: "message behind close", rule: "5.5.1: nothing follows a close", stream: cat(Frame(true, ws.OpClose, CloseBody(1000, "")), f(true, ws.OpText, "late")), code: 1000},
		{name: "close between fragments", rule: "5.4: control frames may come between fragments", stream: cat(f(false, ws.OpText, "he"), Frame(true, ws.OpClose, CloseBody(1000, ""))), code: 1000},
	}
}

// rfc runs every case in one write, in the same one as the handshake, and byte by
// byte, all on one server.
func (s *suite) rfc(t *testing.T) {
	var recorders sync.Map // by path
	// All rows shake hands at once, over TLS too, and a busy machine takes its time.
	_, dial := s.start(t, transport.Options{HandshakeTimeout: patience}, func(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		return transport.Upgrade{}, func(*transport.Conn) transport.Handler {
			h := NewRecorder()
			recorders.Store(r.URL.Path, h)
			return h
		}, nil
	})
	connect := func(t *testing.T, path string, with []byte) *pair {
		conn, err := dial()
		require.NoError(t, err)
		client, err := Handshake(conn, append(Request(path), with...))
		require.NoError(t, err)
		t.Cleanup(client.Close)
		var h any
		require.Eventually(t, func() (ok bool) { h, ok = recorders.Load(path); return ok }, patience, time.Millisecond)
		return &pair{Client: client, t: t, h: h.(*Recorder)}
	}
	for i, tc := range rfcCases() {
		step := 1
		if len(tc.stream) > 1000 {
			step = 1021
		}
		for name, step := range map[string]int{"at once": len(tc.stream), "in pieces": step} {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				s.rfcCase(t, connect(t, fmt.Sprintf("/%d/%d", i, step), nil), tc, step)
			})
		}
		if len(tc.stream) > 1000 {
			continue // net/http reads no more than fits into its buffer
		}
		t.Run(tc.name+"/with the handshake", func(t *testing.T) {
			t.Parallel()
			p := connect(t, fmt.Sprintf("/%d/with", i), tc.stream)
			sent := tc
			sent.stream = nil
			s.rfcCase(t, p, sent, 1)
		})
	}
}

func (s *suite) rfcCase(t *testing.T, p *pair, tc rfcCase, step int) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		for rest := tc.stream; len(rest) > 0; {
			n := min(step, len(rest))
			if p.Write(rest[:n]) != nil {
				return // the server may close before the end of a bad stream
			}
			rest = rest[n:]
		}
	}()
	for _, want := range tc.want {
		require.Equal(t, want, p.next(), tc.rule)
	}
	for _, want := range tc.pongs {
		f, err := p.Next()
		require.NoError(t, err, tc.rule)
		require.Equal(t, ws.OpPong, f.Header.OpCode, tc.rule)
		require.Equal(t, want, string(f.Payload), tc.rule)
	}
	if tc.code == 0 {
		<-written
		require.NoError(t, p.Text("still here"))
		require.Equal(t, text("still here"), p.next(), tc.rule)
		return
	}
	require.Equal(t, tc.code, p.Client.End().Code, tc.rule)
	p.Close()
	<-written
	require.Equal(t, tc.code, p.ended().Code, tc.rule)
	None(t, p.h.Messages, "message after the close")
	p.h.Check(t)
}
