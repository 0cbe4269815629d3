package storagetest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func concurrencyChecks() []check {
	const snapshot = "one snapshot, complete for (after, page.Through]"
	return []check{
		{"many_writers", "All methods may be called concurrently", "50 writers: every rev and seq is handed out once", manyWriters},
		{"rooms_apart", "All methods may be called concurrently", "writers of different rooms do not meet", manyRooms},
		{"whole_batches", "Append applies changes to the room's newest state, atomically and in order", "a reader sees all of an Append or nothing of it", wholeBatches},
		{"cursors_while_writing", snapshot, "a cursor that follows a busy room misses nothing", cursorsWhileWriting},
		{"room_made_once", "On a room that exists it fails with ErrConflict, and Result.Room is what is there.", "at once too", roomMadeOnce},
		{"no_lost_update", "applied to the newest state, so that two servers cannot lose each other's updates", "what different changes set does not undo each other", noLostUpdate},
		{"edit_against_delete", "A deleted message is ErrNotFound.", "in whatever order they come", editAgainstDelete},
	}
}

func manyWriters(t *rig) {
	r := t.room()
	const writers, each = 50, 12
	errs := make([]error, writers)
	together(writers, func(w int) {
		user := fmt.Sprint("user-", w)
		for i := range each {
			res := only(r.try(r.create(user, fmt.Sprint(i), fmt.Sprint(i))))
			if res.Err == nil && i%4 == 3 {
				res = only(r.try(edit(res.Message.ID, "edited")))
			}
			if res.Err != nil {
				errs[w] = res.Err
				return
			}
		}
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, chat.Position{Epoch: r.epoch, Rev: 1 + writers*(each+each/4), Seq: writers * each}, r.head())
	perUser := map[string]int{}
	for _, m := range r.audit() {
		require.Equal(t, fmt.Sprint(perUser[m.User]), m.Nonce, "what one writer sends one after the other keeps its order")
		perUser[m.User]++
	}
	require.Len(t, perUser, writers)
}

func manyRooms(t *rig) {
	s := t.open()
	const writers, each = 20, 5
	rooms := make([]*room, writers)
	for i := range rooms {
		rooms[i] = t.roomIn(s)
	}
	errs := make([]error, writers)
	together(writers, func(w int) {
		for i := range each {
			if res := only(rooms[w].try(rooms[w].create("alice", fmt.Sprint(i), rooms[w].id))); res.Err != nil {
				errs[w] = res.Err
			}
		}
	})
	for i, r := range rooms {
		require.NoError(t, errs[i])
		msgs := r.audit()
		require.Len(t, msgs, each)
		for _, m := range msgs {
			require.Equal(t, r.id, m.Content)
		}
	}
}

// while runs f until the writers are done, and at least once.
func while(writers func(), f func()) {
	var done atomic.Bool
	together(2, func(i int) {
		if i == 0 {
			writers()
			done.Store(true)
			return
		}
		for last := false; !last; {
			last = done.Load()
			f()
		}
	})
}

func wholeBatches(t *rig) {
	r := t.room()
	const batches, size = 60, 5
	var failed, seen error
	while(func() {
		for range batches {
			var changes []chat.Change
			for range size {
				changes = append(changes, r.create("alice", "", "x"))
			}
			if _, err := r.try(changes...); err != nil {
				failed = err
			}
		}
	}, func() {
		p, err := r.s.Changes(r.ctx, r.key, 0, 10*batches*size)
		h, err2 := r.s.History(r.ctx, r.key, chat.Query{Limit: 10 * batches * size})
		head, err3 := r.s.Head(r.ctx, r.key)
		switch {
		case err != nil || err2 != nil || err3 != nil:
			seen = fmt.Errorf("reading: %w, %w, %w", err, err2, err3)
		case (len(p.Entries)-1)%size != 0 || len(h.Messages)%size != 0 || head.Seq%size != 0:
			seen = fmt.Errorf("half a batch of %d: Changes shows %d, History %d, Head %d", size, len(p.Entries)-1, len(h.Messages), head.Seq)
		case int64(len(p.Entries)) != p.Head.Rev || int64(len(p.Entries))-1 != p.Head.Seq || p.Through != p.Head.Rev:
			seen = fmt.Errorf("Changes shows %d entries through %d with the head %+v", len(p.Entries), p.Through, p.Head)
		case int64(len(h.Messages)) != h.Head.Seq:
			seen = fmt.Errorf("History shows %d messages with the head %+v", len(h.Messages), h.Head)
		}
	})
	require.NoError(t, failed)
	require.NoError(t, seen)
	r.audit()
}

func cursorsWhileWriting(t *rig) {
	r := t.room()
	first := r.fill(8)
	var failed, seen error
	state := map[string]chat.Message{}
	cursor, head := int64(0), int64(-1)
	step := func() {
		p, err := r.s.Changes(r.ctx, r.key, cursor, 3)
		if err != nil {
			seen = err
			return
		}
		last := cursor
		for _, e := range p.Entries {
			if e.Rev <= last || e.Rev > p.Through {
				seen = fmt.Errorf("rev %d after %d in a page through %d", e.Rev, last, p.Through)
			}
			last = e.Rev
			if m := e.Message; m != nil {
				if old, ok := state[m.ID]; ok && old.Rev >= m.Rev {
					seen = fmt.Errorf("message of seq %d: rev %d after %d", m.Seq, m.Rev, old.Rev)
				}
				state[m.ID] = *m
			}
		}
		cursor, head = max(cursor, p.Through), p.Head.Rev
	}
	while(func() {
		for i := range 100 {
			_, err := r.try(r.create("alice", "", "x"), edit(first[i%8].ID, newID()), edit(first[i%3].ID, newID()))
			if err != nil {
				failed = err
			}
		}
	}, step)
	for seen == nil && cursor < head || head < r.head().Rev && seen == nil {
		step()
	}
	require.NoError(t, failed)
	require.NoError(t, seen)
	for _, m := range r.audit() {
		sameMessage(t, m, state[m.ID], "what the cursor has in the end")
	}
}

func roomMadeOnce(t *rig) {
	r := &room{t: t, ctx: t.ctx, s: t.open(), key: "once", id: "once"}
	const n = 16
	results := make([]chat.Result, n)
	together(n, func(i int) {
		c := r.creation()
		c.Room.Title = fmt.Sprint(i)
		results[i] = only(r.try(c))
	})
	made, there := 0, r.history(chat.Query{}).Room
	for i, res := range results {
		if res.Err == nil {
			made++
			require.Equal(t, fmt.Sprint(i), there.Title)
		} else {
			r.isError(res.Err, chat.ErrConflict)
		}
		sameRoom(t, *there, res.Room, "Result.Room")
	}
	require.Equal(t, 1, made)
	require.EqualValues(t, 1, r.head().Rev)
}

func noLostUpdate(t *rig) { lostUpdates(t, t.room(), nil) }

// lostUpdates has writers, some through other, change different things.
func lostUpdates(t *rig, r *room, other chat.Store) {
	via := []*room{r, r}
	if other != nil {
		via[1] = r.over(other)
	}
	text := func(s string) *string { return &s }
	msgs := r.fill(6)
	changes := []chat.Change{
		{Kind: chat.ChangeUpdateRoom, Update: chat.RoomUpdate{Title: text("title")}},
		{Kind: chat.ChangeUpdateRoom, Update: chat.RoomUpdate{Topic: text("topic")}},
		{Kind: chat.ChangeUpdateRoom, Update: chat.RoomUpdate{Avatar: text("avatar")}},
		{Kind: chat.ChangeUpdateRoom, Update: chat.RoomUpdate{Meta: []byte(`{"m":1}`)}},
	}
	for _, m := range msgs {
		changes = append(changes, edit(m.ID, "edited "+m.ID))
	}
	errs := make([]error, len(changes))
	together(len(changes), func(i int) {
		changes[i].At = now()
		errs[i] = only(via[i%2].try(changes[i])).Err
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	for _, v := range via {
		info := v.history(chat.Query{}).Room
		require.Equal(t, []string{"title", "topic", "avatar", `{"m":1}`}, []string{info.Title, info.Topic, info.Avatar, string(info.Meta)})
		for _, m := range v.audit() {
			require.Equal(t, "edited "+m.ID, m.Content)
		}
	}
	require.EqualValues(t, 1+6+10, r.head().Rev)
}

func editAgainstDelete(t *rig) {
	r := t.room()
	for range 10 {
		m := r.send("a")
		results := make([]chat.Result, 4)
		together(4, func(i int) {
			c := edit(m.ID, "edited")
			if i == 0 {
				c = remove(m.ID)
			}
			results[i] = only(r.try(c))
		})
		require.NoError(t, results[0].Err)
		require.True(t, results[0].Message.Deleted())
		for _, res := range results[1:] {
			if res.Err != nil {
				r.isError(res.Err, chat.ErrNotFound)
			}
		}
		got := r.message(m.ID)
		require.True(t, got.Deleted(), "no edit brings it back")
		require.Empty(t, got.Content)
	}
	r.audit()
}

// ended is a context that has been cancelled.
func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
