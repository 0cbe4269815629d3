package storagetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func appendChecks() []check {
	return []check{
		{"revs_are_dense", "A room is a log: every change in it takes the next rev.", "", revsAreDense},
		{"seqs_are_dense", "the highest seq handed out up to there", "a message's seq is its place in the room, from 1, without holes; edits and deletes keep it", seqsAreDense},
		{"batch_in_order", "Append applies changes to the room's newest state, atomically and in order, and answers each by itself", "", batchInOrder},
		{"bad_change_alone", "one that fails takes no position and does not harm its neighbours", "", badChangeAlone},
		{"no_changes", "answers each by itself", "no changes, no answers and no rev", noChanges},
		{"room_made", "ChangeCreateRoom makes the room with Change.Room as its settings.", "", roomMade},
		{"room_made_twice", "On a room that exists it fails with ErrConflict, and Result.Room is what is there.", "", roomMadeTwice},
		{"room_missing", "It is the only change that a room that does not exist takes; all others fail with ErrNotFound.", "and reading it is ErrNotFound", roomMissing},
		{"made_and_used_in_one", "atomically and in order", "a room is there for the changes behind the one that makes it", madeAndUsedInOne},
		{"id_taken", "ErrConflict", "a message whose id the room has already is refused, not written over it", idTaken},
		{"unknown_kind", "one that fails takes no position", "a Change of no known kind fails", unknownKind},
		{"rooms_apart", "a Store must not read anything into it", "what happens in one room does not show in another", roomsApart},
	}
}

func revsAreDense(t *rig) {
	r := t.room()
	require.EqualValues(t, 1, r.head().Rev, "the making of a room is its first change")
	a := r.one(r.create("alice", "", "a"))
	steps := []chat.Change{
		r.create("bob", "", "b"),
		edit(a.Message.ID, "a2"),
		retitle("Other"),
		remove(a.Message.ID),
		removeHard(a.Message.ID),
	}
	require.EqualValues(t, 2, a.Position.Rev)
	for i, c := range steps {
		res := r.one(c)
		require.EqualValues(t, 3+i, res.Position.Rev, "Result.Position of change %d", i)
		require.Equal(t, r.epoch, res.Position.Epoch)
		require.Equal(t, res.Position, r.head())
		if c.Kind == chat.ChangeUpdateRoom {
			require.Equal(t, res.Position.Rev, res.Room.Rev, "RoomInfo.Rev is where the settings last changed")
		} else {
			require.Equal(t, res.Position.Rev, res.Message.Rev, "Message.Rev is where the message last changed")
		}
	}
	r.audit()
}

func seqsAreDense(t *rig) {
	r := t.room()
	for i := range int64(5) {
		m := r.send("x")
		require.Equal(t, i+1, m.Seq)
		require.Equal(t, m.Rev, m.FirstRev)
		require.Equal(t, i+1, r.one(edit(m.ID, "y")).Message.Seq, "an edit keeps the seq")
		gone := r.one(remove(m.ID))
		require.Equal(t, i+1, gone.Message.Seq, "a delete keeps the seq")
		require.Equal(t, m.FirstRev, gone.Message.FirstRev)
		require.Equal(t, i+1, gone.Position.Seq)
	}
	r.audit()
}

func batchInOrder(t *rig) {
	r := t.room()
	a, b := r.create("alice", "", "a"), r.create("alice", "", "b")
	res := r.append(a, edit(a.Message.ID, "a2"), b, edit(a.Message.ID, "a3"), remove(b.Message.ID), retitle("T"))
	for i, one := range res {
		require.NoError(t, one.Err, "change %d", i)
		require.EqualValues(t, 2+i, one.Position.Rev, "each answer holds the rev after its own change")
	}
	require.EqualValues(t, []int64{1, 1, 2, 2, 2, 2}, []int64{
		res[0].Position.Seq, res[1].Position.Seq, res[2].Position.Seq, res[3].Position.Seq, res[4].Position.Seq, res[5].Position.Seq,
	}, "each answer holds the head seq after its own change")
	require.Equal(t, "a", res[0].Message.Content, "each answer holds the state after its own change")
	require.Equal(t, "a2", res[1].Message.Content)
	require.Equal(t, "a3", res[3].Message.Content)
	require.True(t, res[4].Message.Deleted())
	require.Equal(t, "T", res[5].Room.Title)
	sameMessage(t, res[3].Message, r.message(a.Message.ID), "the last state stays")
	r.audit()
}

func badChangeAlone(t *rig) {
	r := t.room()
	a, b := r.create("alice", "", "a"), r.create("alice", "", "b")
	res := r.append(a, edit("missing", "x"), r.creation(), b, remove("missing"))
	require.NoError(t, res[0].Err)
	require.NoError(t, res[3].Err)
	r.isError(res[1].Err, chat.ErrNotFound)
	r.isError(res[2].Err, chat.ErrConflict)
	r.isError(res[4].Err, chat.ErrNotFound)
	require.EqualValues(t, 2, res[0].Position.Rev)
	require.EqualValues(t, 3, res[3].Position.Rev, "what fails takes no rev")
	require.EqualValues(t, 2, res[3].Message.Seq)
	require.Len(t, r.audit(), 2)
}

