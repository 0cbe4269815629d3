package storagetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// Breaker is a [Harness] of a store under which something can fail: a server,
// a connection, a disk. [Line] helps with connections.
type Breaker interface {
	// OpenBreaking is Open for a store that can be broken, and nothing else
	// with it.
	OpenBreaking(t testing.TB) Breaking
}

// Breaking is a store under which everything fails on command, while calls of
// the store are under way or not.
type Breaking interface {
	Store() chat.Store
	// Break has writes fail from now on, and reads too where the store goes
	// below for them. The store stays open, and must not need minutes to find
	// out.
	Break(t testing.TB)
	// Mend ends Break. The store finds its way back by itself, soon.
	Mend(t testing.TB)
}

func brokenChecks() []check {
	const fails = "failures of the backend are ErrUnavailable, or ErrUnknown where a write may have happened"
	const answer = "No failure looks like an answer: like an empty page, a room that does not exist, a change that is acknowledged or has failed alone."
	const ready = "Check returns an error, ErrUnavailable as a rule, where nothing can be stored at present."
	return []check{
		{"reads", answer, "what is shown is what was there", brokenReads},
		{"writes", fails, "what has failed is not there, what is acknowledged is, and what is unknown in whole or not at all", brokenWrites},
		{"while_used", fails, "many write when it breaks", brokenWhileUsed},
		{"optional", answer, "of the optional powers neither", brokenOptional},
		{"epochs_and_removals", fails, "and what the answer says of them is so", brokenRooms},
		{"checker", ready, "it says so however often it is asked, no longer than it is so, and leaves nothing behind", brokenChecker},
	}
}

const (
	// resigned is how long a call of a broken store may take.
	resigned = 30 * time.Second
	// recovered is how long a store may take to notice that it is whole again.
	recovered = time.Minute
)

// breaking opens a store that can be broken, and makes a room in it.
func (t *rig) breaking() (Breaking, *room) {
	b := able[Breaker](t).OpenBreaking(t)
	return b, t.roomIn(b.Store())
}

// breaks breaks the store, which then gives up in time.
func (r *room) breaks(t *rig, b Breaking) {
	b.Break(t)
	ctx, cancel := context.WithTimeout(t.ctx, resigned)
	t.Cleanup(cancel)
	r.ctx = ctx
}

