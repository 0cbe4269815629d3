package transport_test

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

type quiet struct{}

func (quiet) Message(*transport.Conn, []byte, bool) {}
func (quiet) TooLarge(*transport.Conn, int64)       {}
func (quiet) Writable(*transport.Conn)              {}
func (quiet) Closed(*transport.Conn, uint16, error) {}

// knock connects and returns the status of the answer.
func knock(t testing.TB, dial func() (net.Conn, error)) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := dial()
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, _ = conn.Write(transporttest.Request("/"))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	return conn, res
}

func TestMaxConnections(t *testing.T) {
	for _, engine := range []string{transport.EngineAuto, transport.EngineGoroutine} {
		for name, door := range map[string]func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc){
			"handler": serveHTTP, "listener": serveRaw,
		} {
			t.Run(engine+"/"+name, func(t *testing.T) {
				accept := grant(func(*transport.Conn) transport.Handler { return quiet{} })
				tr, dial := open(t, transport.Options{Engine: engine, MaxConnections: 2}, listenTCP, door, accept)
				first, second := connect(t, dial), connect(t, dial)
				defer second.Close()
				conn, res := knock(t, dial)
				require.Equal(t, 503, res.StatusCode)
				require.NotEmpty(t, res.Header.Get("Retry-After"))
				require.NoError(t, conn.Close())
				require.EqualValues(t, 1, tr.Stats().Rejected)
				require.Eventually(t, func() bool { return tr.Stats().Connections == 2 }, time.Minute, time.Millisecond)

				first.Close()
				require.Eventually(t, func() bool {
					conn, res := knock(t, dial)
					defer func() { _ = conn.Close() }()
					return res.StatusCode == 101
				}, time.Minute, 5*time.Millisecond, "the place of one that has gone is free")
			})
		}
	}
}
