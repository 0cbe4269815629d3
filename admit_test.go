package chat_test

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/transport/transporttest"
)

func TestFullServerRefuses(t *testing.T) {
	for name, limits := range map[string]chat.Limits{
		"in all": {Connections: 1}, "per address": {ConnectionsPerIP: 1}, "memory": {MemoryBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			throughDoors(t, func(t *testing.T, d doorway) {
				var asked atomic.Int32
				s := d.open(t, chat.Options{Limits: limits, Authenticate: func(*http.Request) (chat.User, error) {
					asked.Add(1)
					return chat.User{ID: "guest"}, nil
				}})
				if limits.MemoryBytes > 0 {
					s.requireFull()
					require.Zero(t, asked.Load(), "nobody asks who is refused")
					return
				}
				status, first := knockAt(t, s.addr)
				require.Equal(t, 101, status)
				before := asked.Load()
				s.requireFull()
				require.Equal(t, before, asked.Load(), "nobody asks who is refused")
				if limits.Connections > 0 {
					require.Equal(t, limits.Connections, s.Stats().MaxConnections)
				}
				require.NoError(t, first.Close())
				s.requireRoom()
			})
		})
	}
}

// requireFull knocks in vain.
func (s *venue) requireFull() {
	s.t.Helper()
	before := s.Stats().Rejected
	status, c := knockAt(s.t, s.addr)
	require.NoError(s.t, c.Close())
	require.Equal(s.t, 503, status)
	// Somebody who has gone without waiting for the answer may be refused now, too.
	require.Greater(s.t, s.Stats().Rejected, before)
}

// requireRoom waits until there is room for a connection.
func (s *venue) requireRoom() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		status, c := knockAt(s.t, s.addr)
		defer func() { _ = c.Close() }()
		return status == 101
	}, time.Minute, 5*time.Millisecond)
}

// knockAt returns the status of an upgrade, after checking what a refusal says.
func knockAt(t *testing.T, addr string) (int, net.Conn) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, _ = conn.Write(transporttest.Request("/chat/ws"))
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
