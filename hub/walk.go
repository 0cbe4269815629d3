package hub

import (
	"sync/atomic"
	"time"
)

// walk is the state of a walk over members: 0 while there is none, else one of
// the states and, above its bits, when the walk was queued, in milliseconds.
type walk struct{ v atomic.Uint32 }

const (
	queued     = 1 // the lane has it in its queue
	underway   = 2 // by the lane or a helper, to whom the members' pass belongs
	stateBits  = 2
	stateMask  = 1<<stateBits - 1
	ticksRange = 1 << (32 - stateBits) // twelve days
)

func (h *Hub) ticks() uint32 {
	return uint32(time.Since(h.start).Milliseconds()) % ticksRange
}

// queue reports whether a walk that was not there is to be put into the queue.
func (w *walk) queue(h *Hub) bool {
	return w.v.Load() == 0 && w.v.CompareAndSwap(0, h.ticks()<<stateBits|queued)
}

// begin starts a walk that was not there, without a queue.
func (w *walk) begin() bool { return w.v.CompareAndSwap(0, underway) }

// claim takes a queued walk over, unless somebody else has. The queue still
// holds it; who takes it off there finds nothing to claim.
func (w *walk) claim() bool {
	v := w.v.Load()
	return v&stateMask == queued && w.v.CompareAndSwap(v, underway)
}

// requeue puts the walk that has been claimed back.
func (w *walk) requeue(h *Hub) { w.v.Store(h.ticks()<<stateBits | queued) }

// end ends the walk that has been claimed.
func (w *walk) end() { w.v.Store(0) }

// waited is how long the walk has been queued, 0 where it is not.
func (w *walk) waited(h *Hub) time.Duration {
	v := w.v.Load()
	if v&stateMask != queued {
		return 0
	}
	return time.Duration((h.ticks()-v>>stateBits)%ticksRange) * time.Millisecond
}
