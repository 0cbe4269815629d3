package chat

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/names"
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
	s := presenceServer()
	comeAndGo := func(n int) time.Duration {
		r := presenceRoom(s)
		came, left := make([]*names.Identity, n), make([]*names.Identity, n)
		for i := range n {
			came[i], left[i] = identityOf(&User{ID: fmt.Sprint("new", i)}), identityOf(&User{ID: fmt.Sprint("old", i)})
		}
		start := cpuTime(t)
		for i := range n {
			r.here.note(came[i], true)
			r.here.note(left[i], false)
		}
		return cpuTime(t) - start
	}
	elsewhere := func(n int) time.Duration {
		r := presenceRoom(s)
		list := make([]Attendance, n)
		for i := range list {
			id := fmt.Sprintf("u%07d", (i*7919)%n)
			list[i] = Attendance{Node: "a", User: User{ID: id, Name: id}}
		}
		start := cpuTime(t)
		r.mergeAway(list, true)
		for i := range list {
			list[i].Gone = true
		}
		r.mergeAway(list, false)
		require.Empty(t, r.here.here)
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
