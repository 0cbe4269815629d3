package outage

import (
	"sync/atomic"
	"time"
)

// slowest is how long the slowest answer of the last minute or two has taken.
type slowest struct {
	start     time.Time
	now, last atomic.Int64 // nanoseconds + 1 of this span and the one before; 0: none
	span      atomic.Int64
}

const slowSpan = time.Minute

// advance begins a new span where the last is over.
func (s *slowest) advance() {
	span := int64(time.Since(s.start) / slowSpan)
	if old := s.span.Load(); old != span && s.span.CompareAndSwap(old, span) {
		// Of an idle time nothing is known: what was known before it stays.
		if now := s.now.Swap(0); now > 0 {
			s.last.Store(now)
		}
	}
}

func (s *slowest) note(d time.Duration) {
	s.advance()
	for n := int64(d) + 1; ; {
		old := s.now.Load()
		if old >= n || s.now.CompareAndSwap(old, n) {
			return
		}
	}
}

// of is negative where there has been no answer yet.
func (s *slowest) of() time.Duration {
	return time.Duration(max(s.now.Load(), s.last.Load()) - 1)
}
