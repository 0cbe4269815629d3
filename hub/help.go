package hub

import "time"

// A lane is one goroutine among all those that have something to append. When
// these are many, it gets its turn late, and would fall behind further with each
// of them. So whoever appends to a small topic while the lane has much to do
// walks that topic in its place: then nobody can append faster than what is
// appended goes out.

const (
	// patience is how long a topic waits for its lane before others help. What
	// is appended meanwhile goes out in one write.
	patience = 100 * time.Millisecond
	// small is how many members a topic has at most that others walk.
	small = breath
)

// help walks the members on the caller's goroutine if they have waited for
// long enough, and reports whether it has.
func (m *members) help() bool {
	l := m.home()
	if m.topic.Len() > small || m.walk.waited(l.hub) < patience || l.hub.ctx.Err() != nil || !m.walk.claim() {
		return false
	}
	w := l.hub.walkers.Get().(*walker)
	w.counts = &l.counts
	w.step(m)
	l.hub.walkers.Put(w)
	return true
}
