package storagetest

import (
	"math"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func historyChecks() []check {
	const rule = "History returns messages sorted by seq, as q asks."
	return []check{
		{"newest", "with none, the newest", "", historyNewest},
		{"before", "those with seq < Before, the nearest", "", historyBefore},
		{"after", "those with seq > After, the nearest; to begin at the start use Around: 1", "", historyAfter},
		{"around", "half before, half from seq Around on", "the half before is the smaller one; More says that newer ones follow", historyAround},
		{"limit_0", "0: none, just Page.Room and Page.Head", "", historyLimit0},
		{"by_id", "the one message with this id, or none", "", historyByID},
		{"by_nonce", "User and Nonce ask for the one message that this user sent with this nonce, or none.", "", historyByNonce},
		{"deleted_keep_place", rule, "a deleted message keeps its place", historyDeleted},
		{"sorted_by_seq", rule, "edits do not move a message", historySorted},
		{"empty_room", rule, "", historyEmpty},
		{"head", "Page is a consistent snapshot of part of a room.", "with Head and Room of then", historyHead},
	}
}

// shows checks which messages a query gives.
func (r *room) shows(q chat.Query, from, to int64, more bool) {
	r.t.Helper()
	p := r.history(q)
	require.Equal(r.t, span(from, to), seqs(p.Messages), "History(%+v)", q)
	require.Equal(r.t, more, p.More, "More of History(%+v)", q)
}

func historyNewest(t *rig) {
	r := t.room()
	msgs := r.fill(10)
	r.shows(chat.Query{Limit: 3}, 8, 10, true)
	r.shows(chat.Query{Limit: 9}, 2, 10, true)
	r.shows(chat.Query{Limit: 10}, 1, 10, false)
	r.shows(chat.Query{Limit: 11}, 1, 10, false)
	r.shows(chat.Query{Limit: math.MaxInt32}, 1, 10, false)
	sameMessages(t, msgs, r.history(chat.Query{Limit: 10}).Messages, "what Append returned")
}

func historyBefore(t *rig) {
	r := t.room()
	r.fill(10)
	r.shows(chat.Query{Before: 8, Limit: 3}, 5, 7, true)
	r.shows(chat.Query{Before: 5, Limit: 3}, 2, 4, true)
	r.shows(chat.Query{Before: 4, Limit: 3}, 1, 3, false)
	r.shows(chat.Query{Before: 2, Limit: 3}, 1, 1, false)
	r.shows(chat.Query{Before: 1, Limit: 3}, 1, 0, false)
	r.shows(chat.Query{Before: 11, Limit: 2}, 9, 10, true)
	r.shows(chat.Query{Before: 1000, Limit: 2}, 9, 10, true)
	r.shows(chat.Query{Before: math.MaxInt64, Limit: 2}, 9, 10, true)
}

func historyAfter(t *rig) {
	r := t.room()
	r.fill(10)
	r.shows(chat.Query{After: 1, Limit: 3}, 2, 4, true)
	r.shows(chat.Query{After: 6, Limit: 3}, 7, 9, true)
	r.shows(chat.Query{After: 7, Limit: 3}, 8, 10, false)
	r.shows(chat.Query{After: 9, Limit: 3}, 10, 10, false)
	r.shows(chat.Query{After: 10, Limit: 3}, 1, 0, false)
	r.shows(chat.Query{After: 1000, Limit: 3}, 1, 0, false)
	r.shows(chat.Query{After: math.MaxInt64, Limit: 3}, 1, 0, false)
}

func historyAround(t *rig) {
	r := t.room()
	r.fill(20)
	r.shows(chat.Query{Around: 10, Limit: 4}, 8, 11, true)
	r.shows(chat.Query{Around: 10, Limit: 5}, 8, 12, true)
	r.shows(chat.Query{Around: 10, Limit: 1}, 10, 10, true)
	p := r.history(chat.Query{Around: 1, Limit: 6})
	require.Equal(t, span(1, 6), seqs(p.Messages), "Around 1 begins at the start, with a whole page")
	require.True(t, p.More)
	p = r.history(chat.Query{Around: 20, Limit: 6})
	require.Equal(t, span(15, 20), seqs(p.Messages), "what the newer side lacks, the older has more")
	require.False(t, p.More)
}

func historyLimit0(t *rig) {
	r := t.room()
	m := r.one(r.create("alice", "n", "a")).Message
	info := r.one(retitle("T")).Room
	for _, q := range []chat.Query{{}, {Before: 5}, {After: 1}, {Around: 1}, {ID: m.ID}, {User: "alice", Nonce: "n"}} {
		p := r.history(q)
		require.Empty(t, p.Messages, "%+v", q)
		require.Equal(t, r.head(), p.Head)
		sameRoom(t, info, *p.Room, "Page.Room")
	}
}

func historyByID(t *rig) {
	r := t.room()
	other := t.roomIn(r.s).send("elsewhere")
	msgs := r.fill(5)
	for _, m := range msgs {
		sameMessage(t, m, r.message(m.ID), "by id")
	}
	require.Len(t, r.history(chat.Query{ID: msgs[1].ID, Limit: 50}).Messages, 1)
	for _, id := range []string{other.ID, newID(), "no such id", msgs[0].ID[:20]} {
		require.Empty(t, r.history(chat.Query{ID: id, Limit: 50}).Messages, "%q", id)
	}
}

func historyByNonce(t *rig) {
	r := t.room()
	a := r.one(r.create("alice", "n", "a")).Message
	b := r.one(r.create("bob", "n", "b")).Message
	a = r.one(edit(a.ID, "a2")).Message
	for _, m := range []chat.Message{a, b} {
		p := r.history(chat.Query{User: m.User, Nonce: m.Nonce, Limit: 10})
		sameMessages(t, []chat.Message{m}, p.Messages, "by nonce")
	}
	require.Empty(t, r.history(chat.Query{User: "carol", Nonce: "n", Limit: 10}).Messages)
	require.Empty(t, r.history(chat.Query{User: "alice", Nonce: "other", Limit: 10}).Messages)
}

func historyDeleted(t *rig) {
	r := t.room()
	msgs := r.fill(6)
	msgs[1] = r.one(remove(msgs[1].ID)).Message
	msgs[3] = r.one(removeHard(msgs[3].ID)).Message
	msgs[5] = r.one(remove(msgs[5].ID)).Message
	sameMessages(t, msgs, r.history(chat.Query{Limit: 6}).Messages, "all six")
	r.shows(chat.Query{Before: 5, Limit: 3}, 2, 4, true)
	r.shows(chat.Query{After: 1, Limit: 3}, 2, 4, true)
	sameMessage(t, msgs[3], r.message(msgs[3].ID), "by id")
	require.EqualValues(t, 7, r.send("next").Seq, "their seqs are not handed out again")
	r.audit()
}

func historySorted(t *rig) {
	r := t.room()
	msgs := r.fill(6)
	for _, i := range []int{4, 0, 2, 0} {
		msgs[i] = r.one(edit(msgs[i].ID, newID())).Message
	}
	late := r.create("alice", "", "dated earlier")
	late.At = late.At.AddDate(-1, 0, 0)
	late.Message.ID = "00000000000000000000000000" // sorts before all others
	msgs = append(msgs, r.one(late).Message)
	sameMessages(t, msgs, r.history(chat.Query{Limit: 10}).Messages, "by seq, not by id, time or rev")
	r.audit()
}

func historyEmpty(t *rig) {
	r := t.room()
	for _, q := range []chat.Query{{Limit: 5}, {Before: 5, Limit: 5}, {After: 5, Limit: 5}, {Around: 1, Limit: 5}} {
		r.shows(q, 1, 0, false)
	}
}

func historyHead(t *rig) {
	r := t.busy()
	p := r.history(chat.Query{Limit: 2})
	require.Equal(t, r.head(), p.Head)
	require.Equal(t, "Two", p.Room.Title)
	require.Zero(t, p.Floor, "nothing has been trimmed")
	require.Equal(t, p.Head.Seq, p.Messages[1].Seq)
}
