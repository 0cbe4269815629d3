package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
)

// A caller whose context ends does not wait for a database that does not
// answer; only where its changes were taken up, the outcome is unknown.
func TestContextEndsWhileWaiting(t *testing.T) {
	path := file(t)
	s, err := sqlite.OpenPatient(path, 24*time.Hour)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	room(t, s, "a")
	other := bare(t, path)
	require.NoError(t, other.Script("BEGIN IMMEDIATE")) // as another program may

	ctx, cancel := context.WithCancel(t.Context())
	_, isTaken, taken := s.Begin(ctx, "a", message("taken", "taken"))
	require.Eventually(t, isTaken, time.Minute, time.Millisecond)
	inQueue, _, waiting := s.Begin(ctx, "a", message("waiting", "waiting"))
	require.Eventually(t, inQueue, time.Minute, time.Millisecond)

	p, err := s.History(t.Context(), "a", chat.Query{Limit: 10})
	require.NoError(t, err, "reads go on")
	require.Empty(t, p.Messages)

	cancel()
	err = <-taken
	require.ErrorIs(t, err, chat.ErrUnknown)
	err = <-waiting
	require.ErrorIs(t, err, chat.ErrUnavailable)
	require.NotErrorIs(t, err, chat.ErrUnknown)

	require.NoError(t, other.Script("ROLLBACK"))
	require.NoError(t, other.Close())
	res := one(t, s, "a", message("taken", "taken"))
	require.True(t, res.Duplicate, "it was written after all")
	require.False(t, one(t, s, "a", message("waiting", "waiting")).Duplicate)
}

func TestClosed(t *testing.T) {
	s := open(t, file(t), sqlite.Options{})
	room(t, s, "a")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "again")
	_, err := s.Append(t.Context(), "a", chat.Position{}, []chat.Change{message("x", "")})
	require.ErrorIs(t, err, chat.ErrUnavailable)
	require.NotErrorIs(t, err, chat.ErrUnknown)
	_, err = s.Head(t.Context(), "a")
	require.ErrorIs(t, err, chat.ErrUnavailable)
	_, _, err = s.ListRooms(t.Context(), "", "", 1)
	require.ErrorIs(t, err, chat.ErrUnavailable)
	require.ErrorIs(t, s.RemoveRoom(t.Context(), "a"), chat.ErrUnavailable)
}

// What has been taken on is written before Close returns.
func TestCloseWhileBusy(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Options{})
	room(t, s, "a")
	const n = 50
	errs := make(chan error, n)
	for i := range n {
		go func() {
			_, err := s.Append(context.Background(), "a", chat.Position{}, []chat.Change{message(string(rune('A'+i)), "")})
			errs <- err
		}()
	}
	acked := 0
	for i := range n {
		if i == 5 {
			require.NoError(t, s.Close())
		}
		if err := <-errs; err == nil {
			acked++
		} else {
			require.ErrorIs(t, err, chat.ErrUnavailable)
		}
	}
	head, err := open(t, path, sqlite.Options{}).Head(t.Context(), "a")
	require.NoError(t, err)
	require.EqualValues(t, acked, head.Seq)
}
