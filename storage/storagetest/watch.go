package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func watchChecks() []check {
	const tells = "Watch tells l what happens in the store, to rooms of any key, the caller's own doings included or not, until ctx ends; then it returns ctx's error."
	const inTime = "What is appended to a room or signed in to it is told within two seconds, by Appended or Present or else by a Missed that covers the room, whatever is lost between the servers, for as long as the store can be reached."
	const heads = "Heads returns the end of each room's log: what Head returns, or, for a room that does not exist, the zero Position where the store has lost it, or may have, and one with a Rev of -1 where it has been removed or never was."
	const gone = "Hint says that a room's log has moved to Head, or that the room is gone."
	return []check{
		{"begins", "It begins with Missed(nil), once it will miss nothing more.", "what is appended from then on is told", watchBegins},
		{"told", inTime, "", watchTold},
		{"any_key", tells, "", watchAnyKey},
		{"many_rooms", inTime, "of however many rooms at once", watchManyRooms},
		{"order", "What happens in one room is told in the order of its log", "two servers write at once: the heads do not fall", watchOrder},
		{"entries", "Entries, where it is not nil, returns the changes of (After, Head.Rev], each at its own rev in the state that it had then, or an error where they cannot be read.", "all of them, whatever has been superseded", watchEntries},
		{"removed", gone, "by a Rev of -1, or by a Missed after which Heads says so", watchRemoved},
		{"new_epoch", gone, "where the epoch is another one, too", watchEpoch},
		{"ends", tells, "and l is not called any more", watchEnds},
		{"signal", "Signal tells all who watch, the caller included or not: l.Signal gets room and data, at most 4 KiB or it is ErrTooLarge, soon or never.", "one of many gets there, as it was", watchSignal},
		{"heads", heads, "in the order in which the rooms are named", watchHeads},
		{"many_heads", heads, "of thousands in one call", watchManyHeads},
	}
}

func watchBegins(t *rig) {
	a, b := t.pair()
	r := t.roomIn(a)
	for range 5 {
		e := t.watch(b)
		mark := e.mark()
		t.learns(e, mark, r.key, r.one(r.create("alice", "", "x")).Position)
	}
}

func watchTold(t *rig) {
	a, b := t.pair()
	ea, eb := t.watch(a), t.watch(b)
	mark := eb.mark()
	r := t.roomIn(a)
	t.learns(eb, mark, r.key, r.head())
	o := r.over(b)
	m := r.send("a")
	for i := range 5 {
		mark := eb.mark()
		r.append(r.create("alice", "", "x"), edit("missing", "x"), r.create("bob", "", "y"))
		t.learns(eb, mark, r.key, r.head())
		mark = ea.mark()
		t.learns(ea, mark, r.key, o.one(edit(m.ID, fmt.Sprint(i))).Position)
		mark = ea.mark()
		t.learns(ea, mark, r.key, o.one(retitle(fmt.Sprint(i))).Position)
	}
}

func watchAnyKey(t *rig) {
	a, b := t.pair()
	e := t.watch(b)
	keys := anyKeys()
	heads := make([]chat.Position, len(keys))
	mark := e.mark()
	for i, key := range keys {
		r := &room{t: t, ctx: t.ctx, s: a, key: key, id: fmt.Sprint("r", i)}
		heads[i] = r.make().Position
	}
	for i, key := range keys {
		t.learns(e, mark, key, heads[i])
	}
}

func watchManyRooms(t *rig) {
	a, b := t.pair()
	e := t.watch(b)
	const n = 300
	rooms, heads := make([]*room, n), make([]chat.Position, n)
	mark := e.mark()
	together(20, func(w int) {
		for i := w; i < n; i += 20 {
			r := &room{t: t, ctx: t.ctx, s: a, key: fmt.Sprint("many/", i), id: fmt.Sprint("r", i)}
			rooms[i] = r
			heads[i] = only(r.try(r.creation())).Position
		}
	})
	for i, r := range rooms {
		require.Positive(t, heads[i].Rev)
		t.learns(e, mark, r.key, heads[i])
	}
}

func watchRemoved(t *rig) {
	a, b := t.pair()
	remover := need[chat.RoomRemover](t, a)
	r := t.roomIn(a)
	r.fill(3)
	e := t.watch(b)
	mark := e.mark()
	require.NoError(t, remover.RemoveRoom(t.ctx, r.key))
	t.hears(e, mark, "the removal", func(all []told) bool {
		for _, n := range all {
			if n.hint != nil && n.room == r.key && n.hint.Head.Rev == -1 {
				return true
			}
		}
		return missedRoom(all, r.key)
	})
	heads, err := need[chat.Watcher](t, b).Heads(t.ctx, []string{r.key})
	require.NoError(t, err)
	require.Len(t, heads, 1)
	require.EqualValues(t, -1, heads[0].Rev, "it has been removed")
	mark = e.mark()
	t.learns(e, mark, r.key, r.make().Position)
}

