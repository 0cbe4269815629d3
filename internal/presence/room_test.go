package presence

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

// followed runs a test with a room of a server by itself, which is followed.
func followed(t *testing.T, change func(*Options), test func(t *testing.T, h *home)) {
	synctest.Test(t, func(t *testing.T) {
		h := newBoard(t, change).home("r")
		defer h.follow()()
		test(t, h)
		time.Sleep(time.Hour)
		h.unheld(t)
	})
}

func plain(*Options) {}

func TestNewsIsToldOnceASecond(t *testing.T) {
	followed(t, plain, func(t *testing.T, h *home) {
		h.Join(identity("alice"))
		h.told(t, "+alice")
		h.Join(identity("bob"))
		h.Join(identity("carol"))
		h.Join(identity("bob")) // a second session
		h.Join(identity("dave"))
		h.Leave(identity("dave"), true)
		h.told(t)
		time.Sleep(aSecond)
		h.told(t, "+bob +carol")
		require.Equal(t, []string{"alice", "bob", "carol"}, h.IDs())
		require.Equal(t, 3, h.Count())
		require.False(t, h.Leave(identity("bob"), true))
		require.True(t, h.Leave(identity("bob"), true))
		require.False(t, h.Leave(identity("bob"), true), "is not here")
		time.Sleep(aSecond)
		h.told(t, "-bob")
	})
}

func TestADropIsToldAfterTheGrace(t *testing.T) {
	followed(t, plain, func(t *testing.T, h *home) {
		h.Join(identity("alice"))
		h.told(t, "+alice")
		for range 3 { // mended each time, although the graces add up
			require.True(t, h.Leave(identity("alice"), false))
			time.Sleep(3 * time.Second)
			h.Join(identity("alice"))
		}
		h.told(t)
		require.True(t, h.Leave(identity("alice"), false))
		time.Sleep(4900 * time.Millisecond)
		require.Equal(t, 1, h.Count())
		h.told(t)
		time.Sleep(200 * time.Millisecond)
		h.told(t, "-alice")
		require.Zero(t, h.Count())
	})
}

func TestALargeRoomNamesOnlySome(t *testing.T) {
	followed(t, func(o *Options) { o.Listed = 50 }, func(t *testing.T, h *home) {
		h.Join(identity("first"))
		h.told(t, "+first")
		for i := range 60 {
			h.Join(identity(fmt.Sprintf("u%02d", i)))
		}
		time.Sleep(aSecond)
		list := h.take()
		require.Len(t, list, 1)
		require.Len(t, list[0], namedAtMost*len(" +u00")-1)

		count, users, more := h.List(nil, "first", 2, 1<<20)
		require.Equal(t, 61, count)
		require.Equal(t, []wire.User{{ID: "u00"}, {ID: "u01"}}, users)
		require.True(t, more)
		_, users, more = h.List(nil, "u57", 100, 1)
		require.Equal(t, []wire.User{{ID: "u58"}}, users, "the first whatever it takes")
		require.True(t, more)
		_, users, more = h.List(nil, "u58", 100, 1)
		require.Len(t, users, 1)
		require.False(t, more)
	})
}

func TestTypingEndsByItself(t *testing.T) {
	followed(t, plain, func(t *testing.T, h *home) {
		types := func(user string, active bool) { h.SetTyping(wire.User{ID: user}, active) }
		types("alice", true)
		types("alice", true)
		h.told(t, "alice types")
		time.Sleep(TypingEvery)
		types("alice", true)
		h.told(t, "alice types")
		time.Sleep(3 * time.Second)
		types("bob", true)
		require.True(t, h.AnybodyTyping())
		h.told(t, "bob types")
		time.Sleep(3100 * time.Millisecond)
		h.told(t, "alice does not type")
		h.EndTyping("bob")
		h.EndTyping("bob")
		types("carol", false)
		h.told(t, "bob does not type")
		time.Sleep(time.Minute)
		h.told(t)
		require.False(t, h.AnybodyTyping())

		for i := range 2 * maxTypists {
			types(fmt.Sprint("u", i), true)
		}
		require.Len(t, h.take(), maxTypists)
	})
}

// TestNothingIsMadePerSignal guards what presence adds to the frames themselves.
func TestNothingIsMadePerSignal(t *testing.T) {
	b := newBoard(t, func(o *Options) { o.Peers = &Peers{Node: "self", Keeper: &fakeKeeper{}} })
	r := b.room()
	seats := []Seat{{Room: "r", Node: "a", User: wire.User{ID: "alice", Name: "Alice"}}}
	b.Update(r, seats)
	r.news = nil
	require.Zero(t, testing.AllocsPerRun(100, func() { b.Update(r, seats) }))
	who := identity("bob")
	r.Join(who)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Join(who)
		r.Leave(who, true)
	}))
	require.Zero(t, testing.AllocsPerRun(100, func() { r.EndTyping("bob") }))
}
