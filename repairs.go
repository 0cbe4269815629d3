package chat

import (
	"sync"
	"sync/atomic"
)

// repairs bounds how many rooms read at once what they have missed: many may
// have missed something at the same time. A room for which there is no place
// waits for one in a queue, and none of our goroutines with it: it goes on
// with its messages.
type repairs struct {
	mu      sync.Mutex
	free    int
	waiting map[*liveRoom]struct{} // in queue
	queue   []*liveRoom            // each with a reference
	length  atomic.Int32           // of the queue
}

// begin takes a place for the room, or reports that there is none: then the
// room is told to look when there is. The room's lock is held, and who
// has a place calls end.
func (q *repairs) begin(r *liveRoom) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 {
		q.free--
		return true
	}
	if _, ok := q.waiting[r]; ok {
		return false
	}
	if q.waiting == nil {
		q.waiting = make(map[*liveRoom]struct{})
	}
	r.hold()
	q.waiting[r] = struct{}{}
	q.queue = append(q.queue, r)
	q.length.Add(1)
	return false
}

// end gives a place back.
func (q *repairs) end() {
	q.mu.Lock()
	q.free++
	q.mu.Unlock()
}

// next has the first room that waits look again, where there is a place. It is
// called by every committer that has looked after its room, so that a room that
// had been told to and has no need any more holds up none behind it.
func (q *repairs) next() {
	for q.length.Load() > 0 {
		q.mu.Lock()
		if q.free == 0 || len(q.queue) == 0 {
			q.mu.Unlock()
			return
		}
		r := q.queue[0]
		q.queue[0] = nil
		q.queue = q.queue[1:]
		delete(q.waiting, r)
		q.length.Add(-1)
		q.mu.Unlock()
		busy := r.note((*upkeep).retry)
		r.release()
		if busy {
			return
		}
	}
}
