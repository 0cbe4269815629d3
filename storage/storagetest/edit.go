package storagetest

import (
	"encoding/json"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func editChecks() []check {
	return []check{
		{"replaces_content", "ChangeEdit replaces the content of the message Change.Message.ID, and of Mentions, Attachments and Meta those that are not nil.", "", editReplaces},
		{"unchanged_takes_no_rev", "the change asked for what is already so and took no rev", "", unchangedTakesNoRev},
		{"missing", "ErrNotFound", "there is no message of this id", editMissing},
		{"overtaken", "With Change.Seen, an edit that leaves alone one of these three that is no longer as it was seen is ErrConflict.", "", editOvertaken},
		{"deleted", "A deleted message is ErrNotFound.", "", editDeleted},
		{"delete_empties", "ChangeDelete empties the message Change.Message.ID of everything but its id, seq, user, kind, nonce and times", "", deleteEmpties},
		{"hard_delete_empties", "with Change.Hard of user and nonce too", "", hardDeleteEmpties},
		{"delete_twice", "took no rev", "a deleted message is deleted; hard deletion of it takes away user and nonce, and leaves DeletedAt as it is", deleteTwice},
		{"update_names_settings", "ChangeUpdateRoom sets those settings that Change.Update names.", "", updateNamesSettings},
	}
}

// rich is a message that has everything.
func (r *room) rich(user, nonce string) chat.Change {
	c := r.create(user, nonce, "content")
	m := &c.Message
	m.Kind = chat.KindSystem
	m.ReplyTo, m.Thread = newID(), newID()
	m.Mentions = []string{"bob", "carol"}
	m.Attachments = []chat.Attachment{
		{URL: "https://example.com/a.png", Name: "a.png", Type: "image/png", Size: 1 << 40, Width: 10, Height: 20, Meta: json.RawMessage(`{"x": [1,2]}`)},
		{URL: "https://example.com/b"},
	}
	m.Meta = json.RawMessage(`{ "key" : "välue", "n": 1.0, "big": 12345678901234567890 }`)
	return c
}

func editReplaces(t *rig) {
	r := t.room()
	want := r.one(r.rich("alice", "n")).Message
	step := func(c chat.Change) {
		t.Helper()
		c.Message.ID = want.ID
		res := r.one(c)
		want.Rev, want.EditedAt = res.Position.Rev, stamp(c.At)
		sameMessage(t, want, res.Message, "Result.Message")
		sameMessage(t, want, r.message(want.ID), "what is stored")
	}
	want.Content = "two"
	step(edit("", "two"))

	want.Content, want.Mentions = "three", []string{"dave"}
	c := edit("", "three")
	c.Message.Mentions = []string{"dave"}
	step(c)

	want.Meta, want.Attachments = json.RawMessage(`{"k":2}`), []chat.Attachment{{URL: "u"}}
	c = edit("", "three") // the rest is enough of a change
	c.Message.Meta, c.Message.Attachments = want.Meta, want.Attachments
	step(c)

	want.Mentions, want.Attachments, want.Content = nil, nil, ""
	c = edit("", "")
	c.Message.Mentions, c.Message.Attachments = []string{}, []chat.Attachment{} // not nil: none from now on
	step(c)
	r.audit()
}

func unchangedTakesNoRev(t *rig) {
	r := t.room()
	m := r.one(r.rich("alice", "n")).Message
	info := r.one(retitle("Same")).Room
	before := r.head()

	same := edit(m.ID, m.Content)
	full := edit(m.ID, m.Content)
	full.Message.Mentions, full.Message.Attachments, full.Message.Meta = m.Mentions, m.Attachments, m.Meta
	full.At = full.At.Add(time.Hour)
	for _, res := range r.append(same, full) {
		require.NoError(t, res.Err)
		require.True(t, res.Unchanged)
		require.Equal(t, before, res.Position, "the head as it is")
		sameMessage(t, m, res.Message, "the message as it is")
	}
	for _, c := range []chat.Change{retitle("Same"), {Kind: chat.ChangeUpdateRoom, At: now()}} {
		res := r.one(c)
		require.True(t, res.Unchanged)
		require.Equal(t, before, res.Position, "the head as it is")
		sameRoom(t, info, res.Room, "the settings as they are")
	}
	require.Equal(t, before, r.head())
	require.False(t, r.one(edit(m.ID, "other")).Unchanged)
	r.audit()
}

func editMissing(t *rig) {
	r := t.room()
	elsewhere := t.roomIn(r.s).send("in another room")
	before := r.head()
	for _, id := range []string{newID(), elsewhere.ID, ""} {
		r.refused(edit(id, "x"), chat.ErrNotFound)
		r.refused(remove(id), chat.ErrNotFound)
		r.refused(removeHard(id), chat.ErrNotFound)
	}
	require.Equal(t, before, r.head())
}

func editOvertaken(t *rig) {
	r := t.room()
	seen := r.one(r.rich("alice", "n")).Message
	based := func(on chat.Message, content string) chat.Change {
		c := edit(seen.ID, content)
		c.Seen = &on
		return c
	}
	r.one(based(seen, "of the content only"))
	for _, c := range []chat.Change{
		{Message: chat.Message{Mentions: []string{"dave"}}},
		{Message: chat.Message{Attachments: []chat.Attachment{}}},
		{Message: chat.Message{Meta: json.RawMessage(`{"other":1}`)}},
	} {
		was := r.message(seen.ID)
		c.Kind, c.At, c.Message.ID, c.Message.Content = chat.ChangeEdit, now(), seen.ID, "first"
		c.Seen = &was
		// The second is based on what was there before the first, whether both are
		// appended at once or not.
		before := r.head()
		res := r.append(c, based(was, "second"), r.create("bob", "", "a neighbour"))
		require.NoError(t, res[0].Err)
		require.ErrorIs(t, res[1].Err, chat.ErrConflict)
		require.NoError(t, res[2].Err)
		require.Equal(t, before.Rev+2, res[2].Position.Rev, "what fails takes no position")
		r.refused(based(was, "second"), chat.ErrConflict)
		require.Equal(t, "first", r.message(seen.ID).Content)

		// What it says itself is not left alone.
		whole := based(was, c.Message.Content+" and whole")
		whole.Message.Mentions, whole.Message.Attachments, whole.Message.Meta = []string{"erin"}, was.Attachments, json.RawMessage(`{"k":2}`)
		if whole.Message.Attachments == nil {
			whole.Message.Attachments = []chat.Attachment{}
		}
		r.one(whole)
	}
	r.one(remove(seen.ID))
	r.refused(based(seen, "x"), chat.ErrNotFound)
	r.audit()
}

func editDeleted(t *rig) {
	r := t.room()
	soft, hard := r.send("a"), r.send("b")
	r.one(remove(soft.ID))
	r.one(removeHard(hard.ID))
	before := r.head()
	r.refused(edit(soft.ID, "x"), chat.ErrNotFound)
	r.refused(edit(hard.ID, ""), chat.ErrNotFound)
	require.Equal(t, before, r.head())
}

// emptied is what a deletion leaves of m.
func emptied(m chat.Message, res chat.Result, at time.Time, hard bool) chat.Message {
	left := chat.Message{
		ID: m.ID, Room: m.Room, Seq: m.Seq, Rev: res.Position.Rev, FirstRev: m.FirstRev, User: m.User, Kind: m.Kind,
		Nonce: m.Nonce, CreatedAt: m.CreatedAt, EditedAt: m.EditedAt, DeletedAt: stamp(at),
	}
	if hard {
		left.User, left.Nonce = "", ""
	}
	return left
}

func deleteEmpties(t *rig) { deletion(t, false) }

func hardDeleteEmpties(t *rig) { deletion(t, true) }

func deletion(t *rig, hard bool) {
	r := t.room()
	r.send("before")
	c := r.rich("alice", "n")
	r.one(c)
	m := r.one(edit(c.Message.ID, "edited")).Message
	r.send("after")

	del := remove(m.ID)
	del.Hard = hard
	res := r.one(del)
	want := emptied(m, res, del.At, hard)
	sameMessage(t, want, res.Message, "Result.Message")
	sameMessage(t, want, r.message(m.ID), "what is stored")
	entries := r.walk(res.Position.Rev-1, 10)
	require.Len(t, entries, 1)
	sameMessage(t, want, *entries[0].Message, "what Changes shows")
	require.Len(t, r.audit(), 3, "a deleted message keeps its place")
}

func deleteTwice(t *rig) {
	r := t.room()
	m := r.one(r.create("alice", "n", "a")).Message
	first := remove(m.ID)
	soft := r.one(first)

	res := r.one(remove(m.ID))
	require.True(t, res.Unchanged)
	require.Equal(t, soft.Position, res.Position)
	sameMessage(t, soft.Message, res.Message, "the message as it is")

	hard := r.one(removeHard(m.ID))
	require.False(t, hard.Unchanged, "the user and the nonce are gone now")
	sameMessage(t, emptied(m, hard, first.At, true), hard.Message, "Result.Message")

	for _, c := range []chat.Change{removeHard(m.ID), remove(m.ID)} {
		res := r.one(c)
		require.True(t, res.Unchanged)
		require.Equal(t, hard.Position, res.Position)
		sameMessage(t, hard.Message, res.Message, "the message as it is")
	}
	require.Equal(t, hard.Position, r.head())
	r.audit()
}

func updateNamesSettings(t *rig) {
	r := t.room()
	want := r.history(chat.Query{}).Room
	text := func(s string) *string { return &s }
	for _, step := range []struct {
		update chat.RoomUpdate
		apply  func()
	}{
		{chat.RoomUpdate{Title: text("T")}, func() { want.Title = "T" }},
		{chat.RoomUpdate{Topic: text("To"), Avatar: text("A")}, func() { want.Topic, want.Avatar = "To", "A" }},
		{chat.RoomUpdate{Meta: json.RawMessage(`{"a": 1}`)}, func() { want.Meta = json.RawMessage(`{"a": 1}`) }},
		{chat.RoomUpdate{Title: text(""), Topic: text("To")}, func() { want.Title = "" }},
	} {
		res := r.one(chat.Change{Kind: chat.ChangeUpdateRoom, At: now(), Update: step.update})
		step.apply()
		want.Rev = res.Position.Rev
		sameRoom(t, *want, res.Room, "Result.Room")
		sameRoom(t, *want, *r.history(chat.Query{}).Room, "Page.Room")
		entries := r.walk(want.Rev-1, 5)
		require.Len(t, entries, 1)
		sameRoom(t, *want, *entries[0].Room, "Entry.Room")
	}
	r.audit()
}
