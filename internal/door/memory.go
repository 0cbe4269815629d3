package door

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// Memory tells whether the Go runtime holds more than it should. It is safe for
// concurrent use.
type Memory struct {
	most  uint64
	start time.Time
	next  atomic.Int64 // when to measure again, in nanoseconds since the start
	above atomic.Bool
}

const measureEvery = 100 * time.Millisecond

// NewMemory returns a Memory that says so of more than most bytes.
func NewMemory(most uint64) *Memory { return &Memory{most: most, start: time.Now()} }

// Over reports whether it is too much, as of a moment ago.
func (m *Memory) Over() bool {
	now, next := int64(time.Since(m.start)), m.next.Load()
	if now >= next && m.next.CompareAndSwap(next, now+int64(measureEvery)) {
		m.above.Store(heldMemory() > m.most)
	}
	return m.above.Load()
}

// heldMemory is what the Go runtime has of the system and has not given back, which
// is what GOMEMLIMIT bounds.
func heldMemory() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

// MemoryLimit is how much memory there is for connections, 0 where the process
// has no limit.
func MemoryLimit() int64 {
	most := debug.SetMemoryLimit(-1)
	if most == math.MaxInt64 {
		return 0
	}
	return most / 10 * 9
}
