package hub

import "time"

// A lane is one goroutine among all those that have something to append. When
// these are many, it gets its turn late, and would fall behind further with each
// of them. So whoever appends to a small topic that has waited for too long walks
// it in the lane's place: then nobody can append faster than what is appended
// goes out. And where the lane rests, walking ten members is done before it would
// be awake.

const (
	// patience is how long a topic waits for its lane before others help. What
	// is appended meanwhile goes out in one write.
	patience = 100 * time.Millisecond
	// small is how many members a topic has at most that others walk.
	small = breath
)

// help walks the members on the caller's goroutine if they have waited for
// long enough, or if that spares waking a lane that rests, and reports whether
// it has.
func (m *members) help() bool {
	l := m.home()
	if m.topic.Len() > small || l.hub.ctx.Err() != nil {
		return false
	}
	if m.walk.waited(l.hub) >= patience && m.walk.claim() {
		m.walkHere(l)
		return true
	}
	// One at a time: where more come at once, the lane lets them wait for each
	// other, and what comes meanwhile goes out with them.
	if !l.resting.Load() || !l.helped.CompareAndSwap(false, true) {
		return false
	}
	defer l.helped.Store(false)
	if !m.walk.begin() {
		return false
	}
	m.walkHere(l)
	return true
}

func (m *members) walkHere(l *lane) {
	w := l.hub.walkers.Get().(*walker)
	w.counts = &l.counts
	w.stepOn(m)
	l.hub.walkers.Put(w)
}
