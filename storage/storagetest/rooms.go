package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func roomsChecks() []check {
	const list = "ListRooms returns rooms whose key has the prefix and sorts after after, by key in byte order, at most limit, and whether there are more."
	const gone = "RoomRemover is a Store that can remove a room with all that is in it."
	return []check{
		{"listed", list, "", roomsListed},
		{"direct", "ListDirect is ListRooms of those rooms alone that have the user among their Peers.", "", roomsDirect},
		{"summary", "RoomSummary is one room in a list.", "as it is at the moment", roomsSummary},
		{"last_message", "nil: none, or deleted", "", roomsLastMessage},
		{"removed", gone, "it is in no list and cannot be read", roomsRemoved},
		{"removed_missing", "The room does not exist afterwards", "no such room: nothing, or ErrNotFound", roomsRemovedMissing},
		{"removed_while_used", gone, "every message acknowledged since it was made again is there", roomsRemovedWhileUsed},
	}
}

// list checks which of the keys a call gives.
func list(t *rig, l chat.RoomLister, prefix, after string, limit int, want []string, more bool) {
	t.Helper()
	rooms, got, err := l.ListRooms(t.ctx, prefix, after, limit)
	require.NoError(t, err)
	keys := []string{}
	for _, r := range rooms {
		keys = append(keys, r.Key)
	}
	require.Equal(t, want, keys, "prefix %q, after %q, limit %d", prefix, after, limit)
	require.Equal(t, more, got, "more of prefix %q, after %q, limit %d", prefix, after, limit)
}

func roomsDirect(t *rig) {
	s := t.open()
	l := need[chat.DirectLister](t, s)
	direct := func(user, prefix, after string, limit int, want []string, more bool) {
		t.Helper()
		rooms, got, err := l.ListDirect(t.ctx, prefix, user, after, limit)
		require.NoError(t, err)
		keys := []string{}
		for _, r := range rooms {
			keys = append(keys, r.Key)
			require.Contains(t, r.Room.Peers, user)
		}
		require.Equal(t, want, keys, "prefix %q, user %q, after %q, limit %d", prefix, user, after, limit)
		require.Equal(t, more, got, "more of prefix %q, user %q, after %q, limit %d", prefix, user, after, limit)
	}
	direct("alice", "", "", 10, []string{}, false)
	var keys []string
	add := func(key string, peers ...string) {
		t.Helper()
		kind := chat.RoomPublic
		if len(peers) > 0 {
			kind = chat.RoomDirect
		}
		res, err := s.Append(t.ctx, key, chat.Position{}, []chat.Change{{
			Kind: chat.ChangeCreateRoom, At: time.Now(), Room: chat.RoomInfo{ID: "x", Kind: kind, Peers: peers},
		}, {Kind: chat.ChangeCreate, At: time.Now(), Message: chat.Message{ID: "m" + key, User: "alice", Kind: chat.KindRegular, Content: key}}})
		require.NoError(t, err)
		require.NoError(t, res[0].Err)
		keys = append(keys, key)
	}
	add("public")
	for i := range 7 {
		add(fmt.Sprintf("~%d", i), "alice", fmt.Sprintf("user %d", i))
	}
	add("~self", "alice", "alice")
	add("~odd", "Ünï'\"%_", "alice")
	add("~others", "bob", "carol")
	add("t/~other", "alice", "bob")
	add("~alic", "alic", "alicea")
	alice := []string{"~0", "~1", "~2", "~3", "~4", "~5", "~6", "~odd", "~self"}
	direct("alice", "~", "", 100, alice, false)
	direct("alice", "~", "", 9, alice, false)
	direct("alice", "~", "", 2, alice[:2], true)
	direct("alice", "~", "~1", 3, alice[2:5], true)
	direct("alice", "~", "~6", 3, alice[7:], false)
	direct("alice", "t/", "", 3, []string{"t/~other"}, false)
	direct("bob", "~", "", 3, []string{"~others"}, false)
	direct("Ünï'\"%_", "", "", 3, []string{"~odd"}, false)
	direct("nobody", "", "", 3, []string{}, false)
	direct("", "", "", 3, []string{}, false)
	rooms, _, err := l.ListDirect(t.ctx, "~", "alice", "~1", 1)
	require.NoError(t, err)
	require.Equal(t, "~2", rooms[0].LastMessage.Content)
	if r, ok := capability[chat.RoomRemover](s); ok {
		for _, key := range alice[:5] {
			require.NoError(t, r.RemoveRoom(t.ctx, key))
		}
		direct("alice", "~", "", 2, alice[5:7], true)
		add("~3", "alice", "user 3")
		direct("user 3", "~", "", 2, []string{"~3"}, false)
	}
}

