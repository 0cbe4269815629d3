package sqlite_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
)

func TestMaxAge(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, sqlite.Options{MaxAge: time.Hour})
		room(t, s, "a")
		for i := range 3 {
			one(t, s, "a", message(fmt.Sprint(i), fmt.Sprint(i)))
			time.Sleep(30 * time.Minute)
		}
		p, err := s.History(t.Context(), "a", chat.Query{Limit: 10})
		require.NoError(t, err)
		require.Len(t, p.Messages, 2, "the first is 90 minutes old")
		require.EqualValues(t, 2, p.Floor)
		require.True(t, one(t, s, "a", message("0", "0")).Duplicate, "its nonce is still known")

		time.Sleep(time.Hour)
		rooms, _, err := s.ListRooms(t.Context(), "", "", 10)
		require.NoError(t, err)
		require.Nil(t, rooms[0].LastMessage)
		p, err = s.Changes(t.Context(), "a", 0, 10)
		require.NoError(t, err)
		require.Len(t, p.Entries, 1, "only the settings are left")
		require.EqualValues(t, 4, p.Through)
		require.EqualValues(t, 4, p.Floor)
		require.EqualValues(t, 3, p.Head.Seq, "the positions stay")
		require.EqualValues(t, 4, one(t, s, "a", message("new", "")).Message.Seq)
		require.NoError(t, s.Close())
	})
}

// What nobody asks for goes too: old messages of idle rooms, nonces after
// their time, all that was in removed rooms.
func TestIdleRoomsAreSwept(t *testing.T) {
	path := file(t)
	count := func() (n int64) {
		b := bare(t, path)
		defer func() { require.NoError(t, b.Close()) }()
		n, err := b.Number("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM trimmed) + (SELECT count(*) FROM removed)")
		require.NoError(t, err)
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, sqlite.Options{MaxAge: time.Hour})
		for r := range 120 {
			room(t, s, fmt.Sprint(r))
			one(t, s, fmt.Sprint(r), message("x", "x"))
		}
		many := make([]chat.Change, 1100)
		for i := range many {
			many[i] = message(fmt.Sprint("m", i), fmt.Sprint(i))
		}
		_, err := s.Append(t.Context(), "0", chat.Position{}, many)
		require.NoError(t, err)
		require.EqualValues(t, 1220, count())
		time.Sleep(time.Hour + 10*sqlite.SweepEvery)
		synctest.Wait()
		require.EqualValues(t, 1220, count(), "trimmed, and their nonces are known")
		time.Sleep(chat.NonceTTL + sqlite.SweepEvery)
		synctest.Wait()
		require.Zero(t, count())

		_, err = s.Append(t.Context(), "1", chat.Position{}, many)
		require.NoError(t, err)
		require.NoError(t, s.RemoveRoom(t.Context(), "1"))
		room(t, s, "1")
		one(t, s, "1", message("x", "x"))
		require.EqualValues(t, 1100+1+1, count())
		time.Sleep(2 * sqlite.SweepEvery)
		synctest.Wait()
		require.EqualValues(t, 1, count(), "the room made anew keeps its own")
		require.NoError(t, s.Close())
	})
}

// A bound that has been lowered holds after a sweep.
func TestLowerBound(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, sqlite.Options{})
		room(t, s, "a")
		many := make([]chat.Change, 2500)
		for i := range many {
			many[i] = message(fmt.Sprint(i), "")
		}
		_, err := s.Append(t.Context(), "a", chat.Position{}, many)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		s = open(t, path, sqlite.Options{MaxMessages: 10})
		time.Sleep(sqlite.SweepEvery)
		synctest.Wait()
		p, err := s.History(t.Context(), "a", chat.Query{Limit: 100})
		require.NoError(t, err)
		require.Equal(t, 10, len(p.Messages))
		require.NoError(t, s.Close())
	})
}
