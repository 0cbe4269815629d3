package chat_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/storage/memory"
)

// BenchmarkAcked is messages of 64 sessions, acknowledged: each with one or with
// many outstanding, in rooms of their own or in one that nobody has joined, with
// and without middleware.
func BenchmarkAcked(b *testing.B) {
	through := []chat.Middleware{func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error { return next(ctx, cmd) }
	}}
	for _, rooms := range []int{64, 1} {
		for _, window := range []int{1, 32} {
			for name, mw := range map[string][]chat.Middleware{"plain": nil, "middleware": through} {
				b.Run(fmt.Sprintf("rooms=%d/outstanding=%d/%s", rooms, window, name), func(b *testing.B) {
					benchmarkAcked(b, rooms, window, mw)
				})
			}
		}
	}
}

func benchmarkAcked(b *testing.B, rooms, window int, mw []chat.Middleware) {
	const sessions = 64
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: chattest.TokenIsUser, Middleware: mw})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(ln) }()
	defer func() { _ = srv.Close(); <-served }()
	for i := range rooms {
		if _, err := srv.Room(fmt.Sprint("r", i)).Create(b.Context(), chat.RoomInfo{}); err != nil {
			b.Fatal(err)
		}
	}
	ack := []byte(`"ack"`)
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range sessions {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		dial := ws.Dialer{Protocols: []string{wire.Subprotocol}, Header: ws.HandshakeHeaderString("Authorization: Bearer u" + fmt.Sprint(i) + "\r\n")}
		if _, _, err := dial.Upgrade(conn, &url.URL{Scheme: "ws", Host: "x", Path: "/ws"}); err != nil {
			b.Fatal(err)
		}
		command := []byte(fmt.Sprintf(`{"type":"message","ref":"x","room":"r%d","content":"hello there, how are you?"}`, i%rooms))
		frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(command)))
		all.Go(func() {
			<-start
			out := 0
			in, tail := make([]byte, 64<<10), 0 // of the last read: not a whole type
			for {
				n := 0
				for out+n < window && left.Add(-1) >= 0 {
					n++
				}
				if n > 0 {
					if _, err := conn.Write(bytes.Repeat(frame, n)); err != nil {
						b.Error(err)
						return
					}
					out += n
				}
				if out == 0 {
					return
				}
				got, err := conn.Read(in[tail:])
				if err != nil {
					b.Error(err)
					return
				}
				got += tail
				out -= bytes.Count(in[:got], ack)
				tail = copy(in, in[max(0, got-len(ack)+1):got])
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	close(start)
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acked/s")
}
