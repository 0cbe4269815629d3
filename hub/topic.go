package hub

import (
	"sync"
	"sync/atomic"
	"time"
)

// Topic is one log that cursors follow. Make it with [Topic.Init]; it may be
// embedded. All methods are safe for concurrent use.
type Topic struct {
	hub *Hub
	log Log

	mu    sync.Mutex
	epoch string
	head  int64 // unknown until the first Append or Attach
	// folded is where the newest page ends in which revs were left out: a cursor
	// within it may lack what comes under a later rev.
	folded int64
	ring   *ring // nil while there is nothing in it
	eras   *eras // nil: there has been one epoch
	gen    atomic.Uint32
	subs   atomic.Int32

	home members                   // of whom one lane alone has to know
	wide atomic.Pointer[[]members] // by lane, beside home; nil unless there are many
}

const unknown = -1

// generation stands for one of the epochs of a topic.
type generation uint16

func (t *Topic) generation() generation { return generation(t.gen.Load()) }

// members are the subscriptions of one topic on one lane.
type members struct {
	topic *Topic
	lane  uint8
	walk  walk

	mu      sync.Mutex
	subs    []*Sub
	waiting *signals // nil: none
	pass    *pass    // the walk under way; nil: none
}

// home is the lane.
func (m *members) home() *lane { return m.topic.hub.lanes[m.lane] }

// signals wait for a walk.
type signals struct{ frames [][]byte }

// Init makes the topic one of the hub's. Its head is unknown until somebody
// attaches or appends.
func (t *Topic) Init(h *Hub, log Log) {
	t.hub, t.log, t.head = h, log, unknown
	t.home.topic, t.home.lane = t, uint8(h.homes.Add(1)%uint32(len(h.lanes)))
}

// Log returns what Init was given.
func (t *Topic) Log() Log { return t.log }

// Len returns how many subscriptions there are.
func (t *Topic) Len() int { return int(t.subs.Load()) }

// Sinks returns the sinks of all subscriptions there are.
func (t *Topic) Sinks() []Sink {
	list := make([]Sink, 0, t.Len())
	for m := range t.lists {
		m.mu.Lock()
		for _, s := range m.subs {
			list = append(list, s.sink)
		}
		m.mu.Unlock()
	}
	return list
}

// Head returns the epoch and the newest position that the topic has seen, and
// -1 where it has seen none.
func (t *Topic) Head() (epoch string, rev int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.epoch, t.head
}

// Append puts frames behind the head and gets them on their way. The frames
// follow position after and are complete up to through. folded says that they
// come from a page in which revs superseded by later ones are left out; else
// each frame is the change at its rev.
//
// What the topic has already is left out. It reports false, and takes nothing,
// when there is a hole between the head and after: the caller reads the hole
// and appends that. So it does when the topic is in another epoch: see Turn.
func (t *Topic) Append(epoch string, after, through int64, folded bool, frames []Frame) bool {
	now := time.Now()
	t.mu.Lock()
	switch {
	case t.head == unknown:
		t.epoch, t.head = epoch, after
	case t.epoch != epoch:
		t.mu.Unlock()
		return false
	case folded && after != t.head, after > t.head:
		t.mu.Unlock()
		return false
	}
	if through <= t.head {
		t.mu.Unlock()
		return true
	}
	if folded && int64(len(frames)) < through-after {
		t.folded = through
	}
	grown := 0
	for _, f := range frames {
		if f.Rev <= t.head {
			after = f.Rev
			continue
		}
		if t.ring == nil {
			t.ring = &ring{topic: t, base: t.head}
		}
		grown += t.ring.push(entry{rev: f.Rev, after: after, data: f.Data}, t.hub.opt.RingFrames, t.hub.opt.RingBytes)
		if !folded {
			after = f.Rev
		}
	}
	t.head = through
	if t.ring != nil && grown != 0 {
		t.hub.size.Add(int64(grown))
	}
	if t.ring != nil {
		t.hub.cold.touch(t.ring, now)
	}
	t.mu.Unlock()
	t.hub.cold.evict(t.hub, int64(t.hub.opt.TotalBytes))
	t.schedule()
	return true
}

// Skip moves the head without frames: what lies in between is had from the
// Log. It is for when nobody is attached, so that nothing needs to be encoded;
// whoever attaches meanwhile is served from the Log. It reports false, and does
// nothing, where the topic is in another epoch.
func (t *Topic) Skip(epoch string, rev int64) bool {
	t.mu.Lock()
	switch {
	case t.head == unknown:
		t.epoch, t.head = epoch, rev
	case t.epoch != epoch:
		t.mu.Unlock()
		return false
	case t.head < rev:
		t.forget()
		t.head = rev
	}
	t.mu.Unlock()
	t.schedule()
	return true
}

// forget drops the ring. The lock is held.
func (t *Topic) forget() {
	if r := t.ring; r != nil {
		t.ring = nil
		t.hub.size.Add(-int64(r.bytes))
		t.hub.cold.remove(r)
	}
}

// maxSignals bounds how many signals wait for a lane; the oldest give way.
const maxSignals = 32

// Signal sends a frame that is not of the log to all subscriptions that can
// take it now. Those whose sink is busy miss it.
func (t *Topic) Signal(frame []byte) {
	for m := range t.lists {
		m.mu.Lock()
		if len(m.subs) > 0 {
			if m.waiting == nil {
				m.waiting = &signals{}
			}
			w := m.waiting
			if len(w.frames) == maxSignals {
				copy(w.frames, w.frames[1:])
				w.frames = w.frames[:maxSignals-1]
			}
			w.frames = append(w.frames, frame)
		}
		m.mu.Unlock()
		m.home().push(m)
	}
}

// schedule has every lane with members walk them.
func (t *Topic) schedule() {
	for m := range t.lists {
		if !m.help() {
			m.home().push(m)
		}
	}
}

// lists goes through the members' lists.
func (t *Topic) lists(yield func(*members) bool) {
	if !yield(&t.home) {
		return
	}
	if w := t.wide.Load(); w != nil {
		for i := range *w {
			if m := &(*w)[i]; m.lane != t.home.lane && !yield(m) {
				return
			}
		}
	}
}

// list returns where a new member belongs whose sink has the lane.
func (t *Topic) list(lane int) *members {
	if int(t.subs.Load()) < t.hub.opt.Spread || len(t.hub.lanes) == 1 {
		return &t.home
	}
	w := t.wide.Load()
	if w == nil {
		lists := make([]members, len(t.hub.lanes))
		for i := range lists {
			lists[i].topic, lists[i].lane = t, uint8(i)
		}
		t.wide.CompareAndSwap(nil, &lists)
		w = t.wide.Load()
	}
	if lane == int(t.home.lane) {
		return &t.home
	}
	return &(*w)[lane]
}

// Drop lets go of the topic's ring. The topic has no subscriptions any more,
// and Init comes before it is used again.
func (t *Topic) Drop() {
	t.mu.Lock()
	t.forget()
	t.eras = nil
	t.mu.Unlock()
}

// Holds reports whether a cursor of the epoch could go on from after without
// the Log being asked, in which epoch it would, and where the head is.
func (t *Topic) Holds(epoch string, after int64) (now string, head int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ok = t.epoch == epoch
	if !ok {
		e := t.eras.named(epoch)
		ok = e != nil && after <= e.good
	}
	// Where nobody is attached, the topic may have missed something.
	return t.epoch, t.head, ok && t.subs.Load() > 0 && t.admits(after)
}
