package storagetest

import (
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func epochChecks() []check {
	const rule = "A store whose head has the same epoch and a lower rev has been rolled back and starts a new epoch before it writes."
	const started = "what is stored stays, positions stop being comparable, clients start over"
	return []check{
		{"rolled_back", rule, "", epochRolledBack},
		{"rolled_back_without_changes", "It does so without changes to write, too.", "", epochWithoutChanges},
		{"seen_at_or_below_the_head", rule, "a head that is not lower has not been rolled back", epochSeenBelow},
		{"seen_in_another_epoch", rule, "positions of different epochs do not compare", epochSeenOther},
		{"stays", "Position is a place in a room's log.", "an epoch does not change by itself", epochStays},
		{"new_epoch", started, "", epochStarted},
		{"new_epoch_of_no_room", "EpochStarter is a Store that can be told to start a new epoch of a room", "a room that does not exist is ErrNotFound", epochNoRoom},
		{"removed_and_made_again", "created again, it has another epoch", "", epochRemade},
	}
}

// appendKnown is append by a server that has seen known.
func (r *room) appendKnown(known chat.Position, c chat.Change) chat.Result {
	r.t.Helper()
	res := only(r.s.Append(r.ctx, r.key, known, []chat.Change{c}))
	require.NoError(r.t, res.Err)
	return res
}

func epochRolledBack(t *rig) {
	r := t.room()
	before := r.fill(3)
	head := r.head()
	seen := head
	seen.Rev++
	res := r.appendKnown(seen, r.create("alice", "n", "after the rollback"))
	require.NotEqual(t, head.Epoch, res.Position.Epoch, "a new epoch")
	require.NotEmpty(t, res.Position.Epoch)
	require.Equal(t, res.Position, r.head())
	require.EqualValues(t, 4, res.Message.Seq)
	require.Greater(t, res.Position.Rev, head.Rev)
	msgs := r.audit()
	sameMessages(t, before, msgs[:3], "what is stored stays")

	again := r.appendKnown(seen, r.create("alice", "m", "seen is of the old epoch now"))
	require.Equal(t, res.Position.Epoch, again.Position.Epoch, "once")
}

func epochWithoutChanges(t *rig) {
	r := t.room()
	r.fill(3)
	before, seen := r.audit(), r.head()
	require.NoError(t, r.know(seen))
	require.Equal(t, seen, r.head(), "it has not been rolled back")
	seen.Rev++
	require.NoError(t, r.know(seen))
	head := r.head()
	require.NotEqual(t, seen.Epoch, head.Epoch, "a new epoch")
	require.NoError(t, r.know(seen))
	require.Equal(t, head, r.head(), "once")
	sameMessages(t, before, r.audit(), "what is stored stays")
}

// know is Append without changes by a server that has seen known.
func (r *room) know(known chat.Position) error {
	results, err := r.s.Append(r.ctx, r.key, known, nil)
	require.Empty(r.t, results)
	return err
}

func epochSeenBelow(t *rig) {
	r := t.room()
	r.fill(3)
	head := r.head()
	for _, seen := range []chat.Position{{}, {Epoch: head.Epoch}, {Epoch: head.Epoch, Rev: 1}, head} {
		res := r.appendKnown(seen, r.create("alice", "", "x"))
		require.Equal(t, head.Epoch, res.Position.Epoch, "known %+v", seen)
	}
	r.audit()
}

func epochSeenOther(t *rig) {
	r := t.room()
	for _, seen := range []chat.Position{{Epoch: "other", Rev: 1000, Seq: 1000}, {Rev: 1000, Seq: 1000}} {
		res := r.appendKnown(seen, r.create("alice", "", "x"))
		require.Equal(t, r.epoch, res.Position.Epoch, "known %+v", seen)
	}
	r.audit()
}

func epochStays(t *rig) {
	r := t.busy()
	require.Equal(t, r.epoch, r.head().Epoch)
	require.Equal(t, r.epoch, r.changes(0, 1).Head.Epoch)
	require.Equal(t, r.epoch, r.history(chat.Query{Limit: 1}).Head.Epoch)
}

func epochStarted(t *rig) {
	r := t.room()
	starter := need[chat.EpochStarter](t, r.s)
	r.fill(3)
	before := r.audit()
	seen := map[string]bool{r.epoch: true}
	for range 3 {
		p, err := starter.NewEpoch(t.ctx, r.key)
		require.NoError(t, err)
		require.False(t, seen[p.Epoch], "an epoch that has not been")
		seen[p.Epoch] = true
		require.Equal(t, p, r.head(), "NewEpoch returns the head")
		require.EqualValues(t, 3, p.Seq)
	}
	sameMessages(t, before, r.audit(), "what is stored stays")
	require.EqualValues(t, 4, r.send("on").Seq, "seq goes on")
	r.audit()
}

func epochNoRoom(t *rig) {
	s := t.open()
	_, err := need[chat.EpochStarter](t, s).NewEpoch(t.ctx, "missing")
	(&room{t: t, s: s}).isError(err, chat.ErrNotFound)
	_, err = s.Head(t.ctx, "missing")
	(&room{t: t, s: s}).isError(err, chat.ErrNotFound)
}

func epochRemade(t *rig) {
	r := t.room()
	remover := need[chat.RoomRemover](t, r.s)
	c := r.create("alice", "n", "x")
	r.one(c)
	old := r.epoch
	require.NoError(t, remover.RemoveRoom(t.ctx, r.key))
	res := r.make()
	require.NotEqual(t, old, r.epoch)
	require.Equal(t, chat.Position{Epoch: r.epoch, Rev: 1}, res.Position, "the log begins anew")
	require.False(t, r.one(c).Duplicate, "its nonces went with it")
	require.Len(t, r.audit(), 1)
}
