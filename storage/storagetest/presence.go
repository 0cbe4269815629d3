package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func presenceChecks() []check {
	const notes = "Attend notes changes on a node, in order, and renews its lease; a lease of zero ends it."
	const shows = "Attendances returns who is in the rooms, on every node whose lease has not run out, in no particular order."
	const one = "Attendance is one user in one room on one node."
	const lapsed = "When lapsed is true, the node's lease had run out or was never there: everything it has said before is forgotten, and only changes count."
	return []check{
		{"come_and_gone", shows, "whichever server asks", presenceComeAndGone},
		{"one_on_each_node", one, "the same user on two nodes is there twice, and gone from one is still on the other", presenceOnNodes},
		{"once_on_a_node", one, "who comes again is there once, by the newest name", presenceOnce},
		{"user", "only ID, Name and Avatar", "as they went in, whatever the text", presenceUser},
		{"in_order", notes, "joins and leaves in one call", presenceInOrder},
		{"any_key", "to rooms of any key", "", presenceAnyKey},
		{"many", notes, "2,000 in one call", presenceMany},
		{"at_once", "All methods may be called concurrently", "nodes do not get in each other's way", presenceAtOnce},
		{"lease_runs_out", "Everything a node has said is forgotten with its lease.", "", presenceRunsOut},
		{"lease_renewed", notes, "by a call without changes, too", presenceRenewed},
		{"lease_of_zero", notes, "at once", presenceEnded},
		{"lapsed", lapsed, "", presenceLapsed},
		{"nodes", "the ids of all nodes whose lease has not run out", "the caller's own among them", presenceNodes},
		{"told", "Watchers are told of the changes by Listener.Present", "or by a Missed", presenceTold},
	}
}

// minute is longer than a check takes, short less.
const (
	minute = time.Minute
	short  = 300 * time.Millisecond
)

// keepers opens the presence of a store for two servers.
func (t *rig) keepers() (a, b chat.PresenceKeeper) {
	s := t.open()
	a = need[chat.PresenceKeeper](t, s)
	if h, ok := t.h.(Sharer); ok {
		return a, need[chat.PresenceKeeper](t, h.Share(t, s))
	}
	return a, a
}

// attend is Attend, which must not fail.
func (t *rig) attend(k chat.PresenceKeeper, node string, lease time.Duration, changes ...chat.Attendance) (nodes []string, lapsed bool) {
	t.Helper()
	for i := range changes {
		changes[i].Node = node
	}
	nodes, lapsed, err := k.Attend(t.ctx, node, lease, changes)
	require.NoError(t, err, "Attend")
	return nodes, lapsed
}

func come(room, user string) chat.Attendance {
	return chat.Attendance{Room: room, User: chat.User{ID: user, Name: "The " + user}}
}

func leave(room, user string) chat.Attendance {
	a := come(room, user)
	a.Gone = true
	return a
}

// there is who is in the rooms, each as "user in room on node", sorted.
func (t *rig) there(k chat.PresenceKeeper, rooms ...string) []string {
	t.Helper()
	all, err := k.Attendances(t.ctx, rooms)
	require.NoError(t, err, "Attendances")
	out := []string{}
	for _, a := range all {
		require.False(t, a.Gone, "who is gone is not there")
		out = append(out, fmt.Sprintf("%s in %s on %s", a.User.ID, a.Room, a.Node))
	}
	slices.Sort(out)
	return out
}

// until polls for what raises no event.
func (t *rig) until(what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); {
		require.True(t, time.Now().Before(end), "waited in vain for %s", what)
		time.Sleep(20 * time.Millisecond)
	}
}

func presenceComeAndGone(t *rig) {
	a, b := t.keepers()
	require.Empty(t, t.there(a, "r"))
	require.Empty(t, t.there(a))
	t.attend(a, "n", minute, come("r", "alice"), come("r", "bob"), come("s", "bob"))
	for _, k := range []chat.PresenceKeeper{a, b} {
		require.Equal(t, []string{"alice in r on n", "bob in r on n"}, t.there(k, "r"))
		require.Equal(t, []string{"bob in s on n"}, t.there(k, "missing", "s"))
		require.Equal(t, []string{"alice in r on n", "bob in r on n", "bob in s on n"}, t.there(k, "s", "r"))
	}
	t.attend(a, "n", minute, leave("r", "bob"), leave("r", "never there"))
	for _, k := range []chat.PresenceKeeper{a, b} {
		require.Equal(t, []string{"alice in r on n", "bob in s on n"}, t.there(k, "s", "r"))
	}
	t.attend(a, "n", minute, leave("r", "alice"), leave("s", "bob"))
	require.Empty(t, t.there(b, "s", "r"))
}

