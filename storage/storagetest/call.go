package storagetest

import (
	"context"
	"errors"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func callChecks() []check {
	const obey = "All methods may be called concurrently, obey ctx, and return no type or error of the driver below"
	return []check{
		{"ended_context", obey, "a call whose context has ended already fails, and nothing is written", endedContext},
		{"passed_deadline", obey, "", passedDeadline},
		{"ended_context_optional", obey, "the optional powers too", endedContextOptional},
	}
}

// gaveUp wants the error of a call that did not do anything.
func (t *rig) gaveUp(err error, method string) {
	t.Helper()
	require.Error(t, err, method)
	known := errors.Is(err, chat.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	require.True(t, known, "%s: %v is neither ErrUnavailable nor the context's error", method, err)
	require.NotErrorIs(t, err, chat.ErrUnknown, "%s: it is known that nothing was written", method)
	require.NotErrorIs(t, err, chat.ErrNotFound, "%s: that would be an answer", method)
	discreet(t, t.last, err)
}

func endedContext(t *rig) { notWritten(t, ended(t.ctx)) }

func passedDeadline(t *rig) {
	ctx, cancel := context.WithDeadline(t.ctx, time.Unix(0, 0))
	defer cancel()
	notWritten(t, ctx)
}

func notWritten(t *rig, ctx context.Context) {
	r := t.room()
	m := r.send("a")
	before := r.head()
	c := r.create("alice", "n", "x")
	for _, change := range []chat.Change{c, edit(m.ID, "b"), remove(m.ID), retitle("T")} {
		_, err := r.s.Append(ctx, r.key, chat.Position{}, []chat.Change{change})
		t.gaveUp(err, "Append")
	}
	_, err := r.s.Append(ctx, "new room", chat.Position{}, []chat.Change{r.creation()})
	t.gaveUp(err, "Append to a new room")
	_, err = r.s.Head(t.ctx, "new room")
	r.isError(err, chat.ErrNotFound)
	_, err = r.s.Head(ctx, r.key)
	t.gaveUp(err, "Head")
	_, err = r.s.Changes(ctx, r.key, 0, 10)
	t.gaveUp(err, "Changes")
	_, err = r.s.History(ctx, r.key, chat.Query{Limit: 10})
	t.gaveUp(err, "History")

	require.Equal(t, before, r.head(), "nothing is written")
	require.False(t, r.one(c).Duplicate, "the nonce has not been used")
	require.Len(t, r.audit(), 2)
}

func endedContextOptional(t *rig) {
	r := t.room()
	ctx := ended(t.ctx)
	if l, ok := capability[chat.RoomLister](r.s); ok {
		_, _, err := l.ListRooms(ctx, "", "", 10)
		t.gaveUp(err, "ListRooms")
	}
	if e, ok := capability[chat.EpochStarter](r.s); ok {
		_, err := e.NewEpoch(ctx, r.key)
		t.gaveUp(err, "NewEpoch")
	}
	if rm, ok := capability[chat.RoomRemover](r.s); ok {
		t.gaveUp(rm.RemoveRoom(ctx, r.key), "RemoveRoom")
	}
	if w, ok := capability[chat.Watcher](r.s); ok {
		_, err := w.Heads(ctx, []string{r.key})
		t.gaveUp(err, "Heads")
		t.gaveUp(w.Signal(ctx, r.key, nil), "Signal")
	}
	if k, ok := capability[chat.PresenceKeeper](r.s); ok {
		_, _, err := k.Attend(ctx, "node", time.Minute, []chat.Attendance{{Room: r.key, Node: "node", User: chat.User{ID: "alice"}}})
		t.gaveUp(err, "Attend")
		_, err = k.Attendances(ctx, []string{r.key})
		t.gaveUp(err, "Attendances")
		all, err := k.Attendances(t.ctx, []string{r.key})
		require.NoError(t, err)
		require.Empty(t, all)
	}
	require.Equal(t, r.epoch, r.head().Epoch)
}

// wholeTimes is of the subject content.
func wholeTimes(t *rig) {
	r := t.room()
	east := time.FixedZone("east", 5*3600+1800)
	for _, at := range []time.Time{
		time.Now(),
		time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, east),
		time.Date(1969, 12, 31, 23, 59, 59, 999_000_000, time.UTC),
		time.Date(2300, 1, 1, 0, 0, 0, 1_500_000, time.UTC),
	} {
		want := at.UTC().Truncate(time.Millisecond)
		is := func(got time.Time, what string) {
			t.Helper()
			require.True(t, got.Equal(want), "%s of %v is %v", what, at, got)
			require.Equal(t, time.UTC, got.Location(), what)
		}
		c := r.create("alice", "", "a")
		c.At = at
		m := r.one(c).Message
		require.True(t, m.EditedAt.IsZero() && m.DeletedAt.IsZero(), "zero: never")
		e := edit(m.ID, "b")
		e.At = at
		m = r.one(e).Message
		require.True(t, m.DeletedAt.IsZero(), "zero: not deleted")
		d := remove(m.ID)
		d.At = at
		for _, m := range []chat.Message{r.one(d).Message, r.message(m.ID)} {
			is(m.CreatedAt, "CreatedAt")
			is(m.EditedAt, "EditedAt")
			is(m.DeletedAt, "DeletedAt")
		}
		made := r.creation()
		made.At = at
		other := &room{t: t, ctx: t.ctx, s: r.s, key: newID(), id: "x"}
		is(other.one(made).Room.CreatedAt, "RoomInfo.CreatedAt")
		is(other.history(chat.Query{}).Room.CreatedAt, "RoomInfo.CreatedAt")
	}
	r.audit()
}
