package storagetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func damageChecks() []check {
	const rule = "A message that the backend finds damaged does not make its room unreadable"
	const note = "one damaged message, empty and deleted or left out, does not hide the others"
	return []check{
		{"history", rule, note, damagedHistory},
		{"changes", rule, note, damagedChanges},
		{"goes_on", rule, "a room with a damaged message can be written to", damagedGoesOn},
	}
}

// damaged makes a room of ten messages, the fifth of which is damaged.
func (t *rig) damaged() (r *room, msgs []chat.Message) {
	h := able[Corrupter](t)
	r = t.room()
	for i := range 10 {
		msgs = append(msgs, r.one(r.rich("alice", fmt.Sprint(i))).Message)
	}
	h.Corrupt(t, r.s, r.key, 5)
	return r, msgs
}

// intact checks messages but for the fifth, which nobody can read.
func (r *room) intact(want, got []chat.Message) {
	r.t.Helper()
	var rest []chat.Message
	for _, m := range got {
		if m.Seq != 5 {
			rest = append(rest, m)
			continue
		}
		require.True(r.t, m.Deleted(), "what cannot be read is shown as deleted")
		require.Empty(r.t, m.Content)
		require.Empty(r.t, m.Meta)
	}
	var others []chat.Message
	for _, m := range want {
		if m.Seq != 5 {
			others = append(others, m)
		}
	}
	sameMessages(r.t, others, rest, "the other messages")
}

func damagedHistory(t *rig) {
	r, msgs := t.damaged()
	r.intact(msgs, r.history(chat.Query{Limit: 10}).Messages)
	r.intact(msgs[:8], r.history(chat.Query{Around: 1, Limit: 8}).Messages)
	r.intact(msgs[3:5], r.history(chat.Query{Before: 6, Limit: 2}).Messages)
	r.intact(nil, r.history(chat.Query{ID: msgs[4].ID, Limit: 1}).Messages)
	require.EqualValues(t, 10, r.head().Seq)
	for _, m := range []chat.Message{msgs[3], msgs[5]} {
		sameMessage(t, m, r.message(m.ID), "a neighbour")
	}
	if l, ok := capability[chat.RoomLister](r.s); ok {
		rooms, _, err := l.ListRooms(t.ctx, r.key, "", 1)
		require.NoError(t, err)
		sameMessage(t, msgs[9], *rooms[0].LastMessage, "the last message")
	}
}

func damagedChanges(t *rig) {
	r, msgs := t.damaged()
	for _, limit := range []int{1, 3, 100} {
		var got []chat.Message
		for _, e := range r.walk(1, limit) {
			if e.Message != nil {
				got = append(got, *e.Message)
			}
		}
		r.intact(msgs, got)
	}
}

func damagedGoesOn(t *rig) {
	r, msgs := t.damaged()
	for _, c := range []chat.Change{edit(msgs[4].ID, "mended"), remove(msgs[4].ID), r.create("alice", "4", "retry")} {
		res := r.append(edit(msgs[3].ID, newID()), c, r.create("bob", "", "on"))
		require.NoError(t, res[0].Err)
		require.NoError(t, res[2].Err)
	}
	require.EqualValues(t, "on", r.history(chat.Query{Limit: 1}).Messages[0].Content)
}