func presenceOnNodes(t *rig) {
	a, b := t.keepers()
	t.attend(a, "n1", minute, come("r", "alice"))
	t.attend(b, "n2", minute, come("r", "alice"))
	both := []string{"alice in r on n1", "alice in r on n2"}
	require.Equal(t, both, t.there(a, "r"))
	require.Equal(t, both, t.there(b, "r"))
	t.attend(a, "n1", minute, leave("r", "alice"))
	require.Equal(t, both[1:], t.there(a, "r"))
	require.Equal(t, both[1:], t.there(b, "r"))
}

func presenceOnce(t *rig) {
	a, b := t.keepers()
	t.attend(a, "n", minute, come("r", "alice"))
	again := come("r", "alice")
	again.User.Name, again.User.Avatar = "New name", "https://example.com/new.png"
	t.attend(a, "n", minute, again)
	all, err := b.Attendances(t.ctx, []string{"r"})
	require.NoError(t, err)
	again.Node = "n"
	require.Equal(t, []chat.Attendance{again}, all)
	t.attend(a, "n", minute, leave("r", "alice"))
	require.Empty(t, t.there(b, "r"), "once is enough to be gone")
}

func presenceUser(t *rig) {
	a, b := t.keepers()
	var changes []chat.Attendance
	want := map[string]chat.User{}
	for i, text := range texts() {
		id := fmt.Sprint(i, " ", strings.ToValidUTF8(text[:min(len(text), 64)], ""))
		u := chat.User{ID: id, Name: text, Avatar: "https://example.com/?" + text}
		want[id] = u
		changes = append(changes, chat.Attendance{Room: "r", User: u})
	}
	t.attend(a, "n", minute, changes...)
	all, err := b.Attendances(t.ctx, []string{"r"})
	require.NoError(t, err)
	require.Len(t, all, len(want))
	for _, at := range all {
		require.Equal(t, want[at.User.ID], at.User)
	}
	for i := range changes {
		changes[i].Gone = true
	}
	t.attend(a, "n", minute, changes...)
	require.Empty(t, t.there(b, "r"))
}

func presenceInOrder(t *rig) {
	a, b := t.keepers()
	t.attend(a, "n", minute,
		come("r", "alice"), leave("r", "alice"), come("r", "alice"),
		come("r", "bob"), leave("r", "bob"),
		come("r", "carol"), come("s", "carol"), leave("r", "carol"))
	require.Equal(t, []string{"alice in r on n", "carol in s on n"}, t.there(b, "r", "s"))
	t.attend(a, "n", minute,
		leave("r", "alice"), come("r", "alice"), leave("r", "alice"),
		leave("s", "carol"), come("s", "carol"))
	require.Equal(t, []string{"carol in s on n"}, t.there(b, "r", "s"))
}

func presenceAnyKey(t *rig) {
	a, b := t.keepers()
	keys := anyKeys()
	var changes []chat.Attendance
	for i, key := range keys {
		changes = append(changes, come(key, fmt.Sprint("user ", i)))
	}
	t.attend(a, "n", minute, changes...)
	for i, key := range keys {
		require.Equal(t, []string{fmt.Sprintf("user %d in %s on n", i, key)}, t.there(b, key))
	}
	require.Len(t, t.there(b, keys...), len(keys))
}

func presenceMany(t *rig) {
	a, b := t.keepers()
	const n = 2000
	var here, gone []chat.Attendance
	for i := range n {
		user := fmt.Sprint("user-", i, strings.Repeat("-", i%100))
		here, gone = append(here, come(fmt.Sprint("r", i%7), user)), append(gone, leave(fmt.Sprint("r", i%7), user))
	}
	rooms := []string{"r0", "r1", "r2", "r3", "r4", "r5", "r6"}
	t.attend(a, "n", minute, here...)
	require.Len(t, t.there(b, rooms...), n)
	require.Len(t, t.there(b, "r6"), n/7)
	t.attend(a, "n", minute, gone[:n-1]...)
	require.Len(t, t.there(b, rooms...), 1)
}

func presenceAtOnce(t *rig) {
	a, b := t.keepers()
	via := []chat.PresenceKeeper{a, b}
	const nodes, rounds = 8, 20
	errs := make([]error, nodes)
	together(nodes, func(i int) {
		node := fmt.Sprint("n", i)
		for round := range rounds {
			changes := []chat.Attendance{come("r", "alice"), leave("r", fmt.Sprint("user ", round-1)), come("r", fmt.Sprint("user ", round))}
			for c := range changes {
				changes[c].Node = node
			}
			if _, _, err := via[i%2].Attend(t.ctx, node, minute, changes); err != nil {
				errs[i] = err
			}
		}
	})
	var want []string
	for i := range nodes {
		require.NoError(t, errs[i])
		want = append(want, fmt.Sprint("alice in r on n", i), fmt.Sprint("user ", rounds-1, " in r on n", i))
	}
	slices.Sort(want)
	require.Equal(t, want, t.there(a, "r"))
	require.Equal(t, want, t.there(b, "r"))
}
