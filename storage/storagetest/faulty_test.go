package storagetest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// A Faulty store that is left alone is as good as the one below, whose
// optional powers show through it.
func TestFaultyLeftAlone(t *testing.T) {
	storagetest.Run(t, storagetest.Opener(func(testing.TB) chat.Store {
		return storagetest.Faulty(memory.New())
	}))
}

var open = storagetest.Opener(func(testing.TB) chat.Store { return memory.New() })

func createRoom() chat.Change {
	return chat.Change{Kind: chat.ChangeCreateRoom, Room: chat.RoomInfo{ID: "r", Kind: chat.RoomPublic}}
}

func message(nonce string) chat.Change {
	return chat.Change{Kind: chat.ChangeCreate, Message: chat.Message{ID: "id-" + nonce, User: "alice", Nonce: nonce}}
}

func TestFaultySaysWhatIsWritten(t *testing.T) {
	for _, c := range []struct {
		fault   storagetest.Fault
		is      error
		written int
	}{
		{storagetest.FailBefore, chat.ErrUnavailable, 0},
		{storagetest.UnknownBefore, chat.ErrUnknown, 0},
		{storagetest.UnknownAfter, chat.ErrUnknown, 1},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			ctx := t.Context()
			s := storagetest.Faulty(memory.New())
			_, err := s.Append(ctx, "r", chat.Position{}, []chat.Change{createRoom()})
			require.NoError(t, err)
			s.FailAt(2, c.fault)
			_, err = s.Append(ctx, "r", chat.Position{}, []chat.Change{message("1")})
			require.ErrorIs(t, err, c.is)
			require.Equal(t, c.is == chat.ErrUnknown, errors.Is(err, chat.ErrUnknown))
			head, err := s.Head(ctx, "r")
			require.NoError(t, err)
			require.EqualValues(t, c.written, head.Seq)
			require.Equal(t, 3, s.Calls())
			require.Equal(t, 1, s.Hits())

			s.Down(c.fault)
			_, err = s.Head(ctx, "r")
			require.ErrorIs(t, err, chat.ErrUnavailable)
			_, err = s.Changes(ctx, "r", 0, 1)
			require.ErrorIs(t, err, chat.ErrUnavailable)
			_, err = s.History(ctx, "r", chat.Query{})
			require.ErrorIs(t, err, chat.ErrUnavailable)
			s.Up()
			_, err = s.Head(ctx, "r")
			require.NoError(t, err)
		})
	}
}

func TestFaultyHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storagetest.Faulty(memory.New())
		ctx, cancel := context.WithCancel(t.Context())
		h := s.HoldNext()
		done := make(chan error, 1)
		go func() {
			_, err := s.Append(ctx, "r", chat.Position{}, []chat.Change{createRoom()})
			done <- err
		}()
		<-h.Entered()
		synctest.Wait()
		require.Empty(t, done, "it stands still")
		h.Release()
		h.Release()
		require.NoError(t, <-done)

		h = s.HoldNext()
		go func() {
			_, err := s.Head(ctx, "r")
			done <- err
		}()
		<-h.Entered()
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}

// A sender that retries with the same nonce gets each message stored once,
// whichever call fails and however.
func TestRunFaults(t *testing.T) {
	runs := map[string]bool{}
	storagetest.RunFaults(t, open, func(t *testing.T, s *storagetest.FaultyStore) {
		runs[t.Name()] = true
		send := func(c chat.Change) {
			for {
				results, err := s.Append(t.Context(), "r", chat.Position{}, []chat.Change{c})
				if err == nil {
					if !errors.Is(results[0].Err, chat.ErrConflict) {
						require.NoError(t, results[0].Err)
					}
					return
				}
				require.True(t, errors.Is(err, chat.ErrUnavailable) || errors.Is(err, chat.ErrUnknown))
			}
		}
		send(createRoom())
		for i := range 3 {
			send(message(fmt.Sprint(i)))
		}
		p, err := s.Unwrap().History(t.Context(), "r", chat.Query{Limit: 10})
		require.NoError(t, err)
		require.Len(t, p.Messages, 3)
	})
	require.Len(t, runs, 3*(4+1), "each fault at each of four calls, and once beyond")
}
