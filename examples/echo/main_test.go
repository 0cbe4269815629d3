package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// engines runs a test against the program on each engine that exists here.
func engines(t *testing.T, test func(t *testing.T, c *transporttest.Client), lines ...string) {
	all := []string{transport.EngineGoroutine}
	if runtime.GOOS == "linux" {
		all = append(all, transport.EngineEpoll)
	}
	for _, engine := range all {
		t.Run(engine, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- run(ctx, ln, transport.Options{Engine: engine, MaxMessage: 16 << 20, Deflate: true}) }()
			t.Cleanup(func() {
				stop()
				require.NoError(t, transporttest.Wait(t, done, "end of run"))
			})
			conn, err := net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			c, err := transporttest.Handshake(conn, transporttest.Request("/", lines...))
			require.NoError(t, err)
			t.Cleanup(c.Close)
			test(t, c)
		})
	}
}

func TestEcho(t *testing.T) {
	engines(t, func(t *testing.T, c *transporttest.Client) {
		require.NoError(t, c.Text("héllo"))
		f, err := c.Next()
		require.NoError(t, err)
		require.Equal(t, ws.OpText, f.Header.OpCode)
		require.Equal(t, "héllo", string(f.Payload))

		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		sent := make(chan error, 1)
		go func() { sent <- c.Binary(big) }()
		f, err = c.Next()
		require.NoError(t, err)
		require.Equal(t, ws.OpBinary, f.Header.OpCode)
		require.True(t, bytes.Equal(big, f.Payload))
		require.NoError(t, <-sent)
	})
}

// TestDeflate: with -deflate a client that offers compression gets it, and what it
// sends plain is understood, too.
func TestDeflate(t *testing.T) {
	engines(t, func(t *testing.T, c *transporttest.Client) {
		require.Contains(t, c.Response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
		require.NoError(t, c.Text("plain"))
		m, err := c.NextMessage()
		require.NoError(t, err)
		require.Equal(t, "plain", string(m))
		// "Hello" as RFC 7692, section 7.2.3.1, has it.
		require.NoError(t, c.Write(transporttest.RawFrame(ws.Header{
			Fin: true, Rsv: ws.Rsv(true, false, false), OpCode: ws.OpText, Masked: true, Length: 7,
		}, []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00})))
		m, err = c.NextMessage()
		require.NoError(t, err)
		require.Equal(t, "Hello", string(m))
	}, "Sec-WebSocket-Extensions: permessage-deflate")
}

// TestBackpressure: a peer that does not read is soon kept from writing, and loses
// nothing once it reads.
func TestBackpressure(t *testing.T) {
	engines(t, func(t *testing.T, c *transporttest.Client) {
		message := bytes.Repeat([]byte("x"), 32<<10)
		frame := transporttest.Frame(true, ws.OpBinary, message)
		sent := 0
		var rest []byte
		for {
			_ = c.Conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := c.Conn.Write(frame)
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				rest = frame[n:]
				break
			}
			sent++
			require.Less(t, sent, 2000, "64 MiB: the server reads on")
		}
		finished := make(chan error, 1)
		go func() { finished <- c.Write(rest) }()
		for range sent + 1 {
			m, err := c.NextMessage()
			require.NoError(t, err)
			require.True(t, bytes.Equal(message, m))
		}
		require.NoError(t, <-finished)
	})
}