func roomsListed(t *rig) {
	s := t.open()
	l := need[chat.RoomLister](t, s)
	list(t, l, "", "", 10, []string{}, false)
	keys := []string{"b/2", "a/1", "b/10", "B/1", "b", "b/~x", "b0", "b/1", "a%", "a*", "a/", "a_"}
	for _, key := range keys {
		r := &room{t: t, ctx: t.ctx, s: s, key: key, id: "x"}
		r.make()
	}
	slices.Sort(keys)
	list(t, l, "", "", 100, keys, false)
	list(t, l, "", "", len(keys), keys, false)
	list(t, l, "", "", 3, keys[:3], true)
	b := []string{"b/1", "b/10", "b/2", "b/~x"}
	list(t, l, "b/", "", 100, b, false)
	list(t, l, "b/", "", 2, b[:2], true)
	list(t, l, "b/", "b/10", 2, b[2:], false)
	list(t, l, "b/", "b/10", 1, b[2:3], true)
	list(t, l, "b/", "b/11", 9, b[2:], false)
	list(t, l, "b/", "a", 9, b, false)
	list(t, l, "b/", "c", 9, []string{}, false)
	list(t, l, "b/", "b/~x", 9, []string{}, false)
	list(t, l, "a%", "", 9, []string{"a%"}, false)
	list(t, l, "a_", "", 9, []string{"a_"}, false)
	list(t, l, "a*", "", 9, []string{"a*"}, false)
	list(t, l, "nothing", "", 9, []string{}, false)

	var walked []string
	for after, more := "", true; more; {
		rooms, m, err := l.ListRooms(t.ctx, "", after, 5)
		require.NoError(t, err)
		for _, r := range rooms {
			walked = append(walked, r.Key)
		}
		after, more = rooms[len(rooms)-1].Key, m
	}
	require.Equal(t, keys, walked, "page by page")
}

func roomsSummary(t *rig) {
	r := t.busy()
	l := need[chat.RoomLister](t, r.s)
	last := r.send("the last")
	rooms, _, err := l.ListRooms(t.ctx, r.key, "", 1)
	require.NoError(t, err)
	require.Len(t, rooms, 1)
	require.Equal(t, r.key, rooms[0].Key)
	require.Equal(t, r.head(), rooms[0].Head)
	sameRoom(t, *r.history(chat.Query{}).Room, rooms[0].Room, "RoomSummary.Room")
	require.NotNil(t, rooms[0].LastMessage)
	sameMessage(t, last, *rooms[0].LastMessage, "RoomSummary.LastMessage")
}

func roomsLastMessage(t *rig) {
	r := t.room()
	l := need[chat.RoomLister](t, r.s)
	last := func() *chat.Message {
		t.Helper()
		rooms, _, err := l.ListRooms(t.ctx, r.key, "", 1)
		require.NoError(t, err)
		require.Len(t, rooms, 1)
		return rooms[0].LastMessage
	}
	require.Nil(t, last(), "none")
	a, b := r.send("a"), r.send("b")
	r.one(edit(a.ID, "edited later"))
	require.Equal(t, b.ID, last().ID, "by seq, not by rev")
	b = r.one(edit(b.ID, "b2")).Message
	sameMessage(t, b, *last(), "in its newest state")
	r.one(remove(b.ID))
	require.Nil(t, last(), "deleted")
	r.send("c")
	require.Equal(t, "c", last().Content)
}

func roomsRemoved(t *rig) {
	s := t.open()
	remover := need[chat.RoomRemover](t, s)
	stays, goes := t.roomIn(s), t.roomIn(s)
	stays.fill(3)
	goes.fill(3)
	require.NoError(t, remover.RemoveRoom(t.ctx, goes.key))
	_, err := s.Head(t.ctx, goes.key)
	goes.isError(err, chat.ErrNotFound)
	_, err = s.History(t.ctx, goes.key, chat.Query{Limit: 5})
	goes.isError(err, chat.ErrNotFound)
	_, err = s.Changes(t.ctx, goes.key, 0, 5)
	goes.isError(err, chat.ErrNotFound)
	goes.refused(goes.create("alice", "", "x"), chat.ErrNotFound)
	if l, ok := capability[chat.RoomLister](s); ok {
		list(t, l, "", "", 10, []string{stays.key}, false)
	}
	require.Len(t, stays.audit(), 3, "other rooms stay")
	goes.make()
	require.Empty(t, goes.audit())
	if l, ok := capability[chat.RoomLister](s); ok {
		keys := []string{stays.key, goes.key}
		slices.Sort(keys)
		list(t, l, "", "", 10, keys, false)
	}
}

func roomsRemovedMissing(t *rig) {
	r := t.room()
	remover := need[chat.RoomRemover](t, r.s)
	if err := remover.RemoveRoom(t.ctx, "missing"); err != nil {
		r.isError(err, chat.ErrNotFound)
	}
	require.Empty(t, r.audit())
}

func roomsRemovedWhileUsed(t *rig) {
	r := t.room()
	remover := need[chat.RoomRemover](t, r.s)
	acked := make([]chat.Result, 300)
	var failed error
	together(4, func(w int) {
		for i := w; i < len(acked); i += 4 {
			if w > 0 {
				acked[i] = only(r.try(r.create("alice", "", "x")))
				continue
			}
			err := remover.RemoveRoom(r.ctx, r.key)
			if err == nil || errors.Is(err, chat.ErrNotFound) {
				err = only(r.try(r.creation())).Err
			}
			if err != nil {
				failed = err
			}
		}
	})
	require.NoError(t, failed)
	epoch, there := r.head().Epoch, map[string]bool{}
	for _, m := range r.audit() {
		there[m.ID] = true
	}
	for _, res := range acked {
		if res.Err != nil {
			r.isError(res.Err, chat.ErrNotFound)
		} else if res.Position.Epoch == epoch && res.Message.ID != "" {
			require.True(t, there[res.Message.ID], "acknowledged and not there")
		}
	}
}
