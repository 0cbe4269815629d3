package storagetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// watchOrder and watchEntries are of the subject watch.

func watchOrder(t *rig) {
	a, b := t.pair()
	rooms := []*room{t.roomIn(a), t.roomIn(a), t.roomIn(a)}
	e := t.watch(b)
	errs := make([]error, 6)
	together(len(errs), func(w int) {
		r := rooms[w%3]
		if w >= 3 {
			r = r.over(b)
		}
		for i := range 30 {
			if res := only(r.try(r.create("alice", "", fmt.Sprint(i)))); res.Err != nil {
				errs[w] = res.Err
			}
		}
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	for _, r := range rooms {
		t.learns(e, 0, r.key, r.head())
	}
	last := map[string]chat.Position{}
	for _, n := range e.since(0) {
		if n.hint == nil {
			continue
		}
		require.LessOrEqual(t, last[n.room].Rev, n.hint.Head.Rev, "the head of %s falls", n.room)
		last[n.room] = n.hint.Head
	}
}

// watchEntries compares what hints say with what the writers were answered.
func watchEntries(t *rig) {
	a, b := t.pair()
	r := t.roomIn(a)
	o := r.over(b)
	e := t.watch(b)
	byRev := map[int64]chat.Result{}
	note := func(results []chat.Result) {
		for _, res := range results {
			if res.Err == nil && !res.Duplicate && !res.Unchanged {
				byRev[res.Position.Rev] = res
			}
		}
	}
	for i := range 8 {
		c := r.rich("alice", fmt.Sprint("n", i))
		note(r.append(c, edit(c.Message.ID, "second"), edit("missing", "x"), edit(c.Message.ID, "third")))
		note(o.append(c, edit(c.Message.ID, "third"), retitle(fmt.Sprint(i)), o.create("bob", "", "x")))
		switch i % 3 {
		case 0:
			note(r.append(remove(c.Message.ID)))
		case 1:
			note(o.append(edit(c.Message.ID, "fourth"), removeHard(c.Message.ID), retitle("same")))
		}
	}
	t.learns(e, 1, r.key, r.head())
	for _, n := range e.since(0) {
		if n.hint == nil || n.hint.Entries == nil {
			continue
		}
		entries, err := n.hint.Entries()
		if err != nil {
			continue
		}
		h := n.hint
		require.Less(t, h.After, h.Head.Rev)
		next := h.After + 1
		for _, got := range entries {
			for ; next < got.Rev; next++ {
				require.NotContains(t, byRev, next, "(%d, %d] lacks a rev", h.After, h.Head.Rev)
			}
			require.Equal(t, next, got.Rev, "in rev order, each once")
			next++
			require.True(t, (got.Message == nil) != (got.Room == nil), "exactly one of an entry's pointers is set")
			want := byRev[got.Rev]
			if got.Message != nil {
				sameMessage(t, want.Message, *got.Message, "the state that it had then")
			} else if want.Room.Rev > 0 {
				sameRoom(t, want.Room, *got.Room, "the state that it had then")
			}
		}
		for ; next <= h.Head.Rev; next++ {
			require.NotContains(t, byRev, next, "(%d, %d] lacks a rev", h.After, h.Head.Rev)
		}
	}
}
