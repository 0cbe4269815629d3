package chat_test

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/transport/transporttest"
)

func TestFullServerRefuses(t *testing.T) {
	for name, limits := range map[string]chat.Limits{
		"in all": {Connections: 1}, "per address": {ConnectionsPerIP: 1}, "memory": {MemoryBytes: 1},
	} {
		for _, engine := range []string{"", "goroutine"} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: auth.Anonymous(), Limits: limits, Engine: engine})
				require.NoError(t, err)
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				done := make(chan error, 1)
				go func() { done <- srv.Serve(ln) }()
				defer func() {
					require.NoError(t, srv.Close())
					require.ErrorIs(t, <-done, chat.ErrServerClosed)
				}()

				status, first := knockAt(t, ln.Addr().String())
				if limits.MemoryBytes == 0 {
					require.Equal(t, 101, status)
					status, second := knockAt(t, ln.Addr().String())
					require.Equal(t, 503, status)
					require.NoError(t, second.Close())
				} else {
					require.Equal(t, 503, status)
				}
				require.EqualValues(t, 1, srv.Stats().Rejected)
				require.NoError(t, first.Close())
				if limits.MemoryBytes > 0 {
					return
				}
				require.Eventually(t, func() bool {
					status, c := knockAt(t, ln.Addr().String())
					defer func() { _ = c.Close() }()
					return status == 101
				}, 5*time.Second, 5*time.Millisecond)
			})
		}
	}
}

// knockAt returns the status of an upgrade, after checking what a refusal says.
func knockAt(t *testing.T, addr string) (int, net.Conn) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, _ = conn.Write(transporttest.Request("/ws"))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	if res.StatusCode != 101 {
		require.Equal(t, "2", res.Header.Get("Retry-After"))
		var e map[string]any
		require.NoError(t, json.NewDecoder(res.Body).Decode(&e))
		if inner, ok := e["error"].(map[string]any); ok {
			e = inner
		}
		require.Equal(t, "unavailable", e["code"])
		require.EqualValues(t, 2000, e["retry_after_ms"])
	}
	return res.StatusCode, conn
}
