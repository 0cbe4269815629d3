package storagetest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// listener writes down what it is told.
type listener struct {
	mu     sync.Mutex
	said   []string
	hints  []chat.Hint
	missed []func(string) bool
}

func (l *listener) say(format string, args ...any) {
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

func (l *listener) Appended(h chat.Hint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hints = append(l.hints, h)
	l.say("%s at %d", h.Room, h.Head.Rev)
}

func (l *listener) Present(room string, changes []chat.Attendance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changes {
		l.say("%s in %s on %s gone %t", c.User.ID, room, c.Node, c.Gone)
	}
}

func (l *listener) Signal(room string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say("%s says %s", room, data)
}

func (l *listener) Missed(covers func(string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed = append(l.missed, covers)
	if covers == nil {
		l.say("missed all")
		return
	}
	l.say("missed a %t b %t", covers("a"), covers("b"))
}

// heard returns what was said since the last call, when all is at rest.
func (l *listener) heard() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	said := l.said
	l.said = nil
	return said
}

// listen watches until the test ends.
func listen(t *testing.T, n *storagetest.SharedNode) *listener {
	l := &listener{}
	watchBy(t, n, l)
	require.Equal(t, []string{"missed all"}, l.heard(), "Watch begins with Missed(nil)")
	return l
}

func watchBy(t *testing.T, w chat.Watcher, l chat.Listener) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Watch(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}

// sharedTest runs f in a bubble with two nodes, the second of which watches.
func sharedTest(t *testing.T, f func(t *testing.T, sh *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener)) {
	synctest.Test(t, func(t *testing.T) {
		sh := storagetest.Shared(memory.New())
		a, b := sh.Node(), sh.Node()
		f(t, sh, a, b, listen(t, b))
	})
}

func create(t *testing.T, s chat.Store, room string) {
	c := chat.Change{Kind: chat.ChangeCreateRoom, At: time.Now(), Room: chat.RoomInfo{ID: "r", Kind: chat.RoomPublic}}
	write(t, s, room, c)
}

func write(t require.TestingT, s chat.Store, room string, changes ...chat.Change) []chat.Result {
	results, err := s.Append(context.Background(), room, chat.Position{}, changes)
	require.NoError(t, err)
	for _, r := range results {
		require.NoError(t, r.Err)
	}
	return results
}

func TestSharedTellsOfAppends(t *testing.T) {
	sharedTest(t, func(t *testing.T, sh *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener) {
		create(t, a, "a")
		m := write(t, a, "a", message("1"), message("2"))[0].Message
		edit := chat.Change{Kind: chat.ChangeEdit, At: time.Now(), Message: chat.Message{ID: m.ID, Content: "three"}}
		write(t, b, "a", edit)
		write(t, a, "a", edit) // changes nothing
		require.Equal(t, []string{"a at 1", "a at 3", "a at 4"}, l.heard())

		entries, err := l.hints[1].Entries()
		require.NoError(t, err)
		require.EqualValues(t, 1, l.hints[1].After)
		require.Len(t, entries, 2)
		require.EqualValues(t, 2, entries[0].Rev)
		require.Equal(t, m, *entries[0].Message, "as it was then")

		pos, err := a.NewEpoch(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, []string{"a at 4"}, l.heard())
		require.Equal(t, pos, l.hints[3].Head)
		require.NoError(t, a.RemoveRoom(t.Context(), "a"))
		require.Equal(t, []string{"a at -1"}, l.heard())
		heads, err := b.Heads(t.Context(), []string{"a", "never"})
		require.NoError(t, err)
		require.Equal(t, []chat.Position{{Rev: -1}, {Rev: -1}}, heads)
	})
}

func TestSharedRollbackIsTold(t *testing.T) {
	sharedTest(t, func(t *testing.T, sh *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener) {
		create(t, a, "a")
		head, err := a.Head(t.Context(), "a")
		require.NoError(t, err)
		head.Rev = 100
		_, err = a.Append(t.Context(), "a", head, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"a at 1", "a at 1"}, l.heard())
		require.NotEqual(t, head.Epoch, l.hints[1].Head.Epoch)
	})
}

func TestSharedCut(t *testing.T) {
	sharedTest(t, func(t *testing.T, sh *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener) {
		create(t, a, "a")
		require.Equal(t, []string{"a at 1"}, l.heard())
		b.Cut()
		write(t, a, "a", message("1"))
		require.NoError(t, a.Signal(t.Context(), "a", []byte("lost")))
		require.Empty(t, l.heard())
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"missed a true b false"}, l.heard(), "the store can be reached")
		time.Sleep(time.Minute)
		require.Empty(t, l.heard(), "nothing has happened")
		write(t, a, "a", message("2"))
		b.Mend()
		require.Equal(t, []string{"missed all"}, l.heard())
		time.Sleep(time.Minute)
		require.Empty(t, l.heard(), "that has made up for it")
		write(t, a, "a", message("3"))
		require.Equal(t, []string{"a at 4"}, l.heard())
	})
}

