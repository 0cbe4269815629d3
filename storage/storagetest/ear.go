package storagetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// promptly is the two seconds in which a watcher is told, and as much again
// and more for a machine that is busy.
const promptly = 6 * time.Second

// ear is a Listener that remembers.
type ear struct {
	news chan struct{} // holds one

	mu   sync.Mutex
	told []told
}

// told is one call of a Listener.
type told struct {
	room    string
	hint    *chat.Hint
	present []chat.Attendance
	signal  []byte
	missed  bool
	covers  func(room string) bool
}

func (e *ear) hear(n told) {
	e.mu.Lock()
	e.told = append(e.told, n)
	e.mu.Unlock()
	select {
	case e.news <- struct{}{}:
	default:
	}
}

func (e *ear) Appended(h chat.Hint) { e.hear(told{room: h.Room, hint: &h}) }

func (e *ear) Present(room string, changes []chat.Attendance) {
	e.hear(told{room: room, present: slices.Clone(changes)})
}

func (e *ear) Signal(room string, data []byte) {
	e.hear(told{room: room, signal: append([]byte{}, data...)})
}

func (e *ear) Missed(covers func(room string) bool) { e.hear(told{missed: true, covers: covers}) }

// since returns what was told from a mark on.
func (e *ear) since(mark int) []told {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.told[mark:])
}

// mark is a place in what was told: its end.
func (e *ear) mark() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.told)
}

// missedRoom reports whether a Missed covers the room.
func missedRoom(all []told, room string) bool {
	return slices.ContainsFunc(all, func(n told) bool { return n.missed && (n.covers == nil || n.covers(room)) })
}

// pair opens a store for two servers.
func (t *rig) pair() (a, b chat.Store) {
	h := able[Sharer](t)
	a = t.open()
	need[chat.Watcher](t, a)
	return a, h.Share(t, a)
}

// watch watches until the test ends, and returns when it has begun.
func (t *rig) watch(s chat.Store) *ear {
	t.Helper()
	e := &ear{news: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.ctx)
	done := make(chan error, 1)
	w := need[chat.Watcher](t, s)
	go func() { done <- w.Watch(ctx, e) }()
	t.Cleanup(func() {
		cancel()
		assert.ErrorIs(t, <-done, context.Canceled, "Watch ends with ctx's error")
	})
	t.hears(e, 0, "Missed(nil), for a beginning", func(all []told) bool { return len(all) > 0 })
	first := e.since(0)[0]
	require.True(t, first.missed && first.covers == nil, "the first call is Missed(nil), not %+v", first)
	return e
}

// hears waits until f is true of what was told from the mark on.
func (t *rig) hears(e *ear, mark int, what string, f func(all []told) bool) {
	t.Helper()
	late := time.NewTimer(promptly)
	defer late.Stop()
	for {
		all := e.since(mark)
		if f(all) {
			return
		}
		select {
		case <-e.news:
		case <-late.C:
			t.Fatalf("not told of %s, but %d things: %+v", what, len(all), all[:min(len(all), 20)])
		}
	}
}

// learns waits until it is told that the room is at a position, or to look.
func (t *rig) learns(e *ear, mark int, room string, at chat.Position) {
	t.Helper()
	t.hears(e, mark, room+" at its new head", func(all []told) bool {
		for _, n := range all {
			if n.hint == nil || n.room != room || n.hint.Head.Epoch != at.Epoch {
				continue
			}
			if n.hint.Head.Rev == at.Rev {
				require.Equal(t, at, n.hint.Head, "Hint.Head is the head")
			}
			if n.hint.Head.Rev >= at.Rev {
				return true
			}
		}
		return missedRoom(all, room)
	})
}
