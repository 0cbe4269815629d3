package transport_test

import (
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

// While the writer of a connection is at it, a handful more is left to it, in order:
// what comes right behind a frame is not lost as if the peer did not read.
func TestWriterIsLeftAHandful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := transport.New(transport.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ln, dial := listenPipe(t)
		slow := &stubborn{calls: map[string]bool{"Write": true}, release: make(chan struct{})}
		var conn atomic.Pointer[transport.Conn]
		served := make(chan error, 1)
		go func() {
			served <- tr.Serve(wrapping{ln, func(c net.Conn) net.Conn { slow.Conn = c; return slow }},
				func(*http.Request) (u transport.Upgrade, _ func(*transport.Conn) transport.Handler, _ error) {
					return u, func(c *transport.Conn) transport.Handler { conn.Store(c); return transporttest.NewRecorder() }, nil
				})
		}()
		c := connect(t, dial)
		synctest.Wait()
		slow.on.Store(true)
		const n = 20
		frame := func(i int) []byte { return transport.AppendFrame(nil, ws.OpText, []byte(strconv.Itoa(i))) }
		for i := range n - 1 {
			require.Equal(t, 1, conn.Load().WriteFrames(frame(i), [][]byte{frame(i)}), "frame %d", i)
		}
		require.True(t, conn.Load().Signal(frame(n-1)))
		large := transport.AppendFrame(nil, ws.OpText, make([]byte, 2<<10))
		require.Zero(t, conn.Load().WriteFrames(large, [][]byte{large}), "that would be a queue")
		require.False(t, conn.Load().Signal(large))
		slow.on.Store(false)
		close(slow.release)
		for i := range n {
			p, err := c.NextMessage()
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(i), string(p))
		}
		c.Close()
		require.NoError(t, ln.Close())
		require.Error(t, <-served)
		require.NoError(t, tr.Shutdown(t.Context()))
	})
}