func watchEpoch(t *rig) {
	a, b := t.pair()
	r := t.roomIn(a)
	e := t.watch(b)
	known := r.head()
	known.Rev += 5
	mark := e.mark()
	_, err := a.Append(t.ctx, r.key, known, nil)
	require.NoError(t, err)
	head := r.head()
	require.NotEqual(t, known.Epoch, head.Epoch, "it has been rolled back")
	t.learns(e, mark, r.key, head)
	if starter, ok := capability[chat.EpochStarter](a); ok {
		mark = e.mark()
		head, err := starter.NewEpoch(t.ctx, r.key)
		require.NoError(t, err)
		t.learns(e, mark, r.key, head)
	}
}

func watchEnds(t *rig) {
	a, _ := t.pair()
	w := need[chat.Watcher](t, a)
	r := t.roomIn(a)
	deadline, cancel := context.WithTimeout(t.ctx, 50*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		ctx  context.Context
		want error
	}{{ended(t.ctx), context.Canceled}, {deadline, context.DeadlineExceeded}} {
		require.ErrorIs(t, w.Watch(c.ctx, &ear{news: make(chan struct{}, 1)}), c.want)
	}
	const watchers = 10
	errs, late := make([]error, watchers), make([]bool, watchers)
	together(watchers, func(i int) {
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		e := &ear{news: make(chan struct{}, 1)}
		done := make(chan error, 1)
		go func() { done <- w.Watch(ctx, e) }()
		select {
		case <-e.news:
		case errs[i] = <-done:
			return // before its time
		}
		cancel()
		errs[i] = <-done
		mark := e.mark()
		_, _ = r.try(r.create("alice", "", "x"))
		late[i] = e.mark() > mark
	})
	for i, err := range errs {
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, late[i], "l was called after Watch had returned")
	}
}

func watchSignal(t *rig) {
	a, b := t.pair()
	w := need[chat.Watcher](t, a)
	e := t.watch(b)
	all := make([]byte, 4<<10)
	for i := range all {
		all[i] = byte(i)
	}
	for i, data := range [][]byte{[]byte(`{"type":"typing"}`), {}, {0}, []byte("日本語\x00\xff"), all} {
		key := anyKeys()[i]
		mark, arrived := e.mark(), false
		for end := time.Now().Add(2 * promptly); !arrived; {
			require.True(t, time.Now().Before(end), "no signal gets there")
			require.NoError(t, w.Signal(t.ctx, key, data))
			select {
			case <-e.news:
			case <-time.After(time.Second): // that one was lost, it seems
			}
			for _, n := range e.since(mark) {
				if n.signal != nil && n.room == key { // else one of the last round
					require.True(t, bytes.Equal(data, n.signal), "%d bytes, not %d", len(n.signal), len(data))
					arrived = true
				}
			}
		}
	}
}

func watchHeads(t *rig) {
	a, b := t.pair()
	w := need[chat.Watcher](t, b)
	none, err := w.Heads(t.ctx, nil)
	require.NoError(t, err)
	require.Empty(t, none)
	var keys []string
	var want []chat.Position
	for i := range 9 {
		r := t.roomIn(a)
		r.fill(9 - i)
		keys, want = append(keys, "missing", r.key), append(want, chat.Position{}, r.head())
	}
	got, err := w.Heads(t.ctx, keys)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i := range got {
		if keys[i] == "missing" {
			require.True(t, got[i] == chat.Position{} || got[i].Rev == -1, "%+v is no room", got[i])
			got[i] = chat.Position{}
		}
	}
	require.Equal(t, want, got)
	if remover, ok := capability[chat.RoomRemover](a); ok {
		require.NoError(t, remover.RemoveRoom(t.ctx, keys[1]))
		got, err := w.Heads(t.ctx, keys[1:4])
		require.NoError(t, err)
		require.EqualValues(t, -1, got[0].Rev, "it has been removed")
		require.Equal(t, want[3], got[2])
	}
}

func watchManyHeads(t *rig) {
	a, b := t.pair()
	r := t.roomIn(a)
	r.fill(3)
	keys := make([]string, 3000)
	for i := range keys {
		keys[i] = fmt.Sprint("missing/", i)
	}
	keys[1234], keys[2999] = r.key, r.key
	got, err := need[chat.Watcher](t, b).Heads(t.ctx, keys)
	require.NoError(t, err)
	require.Len(t, got, len(keys))
	require.Equal(t, r.head(), got[1234])
	require.Equal(t, r.head(), got[2999], "named twice")
	require.LessOrEqual(t, got[0].Rev, int64(0))
}
