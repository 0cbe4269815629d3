package storagetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func retentionChecks() []check {
	const floor = "Floor is the highest FirstRev among messages that retention has trimmed, 0 if none was: a position below it cannot be continued."
	return []check{
		{"oldest_go", "Page is a consistent snapshot of part of a room.", "where the oldest have been trimmed: the newest stay, seqs and revs go on", oldestGo},
		{"floor", floor, "", trimmedFloor},
		{"edited_and_trimmed", floor, "a trimmed message leaves its later revs as holes; Through passes over them", editedAndTrimmed},
		{"told_to_trim", "Trim lets go of all but the newest keep messages, one at least, as retention by number does: seqs and revs go on, Page.Floor rises.", "", toldToTrim},
		{"clock_leaps", "A store that lets go of messages by their age does not take a leap of the wall clock for time that has passed: one that is set right again has cost nothing.", "", clockLeaps},
		{"nonces_stay", "has been stored within the nonce's lifetime", "the answer of a trimmed message keeps ID, Seq, FirstRev, User, Kind, Nonce and CreatedAt", trimmedNonces},
	}
}

// trimming makes a room that keeps 10 messages.
func (t *rig) trimming() *room {
	h := able[Trimmer](t)
	return t.roomIn(h.OpenTrimming(t, 10))
}

func oldestGo(t *rig) {
	r := t.trimming()
	for i := range 25 {
		m := r.send(fmt.Sprint(i))
		require.EqualValues(t, i+1, m.Seq)
		require.Len(t, r.audit(), min(i+1, 10))
	}
	r.shows(chat.Query{Limit: 100}, 16, 25, false)
	r.shows(chat.Query{Before: 18, Limit: 5}, 16, 17, false)
	r.shows(chat.Query{Before: 10, Limit: 5}, 1, 0, false)
	r.shows(chat.Query{After: 3, Limit: 5}, 16, 20, true)
	p := r.history(chat.Query{Around: 1, Limit: 4})
	require.EqualValues(t, 16, p.Messages[0].Seq, "the start is the oldest that is kept")
	r.fill(30)
	r.shows(chat.Query{Limit: 100}, 46, 55, false)
	r.audit()
}

func clockLeaps(t *rig) {
	const age, leap = time.Hour, 30 * time.Hour
	s, set := able[Ager](t).OpenAging(t, age)
	r := t.roomIn(s)
	for i := range 3 {
		r.send(fmt.Sprint(i))
	}
	set(0)
	r.shows(chat.Query{Limit: 10}, 1, 3, false)
	set(leap)
	c := r.create("alice", "", "from the future")
	c.At = c.At.Add(leap)
	r.one(c)
	set(leap) // while that is the newest
	r.shows(chat.Query{Limit: 10}, 1, 4, false)
	set(0)
	r.shows(chat.Query{Limit: 10}, 1, 4, false)
	r.send("after it")
	require.Zero(t, r.history(chat.Query{Limit: 10}).Floor)
	r.shows(chat.Query{Limit: 10}, 1, 5, false)
	r.audit()

	// What is too old still goes.
	old := t.roomIn(s)
	for i := range 3 {
		c := old.create("alice", "", fmt.Sprint(i))
		c.At = c.At.Add(-2 * age)
		old.one(c)
	}
	old.send("young")
	set(0)
	old.shows(chat.Query{Limit: 10}, 4, 4, false)
	require.EqualValues(t, 4, old.history(chat.Query{}).Floor, "the third came at rev 4")
}

func toldToTrim(t *rig) {
	r := t.room()
	trimmer := need[chat.Trimmer](t, r.s)
	trim := func(keep int) { t.Helper(); require.NoError(t, trimmer.Trim(r.ctx, r.key, keep)) }
	msgs := r.fill(25)
	head := r.head()
	trim(10)
	r.shows(chat.Query{Limit: 100}, 16, 25, false)
	require.Equal(t, head, r.head())
	require.Equal(t, msgs[14].FirstRev, r.changes(head.Rev, 5).Floor)
	trim(20)
	r.shows(chat.Query{Limit: 100}, 16, 25, false)
	r.fill(2)
	trim(0)
	r.shows(chat.Query{Limit: 100}, 27, 27, false)
	r.audit()
	require.ErrorIs(t, trimmer.Trim(r.ctx, r.key+"-not-there", 1), chat.ErrNotFound)
}

func trimmedFloor(t *rig) {
	r := t.trimming()
	msgs := r.fill(10)
	require.Zero(t, r.changes(0, 5).Floor)
	for range 4 {
		msgs = append(msgs, r.send("x"))
	}
	want := msgs[3].FirstRev
	require.Equal(t, want, r.changes(0, 5).Floor)
	require.Equal(t, want, r.history(chat.Query{Limit: 1}).Floor)
	require.Equal(t, want, r.changes(r.head().Rev, 5).Floor)
	require.Equal(t, want, r.history(chat.Query{}).Floor)
	require.Empty(t, r.history(chat.Query{ID: msgs[3].ID, Limit: 1}).Messages)
	r.refused(edit(msgs[3].ID, "x"), chat.ErrNotFound)
	sameMessage(t, msgs[4], r.message(msgs[4].ID), "the oldest that is kept")
	require.Len(t, r.walk(want, 3), 10, "from the floor on all is there: ten messages")
	r.audit()
}

func editedAndTrimmed(t *rig) {
	r := t.trimming()
	msgs := r.fill(10)
	r.one(edit(msgs[0].ID, "edited"))
	r.one(edit(msgs[1].ID, "edited"))
	r.fill(2) // trims both
	p := r.changes(0, 100)
	require.Equal(t, msgs[1].FirstRev, p.Floor, "by FirstRev, not by Rev")
	require.Equal(t, r.head().Rev, p.Through)
	require.Len(t, r.walk(0, 1), 1+10)
	r.audit()
}

func trimmedNonces(t *rig) {
	r := t.trimming()
	c := r.create("alice", "n", "a")
	m := r.one(c).Message
	d := r.create("bob", "n", "b")
	hard := r.one(d).Message
	r.one(removeHard(hard.ID))
	r.fill(30)
	before := r.head()
	for _, want := range []chat.Message{m, hard} {
		res := r.one(r.create(want.User, want.Nonce, "retry"))
		require.True(t, res.Duplicate)
		require.Equal(t, []any{want.ID, want.Seq, want.FirstRev, want.Room}, []any{res.Message.ID, res.Message.Seq, res.Message.FirstRev, res.Message.Room})
		require.True(t, want.CreatedAt.Equal(res.Message.CreatedAt))
		require.Empty(t, r.history(chat.Query{User: want.User, Nonce: want.Nonce, Limit: 1}).Messages, "the message is not there")
	}
	require.Equal(t, before, r.head())
	require.Len(t, r.audit(), 10)
}
