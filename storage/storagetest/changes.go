package storagetest

import (
	"math"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func changesChecks() []check {
	const rule = "Changes returns what has changed after rev after, each changed thing once, in its newest state, in rev order: one snapshot, complete for (after, page.Through]."
	return []check{
		{"newest_state_once", rule, "superseded states are folded into the newest", changesFolded},
		{"every_cursor", rule, "from anywhere, with any limit", changesEveryCursor},
		{"limit", "It holds at most limit entries; page.More says that Through is below the head.", "", changesLimit},
		{"through", "cursors advance to it, not to the last entry's rev", "at the end it is the head", changesThrough},
		{"at_the_head", "An after at or beyond the head gives an empty page.", "and Through is the head, so that a cursor passes over nothing that comes", changesAtHead},
		{"settings", "Entry is one changed thing in its newest state: a message or the room's settings.", "", changesSettings},
		{"page_is_the_callers", rule, "what has been returned does not change any more, and changing it changes nothing", changesOwned},
	}
}

// busy makes a room in which much has been superseded.
func (t *rig) busy() *room {
	r := t.room()
	msgs := r.fill(12)
	for _, i := range []int{3, 7, 3, 3, 11, 0} {
		r.one(edit(msgs[i].ID, newID()))
	}
	r.one(retitle("One"))
	r.one(remove(msgs[5].ID))
	r.one(removeHard(msgs[3].ID))
	r.one(retitle("Two"))
	r.send("last but one")
	r.one(edit(msgs[7].ID, "again"))
	return r
}

func changesFolded(t *rig) {
	r := t.room()
	a, b, c := r.send("a"), r.send("b"), r.send("c") // 2 3 4
	r.one(edit(a.ID, "a2"))                          // 5
	r.one(edit(b.ID, "b2"))                          // 6
	r.one(edit(a.ID, "a3"))                          // 7
	r.one(remove(b.ID))                              // 8
	p := r.changes(0, 100)
	var got []int64
	for _, e := range p.Entries {
		got = append(got, e.Rev)
	}
	require.Equal(t, []int64{1, 4, 7, 8}, got)
	require.EqualValues(t, 8, p.Through)
	sameMessage(t, c, *p.Entries[1].Message, "c")
	require.Equal(t, "a3", p.Entries[2].Message.Content)
	require.Equal(t, a.FirstRev, p.Entries[2].Message.FirstRev)
	require.True(t, p.Entries[3].Message.Deleted())
	r.audit()
}

func changesEveryCursor(t *rig) {
	r := t.busy()
	head := r.head()
	all := r.walk(0, math.MaxInt32)
	for after := range head.Rev + 1 {
		var want []int64
		for _, e := range all {
			if e.Rev > after {
				want = append(want, e.Rev)
			}
		}
		for _, limit := range []int{1, 2, 3, 5, len(want), len(want) + 1} {
			if limit == 0 {
				continue
			}
			var got []int64
			for _, e := range r.walk(after, limit) {
				got = append(got, e.Rev)
			}
			require.Equal(t, want, got, "after %d with limit %d", after, limit)
		}
	}
	r.audit()
}

func changesLimit(t *rig) {
	r := t.room()
	r.fill(9) // ten entries with the settings
	for _, limit := range []int{1, 4, 9, 10, 11, 1000, math.MaxInt32} {
		p := r.changes(0, limit)
		r.sound(p, 0, limit)
		require.Len(t, p.Entries, min(limit, 10), "a page is full while there is something")
		require.Equal(t, limit < 10, p.More)
	}
	p := r.changes(0, 0)
	require.Empty(t, p.Entries, "limit 0: none")
	require.Zero(t, p.Through, "none were looked at")
	require.True(t, p.More)
}

func changesThrough(t *rig) {
	r := t.busy()
	head := r.head()
	p := r.changes(0, 1000)
	require.Equal(t, head.Rev, p.Through)
	require.Equal(t, head, p.Head)
	p = r.changes(head.Rev-1, 1)
	require.Len(t, p.Entries, 1)
	require.Equal(t, head.Rev, p.Through)
	require.False(t, p.More)
	p = r.changes(0, 2)
	require.Len(t, p.Entries, 2)
	require.GreaterOrEqual(t, p.Through, p.Entries[1].Rev)
	next := r.changes(p.Through, 1)
	require.Len(t, next.Entries, 1, "Through has passed over what was not shown")
	require.Greater(t, next.Entries[0].Rev, p.Through)
}

func changesAtHead(t *rig) {
	r := t.busy()
	head := r.head()
	for _, after := range []int64{head.Rev, head.Rev + 1, head.Rev + 1000, math.MaxInt64} {
		p := r.changes(after, 10)
		require.Empty(t, p.Entries)
		require.False(t, p.More)
		require.Equal(t, head, p.Head)
		require.Equal(t, head.Rev, p.Through)
	}
	r.send("new")
	require.Len(t, r.changes(head.Rev, 10).Entries, 1)
}

func changesSettings(t *rig) {
	r := t.room()
	r.send("a")
	r.one(retitle("One"))
	r.send("b")
	info := r.one(retitle("Two")).Room
	p := r.changes(0, 100)
	require.Len(t, p.Entries, 3, "two messages and the settings once")
	sameRoom(t, info, *p.Entries[2].Room, "the newest settings")
	sameRoom(t, info, *p.Room, "Page.Room")
	require.EqualValues(t, 5, p.Entries[2].Rev)
}

func changesOwned(t *rig) {
	r := t.room()
	c := r.rich("alice", "n")
	in := r.rich("alice", "n").Message // what c was, in other memory
	res := r.one(c)
	scribble(&c.Message)
	want := res.Message
	in.ID, in.ReplyTo, in.Thread = want.ID, want.ReplyTo, want.Thread
	in.Seq, in.Rev, in.FirstRev, in.CreatedAt = want.Seq, want.Rev, want.FirstRev, want.CreatedAt
	sameMessage(t, in, r.message(in.ID), "the caller may use again what it has passed in")

	page, hist, dup := r.changes(0, 10), r.history(chat.Query{Limit: 10}), r.one(r.create("alice", "n", "retry"))
	r.one(edit(in.ID, "edited"))
	sameMessage(t, in, *page.Entries[1].Message, "a page of Changes after an edit")
	sameMessage(t, in, hist.Messages[0], "a page of History after an edit")
	sameMessage(t, in, dup.Message, "a Result after an edit")

	scribble(page.Entries[1].Message)
	scribble(&hist.Messages[0])
	scribble(&dup.Message)
	scribble(&res.Message)
	in.Content = "edited"
	got := r.message(in.ID)
	in.Rev, in.EditedAt = got.Rev, got.EditedAt
	sameMessage(t, in, got, "scribbling on what was returned reaches nothing")
	r.audit()
}
