package storagetest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func livesChecks() []check {
	const begins = "The first write to a room in another life than that of the last one notes where the log ends, begins a new epoch, and shows the one before in Page.Past from then on; until then all is shown as it was."
	const good = "Positions of an epoch in it are positions of this log up to that Rev; those above are of what is gone."
	return []check{
		{"restart_loses_nothing", good, "after a restart every position is good, before a write and after it", livesRestart},
		{"rewound", begins, "", livesRewound},
		{"rewound_and_overtaken", good, "the log is written past the old place by who does not know it", livesOvertaken},
		{"known_beyond_the_head", "A store whose head has the same epoch and a lower rev has been rolled back and starts a new epoch before it writes.", "the old epoch is in Past then, too", livesKnown},
		{"every_page", "Past says where earlier epochs of this log ended", "of History and of Changes, whatever is asked for", livesPages},
		{"again_and_again", good, "whatever was rewound, restarted and written in between", livesAgain},
		{"newest_first", "Newest first, at most MaxPast of them", "", livesMany},
		{"at_once", begins, "many write at once, and one epoch begins", livesAtOnce},
		{"other_rooms", begins, "a room that is not written to stays as it was", livesOthers},
		{"retries", begins, "a nonce of what is there is known, one of what is gone is not", livesRetries},
		{"new_epoch", "what is stored stays, positions stop being comparable, clients start over", "Past is empty then", livesNewEpoch},
		{"made_again", "created again, it has another epoch", "and no past", livesMadeAgain},
		{"told", "What is appended to a room or signed in to it is told within two seconds", "in a new life, too", livesTold},
	}
}

// rewinding opens a store that can be put back, and makes a room in it.
func (t *rig) rewinding() (Rewinding, *room) {
	w := able[Rewinder](t).OpenRewinding(t)
	return w, t.roomIn(w.Store())
}

// page is what the store shows of the room without anything in it.
func (r *room) page() chat.Page {
	r.t.Helper()
	p := r.history(chat.Query{})
	c := r.changes(p.Head.Rev, 1)
	require.Equal(r.t, p.Head, c.Head, "History and Changes show one log")
	require.Equal(r.t, p.Past, c.Past, "History and Changes show one past")
	return p
}

// isGood wants the store to say of a position whether it is good.
func (r *room) isGood(want bool, at chat.Position, what string) {
	r.t.Helper()
	p := r.page()
	require.Equal(r.t, want, p.Good(at), "%s: %v, head %v, past %v", what, at, p.Head, p.Past)
}

func livesRestart(t *rig) {
	w, r := t.rewinding()
	before := r.fill(3)
	head := r.head()
	w.Restart(t)
	r.s = w.Store()
	require.Equal(t, head, r.head(), "all is shown as it was")
	r.isGood(true, head, "nothing is lost")
	sameMessages(t, before, r.audit(), "every message")

	m := r.send("after the restart")
	require.Equal(t, head.Rev+1, m.Rev)
	for rev := range head.Rev + 1 {
		r.isGood(true, chat.Position{Epoch: head.Epoch, Rev: rev}, "nothing is lost")
	}
	r.isGood(true, r.head(), "the head")
	w.Restart(t)
	r.s = w.Store()
	r.isGood(true, head, "nothing is lost")
	r.send("after another restart")
	r.isGood(true, head, "nothing is lost")
	require.Len(t, r.audit(), 5)
}

func livesRewound(t *rig) {
	w, r := t.rewinding()
	kept := r.fill(3)
	k := r.head()
	w.Mark(t)
	r.fill(5)
	lost := r.head()
	w.Rewind(t)
	r.s = w.Store()
	require.Equal(t, k, r.head(), "all is shown as it was")
	require.Equal(t, k, r.page().Head)
	r.isGood(true, k, "the end of what is there")
	r.isGood(false, lost, "what is gone")

	m := r.send("the first write")
	require.Equal(t, k.Rev+1, m.Rev)
	require.Equal(t, k.Seq+1, m.Seq)
	p := r.page()
	require.NotEqual(t, k.Epoch, p.Head.Epoch, "a new epoch")
	require.NotEmpty(t, p.Past)
	require.Equal(t, k.Epoch, p.Past[0].Epoch)
	require.Equal(t, k.Rev, p.Past[0].Rev)
	r.isGood(true, k, "the end of what was there")
	r.isGood(false, chat.Position{Epoch: k.Epoch, Rev: k.Rev + 1}, "what is gone")
	r.isGood(false, lost, "what is gone")
	r.isGood(true, p.Head, "the head")
	sameMessages(t, append(kept, m), r.audit(), "what was there stays")
	require.Equal(t, p.Head.Epoch, r.one(r.create("alice", "", "on")).Position.Epoch, "one epoch for one life")
}

