// Package steady tells the time so that a leap of the wall clock does no harm
// to what is kept for a while.
package steady

import (
	"sync"
	"time"
)

// Clock tells the wall clock's time, but takes a leap ahead of it for a
// mistake until it has lasted: it follows at twice the usual pace, so that a
// clock that was wrong for minutes has moved it by minutes, and a machine that
// has slept for a night is caught up with in as long. It is never ahead of the
// wall clock. Between calls of Now it can tell no leap from mere passing of time
// only by the monotonic clock. The zero Clock is ready for use, by several
// goroutines.
type Clock struct {
	mu   sync.Mutex
	last time.Time // what was told, in the wall clock's time
	seen time.Time // when, with the monotonic clock's reading
	lead time.Duration
	leap time.Duration // see Leap
}

// Leap is for tests: the wall clock reads as if somebody had set it ahead by d,
// which replaces what an earlier call has said.
func (c *Clock) Leap(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leap = d
}

// Now returns the time, without a monotonic reading.
func (c *Clock) Now() time.Time {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := time.Duration(0)
	if !c.seen.IsZero() {
		passed = max(now.Sub(c.seen), 0)
	}
	c.seen = now
	return c.advance(now.Round(0).Add(c.leap), passed)
}

// advance is told of what the wall clock says, and how much time has really
// passed since the last call. The lock is held.
func (c *Clock) advance(wall time.Time, passed time.Duration) time.Time {
	if c.last.IsZero() {
		c.last = wall
		return wall
	}
	// What the wall clock was ahead by the last time, and still is, is caught up
	// with by as much as has passed since.
	at := c.last.Add(passed + min(passed, c.lead))
	if at.After(wall) {
		at = wall
	}
	c.last, c.lead = at, wall.Sub(at)
	return at
}
