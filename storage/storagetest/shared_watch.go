package storagetest

import (
	"context"
	"slices"
	"time"

	"github.com/gabblehq/chat"
)

// Habits say how the nodes of a [SharedStore] are told of each other's doings.
// A server must get by with any.
type Habits struct {
	// Bare is how many hints carry no Entries: every Bare-th of each node's.
	// 1: all; negative: none; 0: every fourth.
	Bare int
	// Repeat tells every Repeat-th hint of each node twice. 0: none.
	Repeat int
	// Delay is how long hints and signals travel, less than two seconds.
	Delay time.Duration
	// Shuffle lets hints of different rooms overtake each other, those that
	// arrive at the same time.
	Shuffle bool
	// NoEcho keeps from a node what it has done itself.
	NoEcho bool
}

// Behave changes the habits, from the next hint on. The zero Habits are in
// force before.
func (s *SharedStore) Behave(h Habits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.habits = h
}

// soon is when Missed makes up for what was lost: within two seconds, with a
// little to spare for those who count them.
const soon = 1900 * time.Millisecond

// event is something to be told to every node.
type event struct {
	room   string
	signal bool // may be lost for good
	tell   func(l chat.Listener, n *SharedNode, bare bool)
}

// watch is one call of Watch. Its fields are under the store's mutex.
type watch struct {
	wake   chan struct{} // holds one
	queue  []arrival
	lost   map[string]bool // rooms
	all    bool            // lost is every room
	makeUp time.Time       // when Missed is due; zero: nothing is lost
}

type arrival struct {
	event
	at   time.Time
	bare bool
}

// Watch implements [chat.Watcher].
func (n *SharedNode) Watch(ctx context.Context, l chat.Listener) error {
	w := &watch{wake: make(chan struct{}, 1)}
	n.attach(w)
	defer n.detach(w)
	for ctx.Err() == nil {
		calls, next := n.due(w)
		for _, call := range calls {
			call(l)
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-w.wake:
		case <-timer:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (n *SharedNode) attach(w *watch) {
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	n.watches = append(n.watches, w)
	w.loseAll(0)
}

func (n *SharedNode) detach(w *watch) {
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	n.watches = slices.DeleteFunc(n.watches, func(o *watch) bool { return o == w })
}

// due takes what is to be told now, and says when there may be more.
func (n *SharedNode) due(w *watch) (calls []func(chat.Listener), next time.Time) {
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	if n.down {
		return nil, time.Time{} // Up wakes
	}
	now := time.Now()
	if !w.makeUp.IsZero() && !w.makeUp.After(now) {
		calls = append(calls, w.missed())
	}
	arrived := 0
	for arrived < len(w.queue) && !w.queue[arrived].at.After(now) {
		arrived++
	}
	here := slices.Clone(w.queue[:arrived])
	w.queue = w.queue[arrived:]
	if n.shared.habits.Shuffle {
		here = shuffled(here)
	}
	for _, a := range here {
		calls = append(calls, func(l chat.Listener) { a.tell(l, n, a.bare) })
	}
	next = w.makeUp
	if len(w.queue) > 0 && (next.IsZero() || w.queue[0].at.Before(next)) {
		next = w.queue[0].at
	}
	return calls, next
}

// missed makes up for all that was lost.
func (w *watch) missed() func(chat.Listener) {
	lost, all := w.lost, w.all
	w.lost, w.all, w.makeUp = nil, false, time.Time{}
	return func(l chat.Listener) {
		if all {
			l.Missed(nil)
			return
		}
		l.Missed(func(room string) bool { return lost[room] })
	}
}

// shuffled puts the rooms that came first last; each keeps its own order.
func shuffled(as []arrival) []arrival {
	byRoom := map[string][]arrival{}
	var rooms []string
	for _, a := range as {
		if byRoom[a.room] == nil {
			rooms = append(rooms, a.room)
		}
		byRoom[a.room] = append(byRoom[a.room], a)
	}
	var out []arrival
	for _, room := range slices.Backward(rooms) {
		out = append(out, byRoom[room]...)
	}
	return out
}

// publish sends an event on its way to all nodes. The store's mutex is held.
func (s *SharedStore) publish(from *SharedNode, e event) {
	for _, n := range s.nodes {
		if len(n.watches) > 0 && (n != from || !s.habits.NoEcho) {
			n.send(e)
		}
	}
}

// send sends it on its way to one node, if nothing is in the way.
func (n *SharedNode) send(e event) {
	h := n.shared.habits
	lost := n.cut || n.down
	if !lost && !e.signal && n.drop > 0 {
		n.drop--
		lost = true
	}
	a := arrival{event: e, at: time.Now().Add(h.Delay)}
	times := 1
	if !lost && !e.signal {
		n.count++
		every := h.Bare
		if every == 0 {
			every = 4
		}
		a.bare = every > 0 && n.count%every == 0
		if h.Repeat > 0 && n.count%h.Repeat == 0 {
			times = 2
		}
	}
	for _, w := range n.watches {
		switch {
		case !lost:
			w.queue = append(w.queue, slices.Repeat([]arrival{a}, times)...)
			w.wakeUp()
		case !e.signal:
			w.lose(e.room)
		}
	}
}

// lose notes that the room has moved unnoticed.
func (w *watch) lose(room string) {
	if w.lost == nil {
		w.lost = map[string]bool{}
	}
	w.lost[room] = true
	if w.makeUp.IsZero() {
		w.makeUp = time.Now().Add(soon)
	}
	w.wakeUp()
}

// loseQueue loses what is on its way.
func (w *watch) loseQueue() {
	for _, a := range w.queue {
		if !a.signal {
			w.lose(a.room)
		}
	}
	w.queue = nil
}

// loseAll has Missed cover every room, at the latest after a while.
func (w *watch) loseAll(after time.Duration) {
	w.all = true
	if by := time.Now().Add(after); w.makeUp.IsZero() || by.Before(w.makeUp) {
		w.makeUp = by
	}
	w.wakeUp()
}

func (w *watch) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// maxSignal is the most that Watcher.Signal carries.
const maxSignal = 4 << 10

// Signal implements [chat.Watcher].
func (n *SharedNode) Signal(ctx context.Context, room string, data []byte) error {
	if _, err := n.reach(ctx); err != nil {
		return err
	}
	if len(data) > maxSignal {
		return chat.Errorf(chat.CodeTooLarge, "a signal holds at most %d bytes", maxSignal)
	}
	data = slices.Clone(data)
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	n.shared.publish(n, event{room: room, signal: true, tell: func(l chat.Listener, _ *SharedNode, _ bool) {
		l.Signal(room, slices.Clone(data))
	}})
	return nil
}
