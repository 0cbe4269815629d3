package work

import (
	"container/heap"
	"log/slog"
	"math"
	"sync"
	"time"
)

// Timers calls back at a time, all from one goroutine, at 24 bytes each: where
// there is one for each connection, a runtime timer would cost more than the
// rest of it. Times are those of the monotonic clock: what the wall clock says
// meanwhile changes nothing. All methods are safe for concurrent use.
type Timers struct {
	log     *slog.Logger
	start   time.Time
	mu      sync.Mutex
	heap    alarms
	wake    chan struct{}
	stopped chan struct{}
	done    chan struct{}
}

// Ringer is told that its time has come. It must not block.
type Ringer interface{ Ring(now time.Time) }

type alarm struct {
	at int64 // milliseconds since the start
	do Ringer
}

// latest is the last millisecond that a time.Duration reaches.
const latest = int64(math.MaxInt64 / time.Millisecond)

// NewTimers starts the goroutine that calls back. start is about now. Panics go
// to log.
func NewTimers(start time.Time, log *slog.Logger) *Timers {
	t := &Timers{start: start, log: log, wake: make(chan struct{}, 1), stopped: make(chan struct{}), done: make(chan struct{})}
	go t.run()
	return t
}

// At has r told at the time, which comes from time.Now, or soon if that is past.
func (t *Timers) At(when time.Time, r Ringer) {
	a := alarm{min(max(when.Sub(t.start).Milliseconds(), 0)+1, latest), r} // not a moment early
	t.mu.Lock()
	heap.Push(&t.heap, a)
	first := t.heap[0] == a
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

func (t *Timers) run() {
	defer close(t.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		var due []Ringer
		wait := time.Hour
		t.mu.Lock()
		for len(t.heap) > 0 {
			if left := time.Duration(t.heap[0].at)*time.Millisecond - now.Sub(t.start); left > 0 {
				wait = left
				break
			}
			due = append(due, heap.Pop(&t.heap).(alarm).do)
		}
		t.mu.Unlock()
		for _, r := range due {
			t.tell(r, now)
		}
		if len(due) > 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-t.wake:
		case <-t.stopped:
			return
		}
	}
}

// tell calls back. What panics ends there, and the others are told.
func (t *Timers) tell(r Ringer, now time.Time) {
	defer Recover(t.log, "a timer")
	r.Ring(now)
}

// Stop ends the calls and returns when none is under way. It is called once.
func (t *Timers) Stop() {
	close(t.stopped)
	<-t.done
}

type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at < a[j].at }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	n := len(*a) - 1
	x := (*a)[n]
	(*a)[n] = alarm{}
	*a = (*a)[:n]
	return x
}