func livesOvertaken(t *rig) {
	w, r := t.rewinding()
	r.fill(3)
	k := r.head()
	w.Mark(t)
	r.fill(5)
	lost := r.head()
	w.Rewind(t)
	r.s = w.Store()
	for i := range r.fill(7) {
		at := chat.Position{Epoch: k.Epoch, Rev: k.Rev + int64(i) + 1}
		r.isGood(false, at, "what is gone, or never was")
	}
	require.Greater(t, r.head().Rev, lost.Rev)
	r.isGood(true, k, "the common past")
	again := r.appendKnown(lost, r.create("bob", "", "by who knows what is gone"))
	require.Equal(t, r.page().Head.Epoch, again.Position.Epoch)
	require.Len(t, r.page().Past, 1, "that is of another epoch")
}

func livesKnown(t *rig) {
	_, r := t.rewinding()
	r.fill(3)
	k := r.head()
	seen := k
	seen.Rev += 5
	require.NoError(t, r.know(seen))
	p := r.page()
	require.NotEqual(t, k.Epoch, p.Head.Epoch)
	require.Equal(t, k.Rev, p.Head.Rev)
	r.isGood(true, k, "the common past")
	r.isGood(false, seen, "what is gone")
	r.fill(9)
	r.isGood(false, seen, "what is gone")
}

func livesPages(t *rig) {
	w, r := t.rewinding()
	r.fill(5)
	k := r.head()
	w.Restart(t)
	r.s = w.Store()
	m := r.send("x")
	want := []chat.Position{{Epoch: k.Epoch, Rev: k.Rev}}
	if r.head().Epoch == k.Epoch {
		t.Skipf("a restart is no new life of this store")
	}
	for _, p := range []chat.Page{
		r.history(chat.Query{}), r.history(chat.Query{Limit: 3}), r.history(chat.Query{Before: 3, Limit: 1}),
		r.history(chat.Query{After: 3, Limit: 1}), r.history(chat.Query{Around: 3, Limit: 2}),
		r.history(chat.Query{ID: m.ID, Limit: 1}), r.history(chat.Query{ID: "none", Limit: 1}),
		r.history(chat.Query{User: "nobody", Nonce: "n", Limit: 1}),
		r.changes(0, 100), r.changes(0, 1), r.changes(3, 2), r.changes(m.Rev, 1), r.changes(m.Rev+9, 1),
	} {
		require.Len(t, p.Past, 1)
		require.Equal(t, want[0].Epoch, p.Past[0].Epoch)
		require.Equal(t, want[0].Rev, p.Past[0].Rev)
	}
}

// livesAgain compares what the store says of every position that it has shown
// with what was in the log there.
func livesAgain(t *rig) {
	w, r := t.rewinding()
	type seen struct {
		at  chat.Position
		ids []string
	}
	var all []seen
	note := func() {
		var ids []string
		for _, m := range r.audit() {
			ids = append(ids, m.ID)
		}
		all = append(all, seen{r.head(), ids})
		p := r.page()
		for _, s := range all {
			there := len(s.ids) <= len(ids) && slices.Equal(s.ids, ids[:len(s.ids)])
			require.Equal(t, there, p.Good(s.at), "%v, head %v, past %v", s.at, p.Head, p.Past)
		}
	}
	for _, step := range []string{
		"write", "mark", "write", "rewind", "write", "write", "rewind", "write", "mark", "write", "restart", "write", "rewind",
		"restart", "rewind", "write", "mark", "restart", "write", "mark", "write", "rewind", "write", "rewind", "write",
	} {
		switch step {
		case "write":
			r.fill(1 + len(all)%3)
		case "mark":
			w.Mark(t)
		case "rewind":
			w.Rewind(t)
			r.s = w.Store()
		case "restart":
			w.Restart(t)
			r.s = w.Store()
		}
		note()
	}
}

