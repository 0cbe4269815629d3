package chat_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// loop is a Room.Changes loop on a goroutine of its own.
type loop struct {
	cancel  context.CancelFunc
	entries []chat.Entry // of the test once Wait has returned
	err     error        // the loop's end
	done    chan struct{}
}

func follow(t *testing.T, room *chat.Room, from chat.Position) *loop {
	ctx, cancel := context.WithCancel(context.Background())
	l := &loop{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for e, err := range room.Changes(ctx, from) {
			if err != nil {
				l.err = err
				continue // it must end by itself
			}
			l.entries = append(l.entries, e)
		}
	}()
	t.Cleanup(func() { cancel(); <-l.done })
	return l
}

// revs returns what the loop has seen so far, and holds it to rising revs.
func (l *loop) revs(t *testing.T, room string) (revs []int64) {
	t.Helper()
	synctest.Wait()
	last := int64(0)
	for _, e := range l.entries {
		require.Greater(t, e.Rev, last)
		last = e.Rev
		require.Equal(t, e.Rev, e.Position.Rev)
		require.Zero(t, e.Position.Seq, "it is not known, as the docs of Entry say")
		require.True(t, (e.Message == nil) != (e.Room == nil))
		if e.Message != nil {
			require.Equal(t, room, e.Message.Room)
		} else {
			require.Equal(t, room, e.Room.ID)
		}
		revs = append(revs, e.Rev)
	}
	return revs
}

func TestChangesSeesEverythingOnceAndGoesOnLive(t *testing.T) {
	o := &chat.Options{Tenant: "acme", Limits: chat.Limits{History: 2, MaxHistory: 2}} // many small pages
	bubble(t, o, func(t *testing.T, srv *chattest.Server) {
		room := srv.Room("r")
		ids := say(t, room, 5)
		_, err := room.Edit(t.Context(), chat.Message{ID: ids[0], Content: "edited"})
		require.NoError(t, err)
		all := follow(t, room, chat.Position{})
		head := headOf(t, room)
		rest := follow(t, room, chat.Position{Epoch: head.Epoch, Rev: 4})
		live := follow(t, room, head)
		require.Equal(t, []int64{1, 3, 4, 5, 6, 7}, all.revs(t, "r"))
		require.Equal(t, []int64{5, 6, 7}, rest.revs(t, "r"))
		require.Empty(t, live.revs(t, "r"))
		say(t, room, 3)
		time.Sleep(time.Hour) // whatever is swept
		_, err = room.Delete(t.Context(), ids[1], true)
		require.NoError(t, err)
		require.Equal(t, []int64{1, 3, 4, 5, 6, 7, 8, 9, 10, 11}, all.revs(t, "r"))
		require.Equal(t, []int64{5, 6, 7, 8, 9, 10, 11}, rest.revs(t, "r"))
		require.Equal(t, []int64{8, 9, 10, 11}, live.revs(t, "r"))
		require.True(t, live.entries[3].Message.Deleted())
		live.cancel()
		<-live.done
		require.ErrorIs(t, live.err, context.Canceled)
	})
}

// Loops begin at any moment while others write.
func TestChangesBesideWritersMissesNothing(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{})
		room := h.Room("r")
		say(t, room, 1)
		const n = 200
		written := make(chan struct{})
		go func() {
			defer close(written)
			for i := range n {
				_, err := room.Send(context.Background(), chat.Message{User: "host", Content: fmt.Sprint(i)})
				if err != nil {
					t.Errorf("send: %v", err)
				}
			}
		}()
		results := make(chan error, 20)
		for range cap(results) {
			go func() {
				want := int64(1)
				for e, err := range room.Changes(t.Context(), chat.Position{}) {
					if err != nil || e.Rev != want {
						results <- fmt.Errorf("rev %d instead of %d: %w", e.Rev, want, err)
						return
					}
					if want++; want > n+2 {
						break
					}
				}
				results <- nil
			}()
		}
		for range cap(results) {
			select {
			case err := <-results:
				require.NoError(t, err)
			case <-time.After(10 * time.Second):
				t.Fatal("a loop waits for what has been written")
			}
		}
		<-written
	})
}

