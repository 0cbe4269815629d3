package chat

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A room as far as its upkeep is concerned: the log is in the store, the topic
// here, and what goes on is cut into steps, each of which is done under one
// lock or is one call of the store. An actor is what one goroutine does.

type world struct {
	upkeep
	log       int64 // the log's head
	topic     int64 // the topic's
	followers int
	actors    []*actor
	failures  int // how many reads of the store fail

	quietOutdate bool // planted faults: who finds that nobody is here looks no more,
	quietAttach  bool // and who comes does not look
	quietAgain   bool // a timer that rings has nobody look
}

// actor is the steps that are left of what somebody does.
type actor struct {
	name  string
	steps []func()
}

func (w *world) spawn(name string, steps ...func()) {
	w.actors = append(w.actors, &actor{name, steps})
}

func (w *world) followed() bool { return w.followers > 0 }

// note is liveRoom.note.
func (w *world) note(event func(*upkeep)) {
	if event(&w.upkeep); w.start(w.followed()) {
		w.committer()
	}
}

// quiet is note without a look.
func (w *world) quiet(event func(*upkeep)) { event(&w.upkeep) }

// committer is liveRoom.commitGroup with nothing to commit.
func (w *world) committer() {
	c := &actor{name: "committer"}
	stop := func() {
		if w.stop(false, w.followed()) {
			w.committer()
		}
	}
	c.steps = []func(){
		func() { // applyHints
			for _, h := range w.takeHints() {
				switch {
				case h.Head.Rev <= w.topic:
				case h.After <= w.topic:
					w.topic = h.Head.Rev
				default:
					w.note((*upkeep).markStale)
				}
			}
		},
		func() { // repair
			if !w.takeStale(w.followed()) {
				c.steps = append(c.steps, stop)
				return
			}
			var page int64
			var err error
			c.steps = append(c.steps, func() {
				if page = w.log; w.failures > 0 {
					w.failures--
					err = errors.New("the store does not answer")
				}
			}, func() {
				if err == nil {
					w.topic = max(w.topic, page)
					return
				}
				w.note((*upkeep).postpone)
				again := w.note
				if w.quietAgain {
					again = w.quiet
				}
				w.spawn("timer", func() { again((*upkeep).retry) })
			}, stop)
		},
	}
	w.actors = append(w.actors, c)
}

// appends is another server's append. Its hint may be lost; then Missed is
// called.
func (w *world) appends(lost bool) {
	var h Hint
	w.spawn("append", func() {
		w.log++
		h = Hint{Head: Position{Rev: w.log}, After: w.log - 1}
	}, func() {
		if !lost {
			w.note(func(u *upkeep) { u.addHint(h, w.followed()) })
			return
		}
		w.compare()
	})
}

// compare is cluster.compareRooms.
func (w *world) compare() {
	c := &actor{name: "compare"}
	c.steps = []func(){func() {
		if !w.followed() {
			c.steps = append(c.steps, func() { // liveRoom.outdate
				if w.quietOutdate {
					w.quiet((*upkeep).markStale)
				} else {
					w.note((*upkeep).markStale)
				}
			})
			return
		}
		seen, head := w.topic, int64(0)
		c.steps = append(c.steps,
			func() { head = w.log },
			func() { w.note(func(u *upkeep) { u.compared(seen == head) }) })
	}}
	w.actors = append(w.actors, c)
}

// comes is a join, or a loop of Room.Changes.
func (w *world) comes() {
	var page int64
	w.spawn("comes", func() { page = w.log }, func() {
		if w.followers == 0 {
			w.topic = max(w.topic, page)
		}
		w.followers++
	}, func() {
		if !w.quietAttach {
			w.note(func(*upkeep) {})
		}
	})
}

func (w *world) goes() { w.spawn("goes", func() { w.followers-- }) }