func livesMany(t *rig) {
	_, r := t.rewinding()
	var ends []chat.Position
	for i := range chat.MaxPast + 5 {
		r.send(fmt.Sprint(i))
		head := r.head()
		ends = append(ends, chat.Position{Epoch: head.Epoch, Rev: head.Rev})
		head.Rev++
		require.NoError(t, r.know(head))
	}
	slices.Reverse(ends)
	p := r.page()
	require.Len(t, p.Past, chat.MaxPast)
	for i := range p.Past {
		require.Equal(t, ends[i], chat.Position{Epoch: p.Past[i].Epoch, Rev: p.Past[i].Rev}, "place %d of Past", i)
	}
	require.True(t, p.Good(ends[chat.MaxPast-1]))
	require.False(t, p.Good(ends[chat.MaxPast]), "which is forgotten")
}

func livesAtOnce(t *rig) {
	w, r := t.rewinding()
	r.fill(3)
	k := r.head()
	w.Mark(t)
	r.fill(2)
	w.Rewind(t)
	r.s = w.Store()
	const writers = 20
	results := make([]chat.Result, writers)
	var failed sync.Map
	together(writers, func(i int) {
		res, err := r.try(r.create(fmt.Sprint("user ", i), "", "x"))
		if err != nil {
			failed.Store(i, err)
			return
		}
		results[i] = res[0]
	})
	failed.Range(func(_, err any) bool { t.Fatalf("Append: %v", err); return false })
	p := r.page()
	require.Len(t, p.Past, 1)
	require.EqualValues(t, k.Rev+writers, p.Head.Rev)
	for _, res := range results {
		require.NoError(t, res.Err)
		require.Equal(t, p.Head.Epoch, res.Position.Epoch)
	}
	r.audit()
}

func livesOthers(t *rig) {
	w, r := t.rewinding()
	other := t.roomIn(r.s)
	other.fill(2)
	r.fill(2)
	head := other.head()
	w.Mark(t)
	w.Rewind(t)
	r.s, other.s = w.Store(), w.Store()
	r.fill(2)
	require.Equal(t, head, other.head(), "it is shown as it was")
	require.Empty(t, other.page().Past)
	other.fill(1)
	other.isGood(true, head, "nothing of it is lost")
}

func livesRetries(t *rig) {
	w, r := t.rewinding()
	kept := r.create("alice", "n1", "kept")
	first := r.one(kept).Message
	k := r.head()
	w.Mark(t)
	gone := r.create("alice", "n2", "gone")
	r.one(gone)
	w.Rewind(t)
	r.s = w.Store()
	res := r.one(kept)
	require.True(t, res.Duplicate)
	require.Equal(t, first.ID, res.Message.ID)
	r.isGood(true, res.Position, "what a retry is told")
	res = r.one(gone)
	require.False(t, res.Duplicate)
	require.Equal(t, k.Rev+1, res.Message.Rev)
	r.isGood(true, k, "the common past")
	require.Len(t, r.audit(), 2)
}

func livesNewEpoch(t *rig) {
	_, r := t.rewinding()
	starter := need[chat.EpochStarter](t, r.s)
	r.fill(3)
	old := r.head()
	seen := old
	seen.Rev++
	require.NoError(t, r.know(seen))
	require.NotEmpty(t, r.page().Past)
	_, err := starter.NewEpoch(t.ctx, r.key)
	require.NoError(t, err)
	require.Empty(t, r.page().Past)
	r.isGood(false, old, "positions stop being comparable")
}

func livesMadeAgain(t *rig) {
	_, r := t.rewinding()
	remover := need[chat.RoomRemover](t, r.s)
	r.fill(3)
	seen := r.head()
	seen.Rev++
	require.NoError(t, r.know(seen))
	require.NotEmpty(t, r.page().Past)
	require.NoError(t, remover.RemoveRoom(t.ctx, r.key))
	r.make()
	require.Empty(t, r.page().Past)
	r.isGood(false, chat.Position{Epoch: seen.Epoch, Rev: 1}, "of another log")
}

func livesTold(t *rig) {
	w, r := t.rewinding()
	need[chat.Watcher](t, r.s)
	r.fill(3)
	w.Mark(t)
	r.fill(2)
	e := t.watch(r.s)
	w.Rewind(t)
	if w.Store() != r.s {
		t.Skipf("the store is opened anew")
	}
	mark := e.mark()
	t.learns(e, mark, r.key, r.one(r.create("alice", "", "x")).Position)
}
