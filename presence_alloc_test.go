package chat

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/directory"
)

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestPresenceAllocPerRemoteUser guards what a user on another server costs
// every server that shares a room with them. The hints are parts of one large
// reply, as a store may hand them out, which must not be kept alive.
func TestPresenceAllocPerRemoteUser(t *testing.T) {
	const rooms, members, limit = 3000, 20, 350 // all of them fit into what names are known by
	s := &Server{}
	s.users = directory.New[*session]()
	s.names = newNames(s.users, nil)
	s.cluster = &cluster{srv: s, node: "self"}
	live := make([]*liveRoom, rooms)
	for i := range live {
		live[i] = &liveRoom{srv: s, id: fmt.Sprint("room", i), others: &others{read: 1}}
	}
	before := liveHeap()
	for i, r := range live {
		for j := range members {
			n := i*members + j
			reply := fmt.Sprintf("node-%07d user-%05d User %05d%s", j%4, n, n, strings.Repeat(" ", 64))
			at := Attendance{Node: reply[:12], User: User{ID: reply[13:23], Name: reply[24:34]}}
			r.setAway(&at)
			r.here.news = nil // told
		}
	}
	each := float64(liveHeap()-before) / (rooms * members)
	t.Logf("%.0f bytes for each of %d", each, rooms*members)
	require.LessOrEqual(t, each, float64(limit))
	require.Equal(t, "User 00007", s.names.Known("user-00007").Name)
	runtime.KeepAlive(live)
}
