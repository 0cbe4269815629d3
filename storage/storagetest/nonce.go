package storagetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func nonceChecks() []check {
	const rule = "Where User and Nonce name a message of this room that has been stored within the nonce's lifetime, nothing is written and Result.Duplicate is set."
	const retry = "a retry with that nonce still finds it"
	return []check{
		{"first_answer", rule, "the same nonce again gets the first message, whatever the retry says", nonceFirstAnswer},
		{"within_one_batch", rule, "", nonceWithinBatch},
		{"at_once", rule, "however many at once: one message", nonceAtOnce},
		{"own_per_user_and_room", rule, "the nonces of another user or room are others", nonceOwn},
		{"none", rule, "without a nonce nothing is a duplicate", nonceNone},
		{"newest_state", "Message is the stored one in its newest state.", "after an edit and after a delete too", nonceNewestState},
		{"after_hard_delete", retry, "by Append and by History", nonceAfterHardDelete},
		{"after_others", rule, "however much has been sent since", nonceAfterOthers},
		{"any_bytes", rule, "a pair of user and nonce is not to be confused with another that looks like it joined", nonceAnyBytes},
		{"new_epoch", "what is stored stays", "nonces too", nonceNewEpoch},
	}
}

// duplicate appends a change that must be taken for a retry of m.
func (r *room) duplicate(c chat.Change, m chat.Message) {
	r.t.Helper()
	before := r.head()
	res := r.one(c)
	require.True(r.t, res.Duplicate, "Result.Duplicate")
	require.False(r.t, res.Unchanged)
	sameMessage(r.t, m, res.Message, "Message is the stored one in its newest state")
	require.Equal(r.t, before, res.Position, "the head as it is")
	require.Equal(r.t, before, r.head(), "nothing is written")
}

func nonceFirstAnswer(t *rig) {
	r := t.room()
	c := r.rich("alice", "n1")
	m := r.one(c).Message
	r.send("between")
	r.duplicate(c, m)
	r.duplicate(r.create("alice", "n1", "other content, other id"), m)
	late := r.create("alice", "n1", "")
	late.At = late.At.Add(-time.Hour)
	r.duplicate(late, m)

	p := r.history(chat.Query{User: "alice", Nonce: "n1", Limit: 1})
	require.Len(t, p.Messages, 1)
	sameMessage(t, m, p.Messages[0], "History by nonce")
	require.Len(t, r.audit(), 2)
}

func nonceWithinBatch(t *rig) {
	r := t.room()
	a, b := r.create("alice", "n", "a"), r.create("alice", "n", "b")
	res := r.append(a, b, r.create("alice", "m", "c"), a)
	require.False(t, res[0].Duplicate)
	require.True(t, res[1].Duplicate)
	require.False(t, res[2].Duplicate)
	require.True(t, res[3].Duplicate)
	sameMessage(t, res[0].Message, res[1].Message, "the first answer")
	require.Equal(t, res[0].Position, res[1].Position)
	require.Equal(t, res[2].Position, res[3].Position, "the head as it is")
	require.Len(t, r.audit(), 2)
}

func nonceAtOnce(t *rig) {
	r := t.room()
	const n = 24
	results := make([]chat.Result, n)
	together(n, func(i int) {
		results[i] = only(r.try(r.create("alice", "same", fmt.Sprint("content ", i))))
	})
	oneAnswer(t, results)
	require.Len(t, r.audit(), 1)
}

// oneAnswer checks that one of the results is the first and all are equal.
func oneAnswer(t *rig, results []chat.Result) {
	t.Helper()
	first := 0
	for _, res := range results {
		require.NoError(t, res.Err)
		sameMessage(t, results[0].Message, res.Message, "all answers are equal")
		if !res.Duplicate {
			first++
		}
	}
	require.Equal(t, 1, first, "one of them is the first")
}

