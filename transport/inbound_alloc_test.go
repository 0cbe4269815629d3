package transport

import (
	"bytes"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// counter is a Handler that counts, and tells when it has counted to a number.
type counter struct {
	left atomic.Int64
	done chan struct{}
}

func (h *counter) Message(*Conn, []byte, bool) {
	if h.left.Add(-1) == 0 {
		h.done <- struct{}{}
	}
}
func (*counter) TooLarge(*Conn, int64)       {}
func (*counter) Writable(*Conn)              {}
func (*counter) Closed(*Conn, uint16, error) {}

// inbound is a client's connection to a Transport whose handler counts.
func inbound(tb testing.TB) (net.Conn, *counter) {
	h := &counter{done: make(chan struct{}, 1)}
	tr, err := New(Options{})
	require.NoError(tb, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	served := make(chan error, 1)
	go func() {
		served <- tr.Serve(ln, func(*http.Request) (Upgrade, func(*Conn) Handler, error) {
			return Upgrade{}, func(*Conn) Handler { return h }, nil
		})
	}()
	tb.Cleanup(func() {
		require.NoError(tb, tr.Close())
		require.ErrorIs(tb, <-served, ErrClosed)
	})
	conn, br, _, err := ws.Dial(tb.Context(), "ws://"+ln.Addr().String())
	require.NoError(tb, err)
	require.Nil(tb, br)
	tb.Cleanup(func() { _ = conn.Close() })
	return conn, h
}

// masked is a client's frame with a text of n bytes.
func masked(n int) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewTextFrame(bytes.Repeat([]byte("x"), n)), [4]byte{1, 2, 3, 4}))
}

// TestInboundAllocs: a message costs no allocation on its whole way from the
// socket to the Handler, one in a read or many.
func TestInboundAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	conn, h := inbound(t)
	for _, perWrite := range []int{1, 16} {
		const writes = 20
		batch := bytes.Repeat(masked(64), perWrite)
		n := testing.AllocsPerRun(200, func() {
			h.left.Store(int64(writes * perWrite))
			for range writes {
				if _, err := conn.Write(batch); err != nil {
					t.Fatal(err)
				}
			}
			<-h.done
		})
		require.Zero(t, n, "%d per write", perWrite)
	}
}

// BenchmarkInbound is a message's way over loopback, with the client's write.
func BenchmarkInbound(b *testing.B) {
	for _, perWrite := range []int{1, 16} {
		b.Run(map[int]string{1: "one per write", 16: "16 per write"}[perWrite], func(b *testing.B) {
			conn, h := inbound(b)
			const writes = 64
			batch := bytes.Repeat(masked(64), perWrite)
			b.ReportAllocs()
			for b.Loop() {
				h.left.Store(int64(writes * perWrite))
				for range writes {
					if _, err := conn.Write(batch); err != nil {
						b.Fatal(err)
					}
				}
				<-h.done
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*writes*perWrite), "ns/frame")
		})
	}
}
