package postgres

import (
	"context"
	"sync"

	"github.com/gabblehq/chat"
)

// job is one Append that waits for its turn.
type job struct {
	known    chat.Position
	changes  []chat.Change
	newEpoch bool // start one, whatever known is

	results []chat.Result
	head    chat.Position // the room's afterwards
	err     error
	done    chan struct{} // closed when results or err are there
}

// line is the jobs of one room: in queue.ready or queue.alone, or in the hand of
// a writer, while more come.
type line struct {
	key      string
	jobs     []*job
	attempts int // how often the room has been found locked
}

// queue hands the rooms with jobs to the writers, each room to one writer at a
// time. While all writers are at work, jobs gather, and one transaction takes
// many of them: that is all there is to batching, nobody waits for company.
type queue struct {
	mu     sync.Mutex
	some   sync.Cond // a line is ready, or the queue closed
	single sync.Cond // the same of alone
	lines  map[string]*line
	ready  []*line
	alone  []*line // rooms that others must not wait for: locked by somebody else, or to be made
	closed bool
}

func (q *queue) init() {
	q.some.L, q.single.L = &q.mu, &q.mu
	q.lines = make(map[string]*line)
}

// put adds a job, unless the queue is closed.
func (q *queue) put(key string, j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	l := q.lines[key]
	if l == nil {
		l = &line{key: key}
		q.lines[key] = l
		q.offer(l)
	}
	l.jobs = append(l.jobs, j)
	return true
}

func (q *queue) offer(l *line) {
	q.ready = append(q.ready, l)
	q.some.Signal()
}

func (q *queue) offerAlone(l *line) {
	q.alone = append(q.alone, l)
	q.single.Signal()
}

// drop takes back a job that no writer has in hand yet, and reports whether it
// could.
func (q *queue) drop(key string, j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[key]
	if l == nil {
		return false
	}
	for i, other := range l.jobs {
		if other == j {
			l.jobs = append(l.jobs[:i:i], l.jobs[i+1:]...) // cut drops a line without jobs
			return true
		}
	}
	return false
}

// The size of a transaction: enough to pay for itself, and short enough for
// those who wait for it.
const (
	maxRooms   = 256
	maxChanges = 1000
	maxBytes   = 2 << 20
)

// part is what a writer takes of a line.
type part struct {
	line *line
	jobs []*job
}

// take waits for work and returns as much as fits in one transaction; nil when
// the queue is closed and empty.
func (q *queue) take() []part {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.ready) == 0 {
			if q.closed && len(q.lines) == 0 {
				return nil
			}
			q.some.Wait()
		}
		if parts := q.cut(); len(parts) > 0 {
			return parts
		}
	}
}

func (q *queue) cut() []part {
	var parts []part
	changes, bytes := 0, 0
	for len(q.ready) > 0 && len(parts) < maxRooms {
		l := q.ready[0]
		n := 0
		for n < len(l.jobs) && changes < maxChanges && bytes < maxBytes && !l.jobs[n].makesRoom() {
			changes += max(1, len(l.jobs[n].changes))
			bytes += weight(l.jobs[n].changes)
			n++
		}
		makes := n == 0 && len(l.jobs) > 0 && l.jobs[0].makesRoom()
		if n == 0 && len(l.jobs) > 0 && !makes {
			break // full
		}
		q.ready = q.ready[1:]
		switch {
		case makes:
			q.offerAlone(l)
			continue
		case n == 0:
			q.forget(l)
			continue
		}
		parts = append(parts, part{l, l.jobs[:n:n]})
		l.jobs = l.jobs[n:]
	}
	if len(q.ready) == 0 {
		q.ready = nil
	} else {
		q.some.Signal() // another writer may take the rest
	}
	return parts
}

// takeAlone is take for a room that goes alone.
func (q *queue) takeAlone() []part {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.alone) == 0 {
			if q.closed && len(q.lines) == 0 {
				return nil
			}
			q.single.Wait()
		}
		l := q.alone[0]
		q.alone = q.alone[1:]
		n, changes := 0, 0
		for ; n < len(l.jobs) && changes < maxChanges; n++ {
			changes += max(1, len(l.jobs[n].changes))
		}
		if n == 0 {
			q.forget(l)
			continue
		}
		p := part{l, l.jobs[:n:n]}
		l.jobs = l.jobs[n:]
		return []part{p}
	}
}

// forget drops a line without jobs. The last one of a closed queue lets the
// writers go.
func (q *queue) forget(l *line) {
	delete(q.lines, l.key)
	if q.closed && len(q.lines) == 0 {
		q.some.Broadcast()
		q.single.Broadcast()
	}
}

// makesRoom reports whether the job may make the room.
func (j *job) makesRoom() bool {
	for i := range j.changes {
		if j.changes[i].Kind == chat.ChangeCreateRoom {
			return true
		}
	}
	return false
}

func weight(changes []chat.Change) int {
	n := 0
	for i := range changes {
		n += len(changes[i].Message.Content) + len(changes[i].Message.Meta)
	}
	return n
}

// finish gives a line back after its part has been answered.
func (q *queue) finish(l *line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.attempts = 0
	if len(l.jobs) == 0 {
		q.forget(l)
		return
	}
	q.offer(l)
}

// enough is how often a room is tried with others before it goes alone: it may
// be that only another server has written to it at that moment.
const enough = 3

// again puts back a part whose room was locked.
func (q *queue) again(p part) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := p.line
	l.attempts++
	l.jobs = append(p.jobs, l.jobs...)
	if l.attempts < enough {
		q.offer(l)
	} else {
		q.offerAlone(l)
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Broadcast()
	q.single.Broadcast()
}

// do queues a job and waits for it.
func (s *Store) do(ctx context.Context, key string, j *job) error {
	if err := alive(ctx); err != nil {
		return err
	}
	j.done = make(chan struct{})
	if !s.queue.put(key, j) {
		return errClosed
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
	}
	if s.queue.drop(key, j) {
		return gaveUp(ctx)
	}
	select {
	case <-j.done: // just now
		return j.err
	default:
		return unknown(context.Cause(ctx))
	}
}
