package storagetest

import (
	"errors"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func lostChecks() []check {
	const lost = "ErrLost is what a Store's Append gives the changes (Result.Err, wrapped in an error that is ErrNotFound) when the room does not exist although known is set, and nobody has removed it: the store has lost it."
	const heads = "the zero Position where the store has lost it, or may have, and one with a Rev of -1 where it has been removed or never was"
	return []check{
		{"append", lost, "each of them, and the store works on", lostAppend},
		{"made_anew", "The server makes it anew from what it remembers of its settings, as another log.", "by a server that knows the old one", lostRemade},
		{"removed_since", lost, "a room that was made anew and removed is not lost", lostRemoved},
		{"heads", heads, "", lostHeads},
		{"told", "What is appended to a room or signed in to it is told within two seconds", "after a loss too", lostTold},
		{"presence", "the node's lease had run out or was never there: everything it has said before is forgotten, and only changes count", "what the store has lost its nodes must say again", lostPresence},
	}
}

// lose makes a room and loses it, with all that is in the store.
func (t *rig) lose() (r *room, known chat.Position) {
	h := able[Loser](t)
	r = t.room()
	r.fill(3)
	known = r.head()
	h.Lose(t, r.s)
	return r, known
}

func lostAppend(t *rig) {
	r, known := t.lose()
	_, err := r.s.Head(t.ctx, r.key)
	r.isError(err, chat.ErrNotFound)
	changes := []chat.Change{r.create("alice", "n", "x"), edit("missing", "x"), retitle("T"), remove("missing")}
	results, err := r.s.Append(t.ctx, r.key, known, changes)
	require.NoError(t, err)
	require.Len(t, results, len(changes))
	for _, res := range results {
		r.isError(res.Err, chat.ErrNotFound)
		require.ErrorIs(t, res.Err, chat.ErrLost)
	}
	results, err = r.s.Append(t.ctx, r.key, known, nil)
	require.NoError(t, err)
	require.Empty(t, results)
	for _, res := range r.append(changes...) {
		r.isError(res.Err, chat.ErrNotFound)
		require.False(t, errors.Is(res.Err, chat.ErrLost), "by one who does not know it, it is not missed")
	}
	require.Empty(t, t.roomIn(r.s).audit(), "the store works on")
}

func lostRemade(t *rig) {
	r, known := t.lose()
	c := r.create("alice", "n", "x")
	results, err := r.s.Append(t.ctx, r.key, known, []chat.Change{r.creation(), c})
	require.NoError(t, err)
	for i, res := range results {
		require.NoError(t, res.Err)
		require.EqualValues(t, i+1, res.Position.Rev, "the log begins anew")
	}
	head := r.head()
	require.NotEqual(t, known.Epoch, head.Epoch, "another log")
	require.True(t, r.appendKnown(known, c).Duplicate)
	require.Equal(t, head.Epoch, r.appendKnown(known, r.create("bob", "", "y")).Position.Epoch)
	require.Len(t, r.audit(), 2)
}

func lostRemoved(t *rig) {
	r, known := t.lose()
	remover := need[chat.RoomRemover](t, r.s)
	r.make()
	require.NoError(t, remover.RemoveRoom(t.ctx, r.key))
	results, err := r.s.Append(t.ctx, r.key, known, []chat.Change{r.create("alice", "n", "x")})
	require.NoError(t, err)
	r.isError(results[0].Err, chat.ErrNotFound)
	require.NotErrorIs(t, results[0].Err, chat.ErrLost)
	if w, ok := capability[chat.Watcher](r.s); ok {
		heads, err := w.Heads(t.ctx, []string{r.key})
		require.NoError(t, err)
		require.EqualValues(t, -1, heads[0].Rev)
	}
}

func lostHeads(t *rig) {
	r, _ := t.lose()
	w := need[chat.Watcher](t, r.s)
	other := t.roomIn(r.s)
	heads, err := w.Heads(t.ctx, []string{other.key, r.key})
	require.NoError(t, err)
	require.Equal(t, []chat.Position{other.head(), {}}, heads)
}

func lostTold(t *rig) {
	h := able[Loser](t)
	a, b := t.pair()
	r := t.roomIn(a)
	r.fill(3)
	e := t.watch(b)
	h.Lose(t, a)
	mark := e.mark()
	t.learns(e, mark, r.key, r.make().Position)
	mark = e.mark()
	t.learns(e, mark, r.key, r.one(r.create("alice", "", "x")).Position)
}

func lostPresence(t *rig) {
	h := able[Loser](t)
	s := t.open()
	k := need[chat.PresenceKeeper](t, s)
	t.attend(k, "n", minute, come("r", "alice"))
	t.attend(k, "m", minute, come("r", "bob"))
	h.Lose(t, s)
	require.Empty(t, t.there(k, "r"))
	nodes, lapsed := t.attend(k, "n", minute, come("r", "carol"))
	require.True(t, lapsed)
	require.False(t, slices.Contains(nodes, "m"))
	require.Equal(t, []string{"carol in r on n"}, t.there(k, "r"))
}