// only folds the answer to a single change into one value, for goroutines.
func only(results []chat.Result, err error) chat.Result {
	switch {
	case err != nil:
		return chat.Result{Err: err}
	case len(results) != 1:
		return chat.Result{Err: fmt.Errorf("%d answers to one change", len(results))}
	}
	return results[0]
}

func nonceOwn(t *rig) {
	r := t.room()
	other := t.roomIn(r.s)
	require.False(t, r.one(r.create("alice", "n", "a")).Duplicate)
	require.False(t, r.one(r.create("bob", "n", "b")).Duplicate)
	require.False(t, r.one(r.create("Alice", "n", "c")).Duplicate)
	require.False(t, r.one(r.create("alice", "N", "d")).Duplicate)
	require.False(t, other.one(other.create("alice", "n", "e")).Duplicate)
	require.Len(t, r.audit(), 4)
	require.Len(t, other.audit(), 1)
	require.Empty(t, r.history(chat.Query{User: "carol", Nonce: "n", Limit: 1}).Messages)
}

func nonceNone(t *rig) {
	r := t.room()
	for range 3 {
		require.False(t, r.one(r.create("alice", "", "same")).Duplicate)
	}
	require.Len(t, r.audit(), 3)
}

func nonceNewestState(t *rig) {
	r := t.room()
	c := r.create("alice", "n", "a")
	m := r.one(c).Message
	m = r.one(edit(m.ID, "edited")).Message
	r.duplicate(c, m)
	m = r.one(remove(m.ID)).Message
	r.duplicate(c, m)
	require.Len(t, r.audit(), 1)
}

func nonceAfterHardDelete(t *rig) {
	r := t.room()
	c := r.create("alice", "n", "a")
	m := r.one(c).Message
	m = r.one(removeHard(m.ID)).Message
	r.duplicate(c, m)
	p := r.history(chat.Query{User: "alice", Nonce: "n", Limit: 1})
	require.Len(t, p.Messages, 1, "History by nonce finds it too")
	sameMessage(t, m, p.Messages[0], "without user and nonce")
	require.Len(t, r.audit(), 1)
}

func nonceAfterOthers(t *rig) {
	r := t.room()
	c := r.create("alice", "n", "a")
	m := r.one(c).Message
	for batch := range 5 {
		var changes []chat.Change
		for i := range 100 {
			changes = append(changes, r.create("alice", fmt.Sprint("n", batch, "-", i), "x"))
		}
		r.append(changes...)
	}
	r.duplicate(c, m)
}

func nonceAnyBytes(t *rig) {
	r := t.room()
	pairs := [][2]string{
		{"a", "b:c"}, {"a:b", "c"}, {"a", "b c"}, {"a b", "c"}, {"a", "b|c"}, {"a|b", "c"},
		{"a", "b/c"}, {"a/b", "c"}, {"a,b", "c"}, {"a", "b,c"}, {"ab", "c"}, {"a", "bc"},
		{"a", "b\x1fc"}, {"a\x1fb", "c"}, {"a", "b\x01c"}, {"a\x01b", "c"}, {"a", "b\nc"}, {"a\nb", "c"}, {"a", "c\x1f"}, {"a\x1f", "c"},
		{"a", "\u2603"}, {"a", "{}"}, {"a", "*"}, {"a", "'; --"}, {"a", "%"}, {"a", "_"}, {"a", "__proto__"},
	}
	for _, p := range pairs {
		require.False(t, r.one(r.create(p[0], p[1], "x")).Duplicate, "%q", p)
	}
	for i, p := range pairs {
		res := r.one(r.create(p[0], p[1], "x"))
		require.True(t, res.Duplicate, "%q", p)
		require.EqualValues(t, i+1, res.Message.Seq)
	}
}

func nonceNewEpoch(t *rig) {
	r := t.room()
	c := r.create("alice", "n", "a")
	m := r.one(c).Message
	_, err := need[chat.EpochStarter](t, r.s).NewEpoch(t.ctx, r.key)
	require.NoError(t, err)
	r.duplicate(c, m)
}
