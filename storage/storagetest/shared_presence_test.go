package storagetest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

func TestSharedPresence(t *testing.T) {
	sharedTest(t, func(t *testing.T, _ *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener) {
		ctx := t.Context()
		alice := chat.Attendance{Room: "a", User: chat.User{ID: "alice", Name: "Alice", Roles: []string{"admin"}}}
		nodes, lapsed, err := a.Attend(ctx, "n1", 10*time.Second, []chat.Attendance{alice})
		require.NoError(t, err)
		require.True(t, lapsed)
		require.Equal(t, []string{"n1"}, nodes)
		require.Equal(t, []string{"alice in a on n1 gone false"}, l.heard())
		time.Sleep(9 * time.Second)
		nodes, lapsed, err = b.Attend(ctx, "n2", 10*time.Second, []chat.Attendance{alice})
		require.NoError(t, err)
		require.True(t, lapsed)
		require.Equal(t, []string{"n1", "n2"}, nodes)
		all, err := a.Attendances(ctx, []string{"a", "b"})
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.Equal(t, chat.User{ID: "alice", Name: "Alice"}, all[0].User)

		time.Sleep(time.Second)
		nodes, lapsed, err = b.Attend(ctx, "n2", 10*time.Second, nil)
		require.NoError(t, err)
		require.False(t, lapsed)
		require.Equal(t, []string{"n2"}, nodes, "the lease of n1 has run out")
		_, lapsed, err = a.Attend(ctx, "n1", 10*time.Second, nil)
		require.NoError(t, err)
		require.True(t, lapsed, "what it has said is forgotten")
		all, err = a.Attendances(ctx, []string{"a"})
		require.NoError(t, err)
		require.Len(t, all, 1)

		nodes, _, err = b.Attend(ctx, "n2", 0, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"n1"}, nodes)
	})
}

// Whatever is broken and mended, everyone who watches knows every room's head
// two seconds later: by the hints, or by looking where Missed says so.
func TestSharedHeadsAreKnownInTwoSeconds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		habits := storagetest.Habits{
			Bare: rapid.IntRange(-1, 3).Draw(rt, "bare"), Repeat: rapid.IntRange(0, 3).Draw(rt, "repeat"),
			Delay:   time.Duration(rapid.IntRange(0, 1500).Draw(rt, "delay")) * time.Millisecond,
			Shuffle: rapid.Bool().Draw(rt, "shuffle"),
		}
		steps := rapid.SliceOfN(rapid.IntRange(0, 7), 1, 30).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) { followed(t, habits, steps) })
	})
}

func followed(t *testing.T, habits storagetest.Habits, steps []int) {
	sh := storagetest.Shared(memory.New())
	sh.Behave(habits)
	a, b := sh.Node(), sh.Node()
	rooms := []string{"a", "b", "c"}
	for _, room := range rooms {
		create(t, a, room)
	}
	f := &follower{s: b, heads: map[string]chat.Position{}, rooms: rooms}
	watchBy(t, b, f)
	down := false
	for i, step := range steps {
		switch step {
		case 0:
			b.Cut()
		case 1:
			b.Mend()
		case 2:
			b.Down()
			down = true
		case 3:
			b.Up()
			down = false
		case 4:
			b.DropNext(2)
		case 5:
			time.Sleep(700 * time.Millisecond)
		default:
			write(t, a, rooms[i%3], message(fmt.Sprint(i)), message(fmt.Sprint(i, "+")))
		}
	}
	if down {
		b.Up()
	}
	time.Sleep(2 * time.Second)
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Empty(t, f.wrong)
	for _, room := range rooms {
		head, err := a.Head(t.Context(), room)
		require.NoError(t, err)
		require.Equal(t, head, f.heads[room], "%s, of %v", room, steps)
	}
}

// follower knows what a server would.
type follower struct {
	listener
	s     chat.Store
	rooms []string
	heads map[string]chat.Position
	wrong []string
}

func (f *follower) Appended(h chat.Hint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.Entries != nil {
		entries, err := h.Entries()
		if err != nil {
			return // the store is down: its return will be told
		}
		want := h.After + 1
		for _, e := range entries {
			if e.Rev != want || e.Message.Rev != want {
				f.wrong = append(f.wrong, fmt.Sprintf("%+v has an entry %+v", h, e))
			}
			want++
		}
		if want != h.Head.Rev+1 {
			f.wrong = append(f.wrong, fmt.Sprintf("%+v has entries to %d", h, want-1))
		}
	}
	if h.Head.Rev > f.heads[h.Room].Rev {
		f.heads[h.Room] = h.Head
	}
}

func (f *follower) Missed(covers func(string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, room := range f.rooms {
		if covers == nil || covers(room) {
			if head, err := f.s.Head(context.Background(), room); err == nil {
				f.heads[room] = head
			}
		}
	}
}