func TestChangesThatCannotBeContinuedEndWithErrReset(t *testing.T) {
	store := memory.NewWith(memory.Options{MaxMessages: 5})
	bubble(t, &chat.Options{Store: store}, func(t *testing.T, srv *chattest.Server) {
		room := srv.Room("r")
		say(t, room, 20)
		head := headOf(t, room)
		for _, from := range []chat.Position{
			{Epoch: head.Epoch, Rev: 3},            // trimmed
			{Epoch: head.Epoch, Rev: head.Rev + 1}, // of the future
			{Epoch: "another", Rev: head.Rev},
		} {
			l := follow(t, room, from)
			require.Empty(t, l.revs(t, "r"))
			require.ErrorIs(t, l.err, chat.ErrReset, "%+v", from)
			<-l.done
		}
		fresh := follow(t, room, chat.Position{})
		require.Len(t, fresh.revs(t, "r"), 6, "what is kept, from the beginning")
		_, err := store.NewEpoch(t.Context(), "r")
		require.NoError(t, err)
		say(t, room, 1)
		fresh.revs(t, "r")
		require.ErrorIs(t, fresh.err, chat.ErrReset)

		again := follow(t, room, headOf(t, room))
		synctest.Wait() // else it may find nothing
		require.NoError(t, store.RemoveRoom(t.Context(), "r"))
		say(t, room, 1)
		again.revs(t, "r")
		require.ErrorIs(t, again.err, chat.ErrReset)
	})
}

func TestChangesEndWithTheServer(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		room := srv.Room("r")
		say(t, room, 1)
		l := follow(t, room, chat.Position{})
		require.Len(t, l.revs(t, "r"), 2)
		require.NoError(t, srv.Shutdown(t.Context()))
		<-l.done
		require.ErrorIs(t, l.err, chat.ErrServerClosed)
		late := follow(t, room, chat.Position{})
		<-late.done
		require.ErrorIs(t, late.err, chat.ErrServerClosed)
		require.Empty(t, late.entries)
	})
}

// Who opened the store closes it after Shutdown, so that nobody may touch it
// any more, however slow a loop's body is.
func TestChangesDoNotTouchTheStoreAfterShutdown(t *testing.T) {
	store := storagetest.Faulty(memory.New())
	bubble(t, &chat.Options{Store: store, Limits: chat.Limits{History: 1, MaxHistory: 1}}, func(t *testing.T, srv *chattest.Server) {
		room := srv.Room("r")
		say(t, room, 5)
		var ended error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, err := range room.Changes(context.Background(), chat.Position{}) {
				ended = err
				time.Sleep(time.Minute)
			}
		}()
		synctest.Wait()
		require.NoError(t, srv.Shutdown(t.Context()))
		calls := store.Calls()
		<-done
		require.Equal(t, calls, store.Calls())
		require.ErrorIs(t, ended, chat.ErrServerClosed)
	})
}

// A loop that is left takes everything with it; goleak and the room table say so.
func TestChangesLeaveNothingBehindWhenTheLoopBreaks(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		room := srv.Room("r")
		say(t, room, 3)
		for range 10 {
			for _, err := range room.Changes(t.Context(), chat.Position{}) {
				require.NoError(t, err)
				require.Equal(t, 1, srv.Stats().Rooms)
				break
			}
		}
		require.Zero(t, srv.Stats().Rooms)
		func() {
			defer func() { require.Equal(t, "of the host", recover()) }()
			for range room.Changes(t.Context(), chat.Position{}) {
				panic("of the host")
			}
		}()
		require.Zero(t, srv.Stats().Rooms)
		for _, err := range srv.Room("nowhere").Changes(t.Context(), chat.Position{}) {
			require.True(t, errors.Is(err, chat.ErrNotFound), "%v", err)
		}
		require.Zero(t, srv.Stats().Rooms)
	})
}