func noChanges(t *rig) {
	r := t.room()
	before := r.head()
	require.Empty(t, r.append())
	require.Equal(t, before, r.head())
}

func roomMade(t *rig) {
	r := &room{t: t, ctx: t.ctx, s: t.open(), key: "k", id: "direct"}
	c := r.creation()
	c.Room = chat.RoomInfo{
		ID: "direct", Kind: chat.RoomDirect, Title: "Tïtle", Topic: "Topic", Avatar: "https://example.com/a.png",
		Peers: []string{"alice", "bob"}, Meta: []byte(`{ "a" : 1 }`), CreatedBy: "alice",
	}
	res := r.one(c)
	want := c.Room
	want.Rev, want.CreatedAt = 1, stamp(c.At)
	sameRoom(t, want, res.Room, "Result.Room")
	require.NotEmpty(t, res.Position.Epoch)
	require.Equal(t, chat.Position{Epoch: res.Position.Epoch, Rev: 1}, res.Position)
	sameRoom(t, want, *r.history(chat.Query{}).Room, "Page.Room of History")
	sameRoom(t, want, *r.changes(0, 1).Room, "Page.Room of Changes")
	require.Empty(t, r.audit())
}

func roomMadeTwice(t *rig) {
	r := t.room()
	r.send("a")
	there := r.one(retitle("There")).Room
	before := r.head()
	c := r.creation()
	c.Room.Title = "Other"
	res := r.refused(c, chat.ErrConflict)
	sameRoom(t, there, res.Room, "Result.Room is what is there")
	require.Equal(t, before, r.head())
	sameRoom(t, there, *r.history(chat.Query{}).Room, "the settings stay")
}

func roomMissing(t *rig) {
	r := &room{t: t, ctx: t.ctx, s: t.open(), key: "missing", id: "missing"}
	for _, res := range r.append(r.create("alice", "n", "a"), edit("x", "y"), remove("x"), removeHard("x"), retitle("T")) {
		r.isError(res.Err, chat.ErrNotFound)
	}
	_, err := r.s.Head(t.ctx, r.key)
	r.isError(err, chat.ErrNotFound)
	_, err = r.s.Changes(t.ctx, r.key, 0, 10)
	r.isError(err, chat.ErrNotFound)
	_, err = r.s.History(t.ctx, r.key, chat.Query{Limit: 10})
	r.isError(err, chat.ErrNotFound)
	_, err = r.s.History(t.ctx, r.key, chat.Query{})
	r.isError(err, chat.ErrNotFound)
	r.make()
	require.Empty(t, r.audit(), "what has failed left nothing behind")
}

func madeAndUsedInOne(t *rig) {
	r := &room{t: t, ctx: t.ctx, s: t.open(), key: "k", id: "one"}
	early := r.create("alice", "", "too early")
	res := r.append(early, r.creation(), r.create("alice", "n", "a"), retitle("T"))
	r.isError(res[0].Err, chat.ErrNotFound)
	for _, one := range res[1:] {
		require.NoError(t, one.Err)
	}
	require.Equal(t, chat.Position{Epoch: res[3].Position.Epoch, Rev: 3, Seq: 1}, r.head())
	require.Equal(t, res[3].Position, r.head())
	require.Len(t, r.audit(), 1)
}

func idTaken(t *rig) {
	r := t.room()
	m := r.send("mine")
	before := r.head()
	c := r.create("mallory", "n", "other")
	c.Message.ID = m.ID
	r.refused(c, chat.ErrConflict)
	require.Equal(t, before, r.head())
	sameMessage(t, m, r.message(m.ID), "the first one stays")
	r.audit()
}

func unknownKind(t *rig) {
	r := t.room()
	before := r.head()
	res := r.append(chat.Change{At: now()}, chat.Change{Kind: 200, At: now()})
	require.Error(t, res[0].Err)
	require.Error(t, res[1].Err)
	require.Equal(t, before, r.head())
}

func roomsApart(t *rig) {
	s := t.open()
	var rooms []*room
	for range 5 {
		rooms = append(rooms, t.roomIn(s))
	}
	same := newID()
	for round := range 3 {
		for i, r := range rooms {
			c := r.create("alice", fmt.Sprint("n", round), fmt.Sprint(i, " ", round))
			if round == 0 {
				c.Message.ID = same // ids are the room's own too
			}
			require.False(t, r.one(c).Duplicate)
		}
	}
	rooms[0].one(remove(same))
	for i, r := range rooms {
		msgs := r.audit()
		require.Len(t, msgs, 3)
		if i > 0 {
			require.Equal(t, fmt.Sprint(i, " 0"), msgs[0].Content)
			require.NotEqual(t, rooms[0].epoch, r.epoch, "each room is a log of its own")
		}
	}
}
