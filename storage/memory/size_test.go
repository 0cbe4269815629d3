package memory_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
)

// heap is what is in use after a full collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestIdleRoomIsSmall(t *testing.T) {
	const n = 10_000
	s := memory.New()
	before := heap()
	for i := range n {
		room(t, s, fmt.Sprint("tenant/room-", i))
	}
	each := (heap() - before) / n
	t.Logf("an empty room takes %d bytes", each)
	require.Less(t, each, int64(1024))
	runtime.KeepAlive(s)
}

func TestTrimmedMessagesAreReleased(t *testing.T) {
	s := memory.NewWith(memory.Options{MaxMessages: 100})
	room(t, s, "a")
	before := heap()
	for range 20_000 {
		c := message("")
		c.Message.Content = strings.Repeat("x", 1000)
		one(t, s, "a", c)
	}
	grown := heap() - before
	t.Logf("100 of 20,000 messages of 1,000 bytes take %d bytes", grown)
	require.Less(t, grown, int64(400_000))
	require.Equal(t, memory.Kept{Messages: 100, IDs: 100, Log: 101}, s.Kept("a"))
	runtime.KeepAlive(s)
}

func TestRemovedRoomIsReleased(t *testing.T) {
	s := memory.New()
	before := heap()
	for i := range 100 {
		key := fmt.Sprint(i)
		room(t, s, key)
		for range 100 {
			one(t, s, key, message("n"+fmt.Sprint(ids)))
		}
		require.NoError(t, s.RemoveRoom(t.Context(), key))
	}
	require.Less(t, heap()-before, int64(200_000))
	runtime.KeepAlive(s)
}

func TestAppendAllocatesLittle(t *testing.T) {
	s := memory.New()
	room(t, s, "a")
	changes := make([]chat.Change, 3000)
	for i := range changes {
		changes[i] = message(fmt.Sprint(i))
	}
	i := 0
	allocs := testing.AllocsPerRun(2000, func() {
		if _, err := s.Append(t.Context(), "a", chat.Position{}, changes[i:i+1]); err != nil {
			t.Error(err)
		}
		i++
	})
	require.LessOrEqual(t, allocs, 3.0, "the results, the message, and a share of growing")
}
