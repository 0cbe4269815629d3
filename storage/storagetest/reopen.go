package storagetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func reopenChecks() []check {
	const durable = "Once Append has returned nil the changes are durable to the degree that the backend documents."
	return []check{
		{"all_is_there", durable, "a store that is closed and opened again continues the same log", reopenAll},
		{"nonces_are_known", durable, "a retry after a restart gets the first answer", reopenNonces},
		{"goes_on", durable, "revs and seqs go on where they were", reopenGoesOn},
	}
}

func reopenAll(t *rig) {
	h := able[Reopener](t)
	r := t.busy()
	r.one(r.rich("alice", "n"))
	head, page, before := r.head(), r.changes(0, 1000), r.audit()
	r.s = h.Reopen(t, r.s)
	require.Equal(t, head, r.head(), "the same epoch, rev and seq")
	sameMessages(t, before, r.audit(), "every message")
	again := r.changes(0, 1000)
	require.Len(t, again.Entries, len(page.Entries))
	sameRoom(t, *page.Room, *again.Room, "the settings")
	r.s = h.Reopen(t, r.s)
	sameMessages(t, before, r.audit(), "every message, opened once more")
}

func reopenNonces(t *rig) {
	h := able[Reopener](t)
	r := t.room()
	a, b, c := r.create("alice", "a", "a"), r.create("alice", "b", "b"), r.create("alice", "c", "c")
	first := r.one(a).Message
	deleted := r.one(remove(r.one(b).Message.ID)).Message
	hard := r.one(removeHard(r.one(c).Message.ID)).Message
	r.s = h.Reopen(t, r.s)
	r.send("another life may begin another epoch")
	r.duplicate(a, first)
	r.duplicate(b, deleted)
	r.duplicate(c, hard)
}

func reopenGoesOn(t *rig) {
	h := able[Reopener](t)
	r := t.room()
	for i := range 4 {
		res := r.one(r.create("alice", "", fmt.Sprint(i)))
		at := res.Position
		require.Equal(t, [2]int64{int64(i) + 2, int64(i) + 1}, [2]int64{at.Rev, at.Seq})
		r.s = h.Reopen(t, r.s)
		page := r.changes(at.Rev, 10)
		require.True(t, page.Good(at), "positions go on, under whatever epoch")
		require.Empty(t, page.Entries)
	}
	require.Len(t, r.audit(), 4)
}

func shareChecks() []check {
	const lost = "so that two servers cannot lose each other's updates"
	return []check{
		{"sees_the_other", "It is the truth; everything that a Server holds beside it may be lost at any time.", "what one server has appended the other reads at once", shareSees},
		{"nonce_at_once", "nothing is written and Result.Duplicate is set", "on two servers at once: one message", shareNonce},
		{"no_lost_update", lost, "", shareUpdates},
		{"many_writers", "every change in it takes the next rev", "on two servers at once", shareWriters},
	}
}

func shareSees(t *rig) {
	h := able[Sharer](t)
	r := t.room()
	r2 := r.over(h.Share(t, r.s))
	m := r.one(r.create("alice", "n", "a")).Message
	sameMessage(t, m, r2.message(m.ID), "on the other server")
	require.Equal(t, r.head(), r2.head())
	m = r2.one(edit(m.ID, "b")).Message
	sameMessage(t, m, r.message(m.ID), "back on the first")
	r.duplicate(r.create("alice", "n", "a"), m)
	r2.duplicate(r2.create("alice", "n", "a"), m)
	r.refused(r2.creation(), chat.ErrConflict)
	r2.refused(r2.creation(), chat.ErrConflict)
	if e, ok := capability[chat.EpochStarter](r.s); ok {
		_, err := e.NewEpoch(t.ctx, r.key)
		require.NoError(t, err)
		require.Equal(t, r.head(), r2.head(), "a new epoch is everyone's")
	}
	r.audit()
	r2.audit()
}

func shareNonce(t *rig) {
	h := able[Sharer](t)
	r := t.room()
	via := []*room{r, r.over(h.Share(t, r.s))}
	for round := range 5 {
		results := make([]chat.Result, 8)
		together(len(results), func(i int) {
			results[i] = only(via[i%2].try(r.create("alice", fmt.Sprint("n", round), fmt.Sprint(i))))
		})
		oneAnswer(t, results)
	}
	require.Len(t, r.audit(), 5)
}

func shareUpdates(t *rig) {
	h := able[Sharer](t)
	r := t.room()
	lostUpdates(t, r, h.Share(t, r.s))
}

func shareWriters(t *rig) {
	h := able[Sharer](t)
	r := t.room()
	via := []*room{r, r.over(h.Share(t, r.s))}
	const writers, each = 10, 20
	errs := make([]error, writers)
	together(writers, func(w int) {
		for i := range each {
			if res := only(via[w%2].try(r.create(fmt.Sprint(w), fmt.Sprint(i), "x"))); res.Err != nil {
				errs[w] = res.Err
			}
		}
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, chat.Position{Epoch: r.epoch, Rev: 1 + writers*each, Seq: writers * each}, r.head())
	sameMessages(t, r.audit(), via[1].audit(), "both show the same")
}
