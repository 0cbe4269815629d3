package storagetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func brokenChecker(t *rig) {
	b, r := t.breaking()
	c := need[chat.Checker](t, r.s)
	r.fill(3)
	there := func() (all []any) {
		if l, is := capability[chat.RoomLister](r.s); is {
			rooms, _, err := l.ListRooms(r.ctx, "", "", 1000)
			require.NoError(t, err)
			all = append(all, len(rooms))
		}
		return append(all, r.head())
	}
	before := there()
	for range 3 {
		require.NoError(t, c.Check(r.ctx), "Check of a store that is whole")
	}
	require.Equal(t, before, there(), "Check leaves something behind")
	r.breaks(t, b)
	for range 2 {
		for range 2 {
			err := c.Check(r.ctx)
			require.Error(t, err, "Check of a store that is broken")
			r.failed(err, "Check")
		}
		_, err := r.try(r.create("alice", "", "x")) // what knows of it need not look
		require.Error(t, err)
	}
	r.mends(t, b)
	late := time.NewTimer(recovered) // of a cluster, another part may still be away
	defer late.Stop()
	for err := c.Check(r.ctx); err != nil; err = c.Check(r.ctx) {
		select {
		case <-late.C:
			t.Fatalf("Check of what has been mended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