// mends mends the store and waits until it can be read and written to.
func (r *room) mends(t *rig, b Breaking) {
	t.Helper()
	b.Mend(t)
	r.ctx = t.ctx
	late := time.NewTimer(recovered)
	defer late.Stop()
	for {
		_, err := r.s.Head(t.ctx, r.key)
		if err == nil {
			_, err = r.s.Append(t.ctx, "mended "+newID(), chat.Position{}, []chat.Change{r.creation()})
		}
		if err == nil {
			return
		}
		select {
		case <-late.C:
			t.Fatalf("it does not recover from what has been mended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// failed wants an error as a failure of the backend is one.
func (r *room) failed(err error, method string) {
	r.t.Helper()
	known := isAny(err, chat.ErrUnavailable, chat.ErrUnknown, context.DeadlineExceeded)
	require.True(r.t, known, "%s: %v is neither ErrUnavailable nor ErrUnknown", method, err)
	require.NotErrorIs(r.t, err, chat.ErrNotFound, "%s: that would be an answer", method)
	discreet(r.t, r.s, err)
}

func brokenReads(t *rig) {
	b, r := t.breaking()
	m := r.one(r.rich("alice", "n")).Message
	r.fill(4)
	head, first, rest := r.head(), r.changes(0, 3), r.changes(3, 3)
	hist := r.history(chat.Query{Limit: 3})
	r.breaks(t, b)
	for range 3 { // the first may fail otherwise than those that know
		if got, err := r.s.Head(r.ctx, r.key); err != nil {
			r.failed(err, "Head")
		} else {
			require.Equal(t, head, got, "Head")
		}
		for _, want := range []chat.Page{first, rest} {
			after := want.Entries[0].Rev - 1
			if got, err := r.s.Changes(r.ctx, r.key, after, len(want.Entries)); err != nil {
				r.failed(err, "Changes")
			} else {
				require.Len(t, got.Entries, len(want.Entries), "Changes")
				require.Equal(t, want.Head, got.Head, "Changes")
				require.Equal(t, want.Through, got.Through, "Changes")
			}
		}
		for _, q := range []chat.Query{{Limit: 3}, {ID: m.ID, Limit: 1}, {User: "alice", Nonce: "n", Limit: 1}} {
			want := hist.Messages
			if q.Limit == 1 {
				want = []chat.Message{m}
			}
			if got, err := r.s.History(r.ctx, r.key, q); err != nil {
				r.failed(err, "History")
			} else {
				sameMessages(t, want, got.Messages, "History")
				require.NotNil(t, got.Room, "Page.Room")
			}
		}
	}
	r.mends(t, b)
	require.Equal(t, head, r.head(), "nothing has happened")
	require.Len(t, r.audit(), 5)
}

// attempt is an Append to a store that may be broken.
type attempt struct {
	changes []chat.Change
	err     error
}

// attempts appends and looks at how that ends.
func (r *room) attempt(changes ...chat.Change) (attempt, error) {
	results, err := r.try(changes...)
	a := attempt{changes, err}
	if err != nil {
		return a, nil
	}
	if len(results) != len(changes) {
		return a, fmt.Errorf("%d answers to %d changes", len(results), len(changes))
	}
	for i, res := range results {
		if res.Err != nil {
			return a, fmt.Errorf("the answer to a change that would have succeeded: %w", res.Err)
		}
		if changes[i].Kind == chat.ChangeCreate && res.Message.ID != changes[i].Message.ID {
			return a, fmt.Errorf("the answer to the message %s is of %q", changes[i].Message.ID, res.Message.ID)
		}
	}
	return a, nil
}

// settled looks, when the store is whole again, at what has become of new
// messages, and sends them again.
func (r *room) settled(all []attempt) {
	r.t.Helper()
	there := map[string]bool{}
	for _, m := range r.audit() {
		there[m.ID] = true
	}
	for _, a := range all {
		n := 0
		for _, c := range a.changes {
			if there[c.Message.ID] {
				n++
			}
		}
		switch {
		case a.err == nil:
			require.Equal(r.t, len(a.changes), n, "acknowledged and not there")
		case isAny(a.err, chat.ErrUnknown):
			require.Contains(r.t, []int{0, len(a.changes)}, n, "half of an Append is there")
		default:
			require.Zero(r.t, n, "it is there, though nothing was written by %v", a.err)
		}
		for _, c := range a.changes {
			res := r.one(c)
			require.Equal(r.t, there[c.Message.ID], res.Duplicate, "a retry with the same nonce")
			require.Equal(r.t, c.Message.ID, res.Message.ID)
		}
	}
	n := 0
	for _, a := range all {
		n += len(a.changes)
	}
	require.GreaterOrEqual(r.t, len(r.audit()), n, "every message once it has been sent again")
}

func brokenWrites(t *rig) {
	b, r := t.breaking()
	m, gone := r.send("x"), r.send("y")
	before := r.history(chat.Query{}).Room.Title
	r.breaks(t, b)
	var sent []attempt
	failed := 0
	send := func(changes ...chat.Change) attempt {
		a, err := r.attempt(changes...)
		require.NoError(t, err)
		if a.err != nil {
			failed++
			r.failed(a.err, "Append")
		}
		return a
	}
	for i := range 3 {
		sent = append(sent, send(r.create("alice", fmt.Sprint("a", i), "one")))
		sent = append(sent, send(r.create("alice", fmt.Sprint("b", i), "two"), r.create("bob", fmt.Sprint("c", i), "three")))
	}
	edited, removed, retitled := send(edit(m.ID, "edited")), send(remove(gone.ID)), send(retitle("Retitled"))
	require.NotZero(t, failed, "nothing fails: Break has broken nothing, or failures are acknowledged")
	r.mends(t, b)

	was := func(a attempt, done bool, what string) {
		t.Helper()
		if !isAny(a.err, chat.ErrUnknown) {
			require.Equal(t, a.err == nil, done, "%s is written, and the answer was: %v", what, a.err)
		}
	}
	was(edited, r.message(m.ID).Content == "edited", "the edit")
	now := r.message(gone.ID)
	was(removed, now.Deleted(), "the delete")
	was(retitled, r.history(chat.Query{}).Room.Title != before, "the title")
	r.settled(sent)
}

func brokenWhileUsed(t *rig) {
	b, r := t.breaking()
	var mu sync.Mutex
	var sent []attempt
	var wrong error
	busy := *r
	ctx, cancel := context.WithTimeout(t.ctx, resigned)
	defer cancel()
	busy.ctx = ctx
	enough := make(chan struct{})
	begun := sync.OnceFunc(func() { close(enough) })
	var broke atomic.Bool
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i, more := 0, 20; more > 0 && ctx.Err() == nil; i++ {
				if broke.Load() {
					more-- // it would have to fail by now
				}
				batch := make([]chat.Change, 3)
				for j := range batch {
					batch[j] = busy.create(fmt.Sprint("user ", w), fmt.Sprint(i, " ", j), "x")
				}
				a, err := busy.attempt(batch...)
				mu.Lock()
				sent = append(sent, a)
				if err != nil {
					wrong = err
				}
				over := a.err != nil || err != nil
				if len(sent) == 40 || over {
					begun()
				}
				mu.Unlock()
				if over {
					return
				}
			}
		})
	}
	<-enough
	b.Break(t)
	broke.Store(true)
	writers.Wait()
	require.NoError(t, wrong)
	failed := 0
	for _, a := range sent {
		if a.err != nil {
			failed++
			r.failed(a.err, "Append")
		}
	}
	require.NotZero(t, failed, "nothing fails: Break has broken nothing, or failures are acknowledged")
	r.mends(t, b)
	r.settled(sent)
}

func brokenOptional(t *rig) {
	b, r := t.breaking()
	r.fill(3)
	head, attended, powers := r.head(), false, 0
	r.breaks(t, b)
	ok := func(err error, method string) bool {
		t.Helper()
		powers++
		if err != nil {
			r.failed(err, method)
		}
		return err == nil
	}
	if l, is := capability[chat.RoomLister](r.s); is {
		if rooms, more, err := l.ListRooms(r.ctx, r.key, "", 10); ok(err, "ListRooms") {
			require.Len(t, rooms, 1, "ListRooms")
			require.False(t, more, "ListRooms")
			require.Equal(t, head, rooms[0].Head, "ListRooms")
		}
	}
	if w, is := capability[chat.Watcher](r.s); is {
		if heads, err := w.Heads(r.ctx, []string{r.key}); ok(err, "Heads") {
			require.Equal(t, []chat.Position{head}, heads, "Heads")
		}
		ok(w.Signal(r.ctx, r.key, []byte("{}")), "Signal") // soon or never
	}
	k, keeps := capability[chat.PresenceKeeper](r.s)
	if keeps {
		_, _, err := k.Attend(r.ctx, "node", time.Hour, []chat.Attendance{come(r.key, "alice")})
		attended = ok(err, "Attend")
		if all, err := k.Attendances(r.ctx, []string{r.key}); ok(err, "Attendances") && attended {
			require.Len(t, all, 1, "Attendances")
		}
	}
	if c, is := capability[chat.Checker](r.s); is {
		require.False(t, ok(c.Check(r.ctx), "Check"), "Check returns an error where nothing can be stored at present")
	}
	if powers == 0 {
		t.Skipf("the store has none of the optional powers")
	}
	r.mends(t, b)
	if attended {
		require.Len(t, t.there(k, r.key), 1, "who came is there")
	}
	require.Equal(t, head, r.head())
}

func brokenRooms(t *rig) {
	b, r := t.breaking()
	starter, starts := capability[chat.EpochStarter](r.s)
	remover, removes := capability[chat.RoomRemover](r.s)
	trimmer, trims := capability[chat.Trimmer](r.s)
	if !starts && !removes && !trims {
		t.Skipf("the store is no %s, %s or %s", name[chat.EpochStarter](), name[chat.RoomRemover](), name[chat.Trimmer]())
	}
	goes, trimmed := t.roomIn(r.s), t.roomIn(r.s)
	trimmed.fill(5)
	r.breaks(t, b)
	var begun, removed, cut error
	var head chat.Position
	if starts {
		head, begun = starter.NewEpoch(r.ctx, r.key)
	}
	if removes {
		removed = remover.RemoveRoom(r.ctx, goes.key)
	}
	if trims {
		cut = trimmer.Trim(r.ctx, trimmed.key, 1)
	}
	for method, err := range map[string]error{"NewEpoch": begun, "RemoveRoom": removed, "Trim": cut} {
		if err != nil {
			r.failed(err, method)
		}
	}
	r.mends(t, b)
	// done wants to see what was said.
	done := func(is bool, err error, what string) {
		t.Helper()
		if !isAny(err, chat.ErrUnknown) {
			require.Equal(t, err == nil, is, "%s, and the answer was: %v", what, err)
		}
	}
	if starts {
		done(r.head().Epoch != r.epoch, begun, "an epoch has begun")
		require.True(t, begun != nil || r.head() == head, "NewEpoch returns the head")
	}
	if removes {
		_, err := r.s.Head(t.ctx, goes.key)
		done(isAny(err, chat.ErrNotFound), removed, "a room is gone")
	}
	if trims {
		done(len(trimmed.history(chat.Query{Limit: 5}).Messages) == 1, cut, "a room has been trimmed")
	}
}