func TestSharedDropNext(t *testing.T) {
	sharedTest(t, func(t *testing.T, sh *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener) {
		create(t, a, "a")
		create(t, a, "b")
		l.heard()
		b.DropNext(1)
		require.NoError(t, a.Signal(t.Context(), "a", []byte("hi")))
		write(t, a, "a", message("1"))
		write(t, a, "a", message("2"))
		require.Equal(t, []string{"a says hi", "a at 3"}, l.heard())
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"missed a true b false"}, l.heard())
	})
}

func TestSharedDown(t *testing.T) {
	sharedTest(t, func(t *testing.T, sh *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener) {
		create(t, a, "a")
		l.heard()
		hint := l.hints[0]
		b.Down()
		write(t, a, "a", message("1"))
		time.Sleep(time.Hour)
		require.Empty(t, l.heard())
		ctx := t.Context()
		_, err := b.Append(ctx, "a", chat.Position{}, nil)
		errs := []error{err, b.Signal(ctx, "a", nil), b.RemoveRoom(ctx, "a")}
		_, err = b.Changes(ctx, "a", 0, 1)
		errs = append(errs, err)
		_, err = b.History(ctx, "a", chat.Query{})
		errs = append(errs, err)
		_, err = b.Head(ctx, "a")
		errs = append(errs, err)
		_, err = b.Heads(ctx, []string{"a"})
		errs = append(errs, err)
		_, _, err = b.ListRooms(ctx, "", "", 1)
		errs = append(errs, err)
		_, err = b.NewEpoch(ctx, "a")
		errs = append(errs, err)
		_, _, err = b.Attend(ctx, "n", time.Minute, nil)
		errs = append(errs, err)
		_, err = b.Attendances(ctx, []string{"a"})
		errs = append(errs, err)
		_, err = hint.Entries()
		for i, err := range append(errs, err) {
			require.ErrorIs(t, err, chat.ErrUnavailable, "call %d", i)
		}
		b.Up()
		require.Equal(t, []string{"missed all"}, l.heard())

		b.Down()
		late := &listener{}
		watchBy(t, b, late)
		require.Empty(t, late.heard(), "it cannot begin")
		b.Up()
		require.Equal(t, []string{"missed all"}, late.heard())
	})
}

func TestSharedHabits(t *testing.T) {
	sharedTest(t, func(t *testing.T, sh *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener) {
		sh.Behave(storagetest.Habits{Bare: 1, Repeat: 2, Delay: time.Second, Shuffle: true, NoEcho: true})
		create(t, a, "a")
		create(t, a, "b")
		create(t, b, "c")
		write(t, a, "a", message("1"))
		require.Empty(t, l.heard())
		time.Sleep(time.Second)
		require.Equal(t, []string{"b at 1", "b at 1", "a at 1", "a at 2"}, l.heard())
		for _, h := range l.hints {
			require.Nil(t, h.Entries)
		}
		write(t, a, "a", message("2"))
		b.Cut()
		b.Mend()
		time.Sleep(time.Minute)
		require.Equal(t, []string{"missed all"}, l.heard(), "what was on its way is lost")
	})
}

func TestSharedLoses(t *testing.T) {
	sharedTest(t, func(t *testing.T, sh *storagetest.SharedStore, a, b *storagetest.SharedNode, l *listener) {
		create(t, a, "a")
		head, err := a.Head(t.Context(), "a")
		require.NoError(t, err)
		l.heard()
		sh.Lose(memory.New())
		require.Empty(t, l.heard())
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"missed all"}, l.heard())
		heads, err := b.Heads(t.Context(), []string{"a"})
		require.NoError(t, err)
		require.Equal(t, []chat.Position{{}}, heads)
		results, err := b.Append(t.Context(), "a", head, []chat.Change{message("1")})
		require.NoError(t, err)
		require.ErrorIs(t, results[0].Err, chat.ErrLost)
		require.ErrorIs(t, results[0].Err, chat.ErrNotFound)
		create(t, b, "a")
		require.NoError(t, b.RemoveRoom(t.Context(), "a"))
		results, err = b.Append(t.Context(), "a", head, []chat.Change{message("1")})
		require.NoError(t, err)
		require.NotErrorIs(t, results[0].Err, chat.ErrLost, "it has been removed")
		require.ErrorIs(t, results[0].Err, chat.ErrNotFound)
	})
}
