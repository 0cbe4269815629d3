package storagetest

import (
	"encoding/json"
	"fmt"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat"
)

func modelChecks() []check {
	return []check{
		{"any_sequence", "Append applies changes to the room's newest state, atomically and in order, and answers each by itself", "any sequence of changes gives the answers, pages and history of the simplest model", modelAnySequence},
	}
}

// modelAnySequence is a property; -rapid.checks says how often it is tried.
func modelAnySequence(t *rig) {
	s := t.open()
	rapid.Check(t, func(rt *rapid.T) {
		r := &room{t: rt, ctx: t.ctx, s: s, id: "r-" + newID()}
		r.key = "tenant/" + r.id
		made := r.make()
		m := &model{epoch: r.epoch, rev: 1, room: made.Room, nonces: map[[2]string]int{}}
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			var batch []chat.Change
			var want []chat.Result
			for range rapid.IntRange(1, 6).Draw(rt, "changes") {
				c := drawChange(rt, r, m)
				batch, want = append(batch, c), append(want, m.apply(c))
			}
			for i, got := range r.append(batch...) {
				sameResult(rt, want[i], got, fmt.Sprintf("answer %d to %s", i, describe(batch[i])))
			}
			drawWalk(rt, r, m)
		}
		sameMessages(rt, m.msgs, r.audit(), "History at the end")
	})
}

func drawChange(rt *rapid.T, r *room, m *model) chat.Change {
	id := func() string {
		ids := []string{"missing"}
		for i := range m.msgs {
			ids = append(ids, m.msgs[i].ID)
		}
		return rapid.SampledFrom(ids).Draw(rt, "id")
	}
	text := rapid.SampledFrom([]string{"", "a", "b", "c"})
	meta := rapid.SampledFrom([]json.RawMessage{nil, nil, json.RawMessage(`{}`), json.RawMessage(`{"a": 1}`)})
	people := rapid.SampledFrom([][]string{nil, nil, {"alice"}, {"bob", "alice"}})
	switch rapid.IntRange(0, 9).Draw(rt, "kind") {
	case 0:
		return removeHard(id())
	case 1:
		return remove(id())
	case 2:
		c := retitle(text.Draw(rt, "title"))
		c.Update.Meta = meta.Draw(rt, "meta")
		return c
	case 3, 4, 5:
		c := edit(id(), text.Draw(rt, "content"))
		c.Message.Mentions, c.Message.Meta = people.Draw(rt, "mentions"), meta.Draw(rt, "meta")
		return c
	case 6:
		return r.creation()
	default:
		c := r.create(rapid.SampledFrom([]string{"alice", "bob"}).Draw(rt, "user"),
			rapid.SampledFrom([]string{"", "", "1", "2", "3", "4"}).Draw(rt, "nonce"), text.Draw(rt, "content"))
		c.Message.Mentions, c.Message.Meta = people.Draw(rt, "mentions"), meta.Draw(rt, "meta")
		return c
	}
}

// drawWalk compares the walk of some cursor, and some page of history.
func drawWalk(rt *rapid.T, r *room, m *model) {
	head := m.head()
	after := rapid.Int64Range(0, head.Rev+1).Draw(rt, "after")
	limit := rapid.IntRange(1, int(head.Rev)+1).Draw(rt, "limit")
	got, want := r.walk(after, limit), m.entries(after)
	require.Len(rt, got, len(want), "a cursor from %d with limit %d meets each changed thing once", after, limit)
	for i, w := range want {
		if w == nil {
			require.NotNil(rt, got[i].Room)
			sameRoom(rt, m.room, *got[i].Room, "Entry.Room")
			continue
		}
		require.NotNil(rt, got[i].Message)
		sameMessage(rt, *w, *got[i].Message, "Entry.Message")
	}

	seq := rapid.Int64Range(1, head.Seq+1).Draw(rt, "seq")
	end := min(seq-1, head.Seq)
	from := max(end-int64(limit), 0)
	p := r.history(chat.Query{Before: seq, Limit: limit})
	sameMessages(rt, m.msgs[from:end], p.Messages, "History before")
	require.Equal(rt, from > 0, p.More)
	end = min(seq+int64(limit), head.Seq)
	p = r.history(chat.Query{After: seq, Limit: limit})
	sameMessages(rt, m.msgs[min(seq, end):end], p.Messages, "History after")
	require.Equal(rt, end < head.Seq, p.More)
	require.Equal(rt, head, p.Head)
}

func sameResult(t tester, want, got chat.Result, what string) {
	t.Helper()
	if want.Err != nil {
		require.ErrorIs(t, got.Err, want.Err, what)
	} else {
		require.NoError(t, got.Err, what)
		sameMessage(t, want.Message, got.Message, what)
		require.Equal(t, want.Position, got.Position, what)
	}
	require.Equal(t, want.Duplicate, got.Duplicate, what+": Duplicate")
	require.Equal(t, want.Unchanged, got.Unchanged, what+": Unchanged")
	sameRoom(t, want.Room, got.Room, what)
}

func describe(c chat.Change) string {
	kind := map[chat.ChangeKind]string{
		chat.ChangeCreateRoom: "create room", chat.ChangeUpdateRoom: "update room",
		chat.ChangeCreate: "create", chat.ChangeEdit: "edit", chat.ChangeDelete: "delete",
	}[c.Kind]
	return fmt.Sprintf("%s %s (hard %t)", kind, c.Message.ID, c.Hard)
}
