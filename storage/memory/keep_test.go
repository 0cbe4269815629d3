package memory_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
)

func room(t testing.TB, s chat.Store, key string) {
	one(t, s, key, chat.Change{Kind: chat.ChangeCreateRoom, At: time.Now(), Room: chat.RoomInfo{ID: "r", Kind: chat.RoomPublic}})
}

func one(t testing.TB, s chat.Store, key string, c chat.Change) chat.Result {
	t.Helper()
	results, err := s.Append(t.Context(), key, chat.Position{}, []chat.Change{c})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	return results[0]
}

var ids int64

func message(nonce string) chat.Change {
	ids++
	return chat.Change{Kind: chat.ChangeCreate, At: time.Now(), Message: chat.Message{
		ID: fmt.Sprintf("%026d", ids), User: "alice", Kind: chat.KindRegular, Content: "hello", Nonce: nonce,
	}}
}

func TestNonceLivesForItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		room(t, s, "a")
		first := one(t, s, "a", message("n"))
		time.Sleep(chat.NonceTTL)
		retry := one(t, s, "a", message("n"))
		require.True(t, retry.Duplicate, "to the last moment")
		require.Equal(t, first.Message, retry.Message)

		time.Sleep(time.Nanosecond)
		p, err := s.History(t.Context(), "a", chat.Query{User: "alice", Nonce: "n", Limit: 1})
		require.NoError(t, err)
		require.Empty(t, p.Messages)
		again := one(t, s, "a", message("n"))
		require.False(t, again.Duplicate)
		require.EqualValues(t, 2, again.Message.Seq)

		time.Sleep(chat.NonceTTL)
		require.True(t, one(t, s, "a", message("n")).Duplicate, "the new one has a life of its own")
	})
}

func TestNoncesGoByAndBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.NewWith(memory.Options{MaxMessages: 100})
		room(t, s, "a")
		for i := range 1000 {
			one(t, s, "a", message(fmt.Sprint(i)))
		}
		require.Equal(t, memory.Kept{Messages: 100, IDs: 100, Log: 101, Nonces: 1000, Places: 1000, Trimmed: 900}, s.Kept("a"),
			"a nonce outlives its message")
		time.Sleep(chat.NonceTTL + time.Second)
		for i := range 150 {
			one(t, s, "a", message(fmt.Sprint("later", i)))
		}
		require.Equal(t, memory.Kept{Messages: 100, IDs: 100, Log: 101, Nonces: 150, Places: 150, Trimmed: 50}, s.Kept("a"))
	})
}

func TestIdleRoomsAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.NewWith(memory.Options{MaxAge: time.Hour})
		for i := range 5 {
			key := fmt.Sprint("idle", i)
			room(t, s, key)
			for j := range 600 {
				one(t, s, key, message(fmt.Sprint(j)))
			}
		}
		room(t, s, "busy")
		time.Sleep(chat.NonceTTL + time.Hour)
		left := func() (n int) {
			for i := range 5 {
				k := s.Kept(fmt.Sprint("idle", i))
				n += k.Messages + k.IDs + k.Nonces + k.Places + k.Trimmed
			}
			return n
		}
		require.NotZero(t, left())
		for range 1_000_000 { // a matter of chance, and of some thousands
			if left() == 0 {
				return
			}
			for range 16 {
				one(t, s, "busy", message(""))
			}
		}
		t.Fatal("the other rooms' changes have not swept the idle ones")
	})
}

func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.NewWith(memory.Options{MaxAge: time.Hour, MaxMessages: -1})
		room(t, s, "a")
		for i := range 3 {
			one(t, s, "a", message(fmt.Sprint(i)))
			time.Sleep(30 * time.Minute)
		}
		p, err := s.History(t.Context(), "a", chat.Query{Limit: 10})
		require.NoError(t, err)
		require.Len(t, p.Messages, 2, "the first is 90 minutes old")
		require.EqualValues(t, 2, p.Floor)
		require.True(t, one(t, s, "a", message("0")).Duplicate, "its nonce is still known")

		time.Sleep(time.Hour)
		p, err = s.Changes(t.Context(), "a", 0, 10)
		require.NoError(t, err)
		require.Len(t, p.Entries, 1, "only the settings are left")
		require.EqualValues(t, 4, p.Through)
		require.EqualValues(t, 4, p.Floor)
		require.Equal(t, int64(3), p.Head.Seq, "the positions stay")
		require.EqualValues(t, 4, one(t, s, "a", message("new")).Message.Seq)
	})
}

// However often a few messages change, the log holds each of them once, and
// few entries that no reader wants.
func TestLogStaysSmall(t *testing.T) {
	s := memory.New()
	room(t, s, "a")
	var msgs []chat.Message
	for range 1000 {
		msgs = append(msgs, one(t, s, "a", message("")).Message)
	}
	for i := range 20_000 {
		one(t, s, "a", chat.Change{Kind: chat.ChangeEdit, At: time.Now(), Message: chat.Message{ID: msgs[i*7%30].ID, Content: fmt.Sprint(i)}})
		require.LessOrEqual(t, s.LogLen("a"), 1001*5/4+2)
	}
	p, err := s.Changes(t.Context(), "a", 0, 2000)
	require.NoError(t, err)
	require.Len(t, p.Entries, 1001)
}
