package transporttest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
)

func (s *suite) limits(t *testing.T) {
	t.Run("too large is skipped and told", s.tooLarge)
	t.Run("far too large closes", s.farTooLarge)
	t.Run("small fragments are counted", s.endlessFragments)
	t.Run("fragments with something in them are not", s.honestFragments)
	t.Run("small fragments may take their time", s.slowFragments)
	t.Run("control frames are counted", s.controlFlood)
	t.Run("a message must come in whole", s.unfinished)
	t.Run("unfinished input is bounded", s.partialBytes)
	t.Run("the handshake has a budget", s.handshakeBudget)
}

func (s *suite) tooLarge(t *testing.T) {
	o := transport.Options{MaxMessage: 100, SkipMessage: 5000}
	p := s.open(t, o, nil)
	exact, over := strings.Repeat("x", 100), strings.Repeat("y", 101)
	require.NoError(t, p.Text(exact))
	require.Equal(t, text(exact), p.next())
	require.NoError(t, p.Text(over))
	require.EqualValues(t, 101, Wait(t, p.h.Large, "TooLarge"))
	// The same over fragments, with bytes that are not UTF-8: nobody will see them.
	require.NoError(t, p.Write(cat(
		Frame(false, ws.OpText, []byte(exact)),
		Frame(true, ws.OpPing, nil),
		Frame(false, ws.OpContinuation, []byte("\xff")),
		Frame(true, ws.OpContinuation, make([]byte, 4899)),
	)))
	require.EqualValues(t, 5000, Wait(t, p.h.Large, "TooLarge"))
	require.NoError(t, p.Text("next"))
	require.Equal(t, text("next"), p.next())
}

func (s *suite) farTooLarge(t *testing.T) {
	for name, o := range map[string]transport.Options{
		"beyond SkipMessage": {MaxMessage: 100, SkipMessage: 5000},
		"nothing skipped":    {MaxMessage: 5000, SkipMessage: 1},
	} {
		p := s.open(t, o, nil)
		// The header alone decides.
		go func() { _ = p.Write(Frame(true, ws.OpBinary, make([]byte, 5001))[:8]) }()
		require.EqualValues(t, 1009, p.Client.End().Code, name)
		p.Close()
		e := p.ended()
		require.EqualValues(t, 1009, e.Code, name)
		var bad *transport.ProtocolError
		require.ErrorAs(t, e.Err, &bad, name)
	}
}

func (s *suite) endlessFragments(t *testing.T) {
	p := s.open(t, transport.Options{MaxFragments: 10}, nil)
	stream := Frame(false, ws.OpText, nil)
	for i := range 9 {
		stream = append(stream, Frame(false, ws.OpContinuation, []byte("1234567890.....")[:15*(i%2)])...)
	}
	require.NoError(t, p.Write(cat(stream, Frame(true, ws.OpContinuation, nil))))
	require.Len(t, p.next().Payload, 4*15, "ten behind the first are allowed")
	go func() {
		_ = p.Write(cat(stream, bytes.Repeat(Frame(false, ws.OpContinuation, nil), 2000)))
	}()
	require.EqualValues(t, 1008, p.Client.End().Code, "any number is not")
}

// honestFragments: what has a payload is bounded by the size of the message alone.
func (s *suite) honestFragments(t *testing.T) {
	p := s.open(t, transport.Options{MaxMessage: 4 << 20}, nil)
	for piece, size := range map[int]int{16: 128 << 10, 66: 64 << 10, 64: 4 << 20} {
		content := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		stream := Fragments(ws.OpText, content, piece)
		sent := make(chan error, 1)
		go func() { sent <- p.Write(stream) }()
		got := p.next().Payload
		require.Equal(t, size, len(got))
		require.True(t, got == string(content), "in pieces of %d", piece)
		require.NoError(t, <-sent)
	}
}

// slowFragments: the count is one of each second.
func (s *suite) slowFragments(t *testing.T) {
	t.Parallel()
	p := s.open(t, transport.Options{MaxFragments: 5}, nil)
	require.NoError(t, p.Write(Frame(false, ws.OpText, []byte("x"))))
	for range 12 {
		<-time.After(250 * time.Millisecond)
		require.NoError(t, p.Write(Frame(false, ws.OpContinuation, []byte("x"))))
	}
	require.NoError(t, p.Write(Frame(true, ws.OpContinuation, nil)))
	require.Equal(t, text(strings.Repeat("x", 13)), p.next())
}

func (s *suite) controlFlood(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	var flood []byte
	for range 20 {
		flood = append(flood, Frame(true, ws.OpPong, nil)...)
	}
	go func() {
		for range 1000 {
			if p.Write(flood) != nil {
				return
			}
		}
	}()
	require.EqualValues(t, 1008, p.Client.End().Code)
	p.Close()
}

func (s *suite) unfinished(t *testing.T) {
	for name, stream := range map[string][]byte{
		"half a header":     {0x81},
		"half a payload":    Frame(true, ws.OpText, []byte("hello"))[:8],
		"half a message":    Frame(false, ws.OpText, []byte("hello")),
		"half a ping":       Frame(true, ws.OpPing, []byte("hello"))[:8],
		"pings do not help": cat(Frame(false, ws.OpText, nil), Frame(true, ws.OpPing, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick()
			o.PingInterval, o.DeadAfter = time.Minute, time.Hour
			p := s.open(t, o, nil)
			require.NoError(t, p.Write(stream))
			require.EqualValues(t, 1008, p.Client.End().Code)
			p.Close()
			require.EqualValues(t, 1008, p.ended().Code)
			require.Zero(t, p.tr.Stats().Partial)
		})
	}
}

func (s *suite) partialBytes(t *testing.T) {
	h := NewRecorder()
	o := transport.Options{Loops: 1, PartialBytes: 100_000, CloseTimeout: 100 * time.Millisecond}
	tr, dial := s.server(t, o, func(*transport.Conn) transport.Handler { return h })
	var clients []*Client
	for range 2 {
		conn, err := dial()
		require.NoError(t, err)
		c, err := Handshake(conn, Request("/"))
		require.NoError(t, err)
		defer c.Close()
		clients = append(clients, c)
		require.NoError(t, c.Write(Frame(true, ws.OpBinary, make([]byte, 65536))[:60_000]))
	}
	require.EqualValues(t, 1013, Wait(t, h.End, "Closed").Code, "the larger one goes")
	require.Less(t, tr.Stats().Partial, int64(100_000))
	for _, c := range clients {
		c.Close()
	}
	Wait(t, h.End, "Closed")
	require.Zero(t, tr.Stats().Partial)
}

func (s *suite) handshakeBudget(t *testing.T) {
	o := transport.Options{HandshakeTimeout: 200 * time.Millisecond}
	_, dial := s.server(t, o, func(*transport.Conn) transport.Handler { return NewRecorder() })
	var lines []string
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("X-%d: y", i))
	}
	for name, tc := range map[string]struct {
		request []byte
		want    int
	}{
		"lines": {Request("/", lines...), 431},
		"bytes": {Request("/", "X: "+strings.Repeat("y", 17<<10)), 431},
		"time":  {[]byte("GET / HTTP/1.1\r\nHost: te"), 408},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := dial()
			require.NoError(t, err)
			c, err := Handshake(conn, tc.request)
			if err == nil && c.Response.StatusCode == 101 {
				c.Close()
				t.Skip("net/http read this request, by its own limits")
			}
			if err != nil {
				return // net/http hangs up without an answer
			}
			require.Equal(t, tc.want, c.Response.StatusCode)
		})
	}
}
