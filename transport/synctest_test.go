package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

// TestBubble: over connections in memory everything runs under fake time, so that
// hosts can test their own timing. Default times, to the second.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := transport.New(transport.Options{})
		require.NoError(t, err)
		h := transporttest.NewRecorder()
		ln, dial := listenPipe(t)
		done := make(chan error, 1)
		go func() {
			done <- tr.Serve(ln, grant(func(*transport.Conn) transport.Handler { return h }))
		}()
		c := connect(t, dial)
		start := time.Now()
		var pinged time.Duration
		for {
			_ = c.Conn.SetReadDeadline(time.Time{})
			f, err := ws.ReadFrame(c.Conn)
			require.NoError(t, err)
			if f.Header.OpCode == ws.OpClose {
				break
			}
			require.Equal(t, ws.OpPing, f.Header.OpCode)
			pinged = time.Since(start)
		}
		require.InDelta(t, 25, pinged.Seconds(), 1)
		require.InDelta(t, 35, time.Since(start).Seconds(), 1)
		c.Close()
		require.Equal(t, transporttest.End{Code: 1001, Err: transport.ErrDead}, <-h.End)
		require.NoError(t, tr.Shutdown(t.Context()))
		require.ErrorIs(t, <-done, transport.ErrClosed)
	})
}
