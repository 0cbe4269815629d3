package storagetest

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// The checks of leases, of the subject presence.

func presenceRunsOut(t *rig) {
	a, b := t.keepers()
	t.attend(b, "stays", minute, come("r", "bob"))
	t.attend(a, "goes", short, come("r", "alice"), come("s", "alice"))
	t.until("the end of a lease", func() bool { return len(t.there(b, "r", "s")) == 1 })
	require.Equal(t, []string{"bob in r on stays"}, t.there(b, "r", "s"))
	require.Equal(t, []string{"bob in r on stays"}, t.there(a, "r", "s"), "whichever server asks")
	nodes, _ := t.attend(b, "stays", minute)
	require.Equal(t, []string{"stays"}, nodes)
	// It comes back and is there by what it says then, nothing else.
	t.attend(a, "goes", minute, come("r", "carol"))
	require.Equal(t, []string{"bob in r on stays", "carol in r on goes"}, t.there(b, "r", "s"))
}

func presenceRenewed(t *rig) {
	a, b := t.keepers()
	t.until("a lease that is renewed in time", func() bool {
		t.attend(a, "n", short, come("r", "alice"))
		_, lapsed := t.attend(a, "n", minute)
		return !lapsed
	})
	t.attend(b, "clock", 2*short)
	t.until("the end of a later lease", func() bool {
		nodes, _ := t.attend(b, "other", minute)
		require.Contains(t, nodes, "n", "it has been renewed")
		return !slices.Contains(nodes, "clock")
	})
	require.Equal(t, []string{"alice in r on n"}, t.there(b, "r"))
}

func presenceEnded(t *rig) {
	a, b := t.keepers()
	t.attend(a, "n", minute, come("r", "alice"))
	t.attend(b, "m", minute, come("r", "bob"))
	nodes, _ := t.attend(a, "n", 0)
	require.Equal(t, []string{"m"}, nodes)
	require.Equal(t, []string{"bob in r on m"}, t.there(a, "r"))
	require.Equal(t, []string{"bob in r on m"}, t.there(b, "r"))
	t.attend(a, "n", 0)
	t.attend(a, "never there", 0, come("r", "carol"))
	require.Equal(t, []string{"bob in r on m"}, t.there(b, "r"))
	_, lapsed := t.attend(a, "n", minute)
	require.True(t, lapsed, "it has ended")
	require.Equal(t, []string{"bob in r on m"}, t.there(b, "r"), "with it all that it has said")
}

func presenceLapsed(t *rig) {
	a, b := t.keepers()
	_, lapsed := t.attend(a, "n", minute, come("r", "alice"))
	require.True(t, lapsed, "it was never there")
	_, lapsed = t.attend(b, "n", minute, come("r", "bob"))
	require.False(t, lapsed, "it is there, whichever server says so")
	_, lapsed = t.attend(a, "n", short)
	require.False(t, lapsed)
	t.until("the end of the lease", func() bool { return len(t.there(b, "r")) == 0 })
	_, lapsed = t.attend(a, "n", minute, come("r", "carol"))
	require.True(t, lapsed, "it had run out")
	require.Equal(t, []string{"carol in r on n"}, t.there(b, "r"), "only changes count")
	_, lapsed = t.attend(a, "n", minute)
	require.False(t, lapsed)
}

func presenceNodes(t *rig) {
	a, b := t.keepers()
	var want []string
	for i := range 20 {
		node := fmt.Sprintf("node-%02d", i)
		want = append(want, node)
		nodes, _ := t.attend([]chat.PresenceKeeper{a, b}[i%2], node, minute)
		slices.Sort(nodes)
		require.Equal(t, want, nodes)
	}
	nodes, _ := t.attend(b, "short", short)
	require.Len(t, nodes, 21)
	t.until("the end of a lease", func() bool {
		nodes, _ := t.attend(a, want[0], minute)
		return len(nodes) == 20
	})
}

func presenceTold(t *rig) {
	a, b := t.pair()
	ka := need[chat.PresenceKeeper](t, a)
	need[chat.PresenceKeeper](t, b)
	e := t.watch(b)
	bob := come("s", "bob")
	bob.User.Name, bob.User.Avatar = "日本語 \"Bob\"", "https://example.com/b.png"
	for _, changes := range [][]chat.Attendance{
		{come("r", "alice")},
		{bob, come("r", "carol"), leave("r", "alice")},
		{leave("r", "carol"), come("r", "carol"), leave("s", "bob")},
		{leave("r", "carol"), come("r", "dave")},
	} {
		mark := e.mark()
		t.attend(ka, "n", minute, changes...)
		for _, room := range []string{"r", "s"} {
			var want []chat.Attendance
			for _, c := range changes {
				if c.Room == room {
					want = append(want, c)
				}
			}
			t.hears(e, mark, fmt.Sprintf("%+v", want), func(all []told) bool {
				return missedRoom(all, room) || endsLike(want, all, room)
			})
		}
	}
}

// endsLike reports whether those who come and go in want have, by what was
// told last of each.
func endsLike(want []chat.Attendance, all []told, room string) bool {
	last, end := map[string]chat.Attendance{}, map[string]chat.Attendance{}
	for _, n := range all {
		for _, c := range n.present {
			if c.Room == room && n.room == room {
				last[c.User.ID] = c
			}
		}
	}
	for _, c := range want {
		end[c.User.ID] = c
	}
	for user, c := range end {
		got, ok := last[user]
		if !ok || got.Gone != c.Gone || got.Node != c.Node || !c.Gone && !samePerson(got.User, c.User) {
			return false
		}
	}
	return true
}

func samePerson(a, b chat.User) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Avatar == b.Avatar
}
