package presence

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
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
	b := newBoard(t, func(o *Options) { o.Peers = &Peers{Node: "self"} })
	live := make([]*Room, rooms)
	for i := range live {
		live[i] = b.room()
	}
	before := liveHeap()
	for i, r := range live {
		for j := range members {
			n := i*members + j
			reply := fmt.Sprintf("node-%07d user-%05d User %05d%s", j%4, n, n, strings.Repeat(" ", 64))
			s := Seat{Node: reply[:12], User: wire.User{ID: reply[13:23], Name: reply[24:34]}}
			r.set(&s)
			r.news = nil // told
		}
	}
	each := float64(liveHeap()-before) / (rooms * members)
	t.Logf("%.0f bytes for each of %d", each, rooms*members)
	require.LessOrEqual(t, each, float64(limit))
	require.Equal(t, "User 00007", b.opt.Names.Known("user-00007").Name)
	runtime.KeepAlive(live)
}

func TestRoomsAreSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Room{}), uintptr(72), "there is one for each room")
	require.LessOrEqual(t, unsafe.Sizeof(person{}), uintptr(16), "there is one for each user in each room")
}