// explore runs a scenario in every order of its steps, and returns how many
// there are, and the first in which a follower is left without what is in the
// log.
func explore(t *testing.T, begin func(*world)) (orders int, fault string) {
	var choices, options []int
	for {
		w := &world{}
		begin(w)
		var trace []string
		for i := 0; ; i++ {
			var ready []*actor
			for _, a := range w.actors {
				if len(a.steps) > 0 {
					ready = append(ready, a)
				}
			}
			if len(ready) == 0 {
				break
			}
			require.Less(t, i, 200, "it goes on without end: %v", trace)
			if i == len(choices) {
				choices, options = append(choices, 0), append(options, 0)
			}
			options[i] = len(ready)
			a := ready[choices[i]]
			step := a.steps[0]
			a.steps = a.steps[1:]
			trace = append(trace, a.name)
			step()
		}
		orders++
		choices, options = choices[:len(trace)], options[:len(trace)]
		switch {
		case w.followed() && w.topic != w.log:
			return orders, fmt.Sprintf("the log ends at %d, the topic at %d after %v", w.log, w.topic, trace)
		case w.committing || w.due(w.followed()):
			return orders, fmt.Sprintf("somebody has to look and nobody does after %v", trace)
		}
		for len(choices) > 0 && choices[len(choices)-1] == options[len(choices)-1]-1 {
			choices, options = choices[:len(choices)-1], options[:len(choices)-1]
		}
		if len(choices) == 0 {
			return orders, ""
		}
		choices[len(choices)-1]++
	}
}

// Whoever follows a room has in the end what is in its log, in whatever order
// the steps of those come who append, tell, come, go, compare and look.
func TestUpkeepInEveryOrder(t *testing.T) {
	scenarios := map[string]func(*world){
		"somebody comes while another server appends":      func(w *world) { w.comes(); w.appends(false) },
		"and its hint is lost":                             func(w *world) { w.comes(); w.appends(true) },
		"two come":                                         func(w *world) { w.comes(); w.comes(); w.appends(false) },
		"one comes while another goes":                     func(w *world) { w.followers = 1; w.goes(); w.comes(); w.appends(true) },
		"two appends, the first hint lost":                 func(w *world) { w.followers = 1; w.appends(true); w.appends(false) },
		"two appends while somebody comes":                 func(w *world) { w.comes(); w.appends(false); w.appends(false) },
		"the store fails once":                             func(w *world) { w.failures = 1; w.followers = 1; w.appends(true) },
		"the store fails once while somebody comes":        func(w *world) { w.failures = 1; w.comes(); w.appends(true) },
		"the store fails twice":                            func(w *world) { w.failures = 2; w.followers = 1; w.appends(true) },
		"one goes and comes back while hints wait":         func(w *world) { w.followers = 1; w.appends(false); w.goes(); w.comes() },
		"it is compared while another server appends":      func(w *world) { w.followers = 1; w.compare(); w.appends(false) },
		"it is compared while somebody comes after a loss": func(w *world) { w.log = 3; w.compare(); w.comes() },
	}
	for name, begin := range scenarios {
		t.Run(name, func(t *testing.T) {
			orders, fault := explore(t, begin)
			require.Empty(t, fault)
			require.Greater(t, orders, 1)
			t.Logf("%d orders", orders)
		})
	}
	t.Run("planted faults are found", func(t *testing.T) {
		for name, plant := range map[string]func(*world){
			"outdate": func(w *world) { w.quietOutdate = true },
			"attach":  func(w *world) { w.quietAttach = true },
			"again":   func(w *world) { w.quietAgain = true; w.failures = 1 },
		} {
			found := 0
			for _, begin := range scenarios {
				if _, fault := explore(t, func(w *world) { begin(w); plant(w) }); fault != "" {
					found++
				}
			}
			require.NotZero(t, found, name)
		}
	})
}

// What one room keeps of hints is bounded: beyond, the store is read.
func TestUpkeepBoundsHints(t *testing.T) {
	var u upkeep
	for i := range maxHints {
		u.addHint(Hint{Head: Position{Rev: int64(i)}}, true)
	}
	require.Equal(t, inSync, u.state)
	u.addHint(Hint{}, true)
	require.Equal(t, stale, u.state)
	require.Empty(t, u.takeHints())
}
