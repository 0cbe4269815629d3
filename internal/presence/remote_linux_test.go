package presence

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// cpuTime is what the thread has used: others may keep the machine busy.
func cpuTime(t *testing.T) time.Duration {
	var ts unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
	return time.Duration(ts.Nano())
}

// TestPresenceOfManyIsNotQuadratic compares what n and 32n changes cost: where
// each looks through all others, that is 1,024 times as much.
func TestPresenceOfManyIsNotQuadratic(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b := newBoard(t, func(o *Options) { o.Peers = &Peers{Node: "self"} })
	comeAndGo := func(n int) time.Duration {
		r := b.room()
		came, left := make([]*names.Identity, n), make([]*names.Identity, n)
		for i := range n {
			came[i], left[i] = identity(fmt.Sprint("new", i)), identity(fmt.Sprint("old", i))
		}
		start := cpuTime(t)
		for i := range n {
			r.addNews(came[i], true)
			r.addNews(left[i], false)
		}
		return cpuTime(t) - start
	}
	elsewhere := func(n int) time.Duration {
		r := b.room()
		list := make([]Seat, n)
		for i := range list {
			id := fmt.Sprintf("u%07d", (i*7919)%n)
			list[i] = Seat{Node: "a", User: wire.User{ID: id, Name: id}}
		}
		start := cpuTime(t)
		r.merge(list, true)
		for i := range list {
			list[i].Gone = true
		}
		r.merge(list, false)
		require.Empty(t, r.people)
		return cpuTime(t) - start
	}
	for name, f := range map[string]func(int) time.Duration{"come and go": comeAndGo, "elsewhere": elsewhere} {
		best := func(n int) time.Duration {
			least := time.Hour
			for range 3 {
				least = min(least, f(n))
			}
			return least
		}
		small, large := best(1000), best(32_000)
		t.Logf("%s: %v for 1,000, %v for 32,000", name, small, large)
		require.Less(t, large, 400*small, name)
	}
}
