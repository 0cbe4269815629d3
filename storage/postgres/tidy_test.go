package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
)

// What is too old goes, from the beginning of each room on, and its nonces
// stay.
func TestMaxAge(t *testing.T) {
	url := pgtest.Start(t).CreateDB(t)
	s := openWith(t, url, postgres.Options{MaxAge: time.Hour})
	for _, key := range []string{"a", "b", "young"} {
		makeRoom(t, s, key)
	}
	sent := make(map[string][]chat.Change)
	for _, key := range []string{"a", "b"} {
		var changes []chat.Change
		for i := range 5 {
			c := creation(fmt.Sprint(i), "x")
			c.At = time.Now().Add(-time.Duration(5-i) * 25 * time.Minute) // 125, 100, 75, 50 and 25 minutes ago
			changes = append(changes, c)
		}
		sent[key] = changes
		_, err := s.Append(t.Context(), key, chat.Position{}, changes)
		require.NoError(t, err)
	}
	require.NoError(t, send(t.Context(), s, "young", creation("", "x")))
	check := func() {
		for _, key := range []string{"a", "b"} {
			requireAged(t, s, key, sent[key])
		}
		list, _, err := s.ListRooms(t.Context(), "", "", 10)
		require.NoError(t, err)
		require.Len(t, list, 3)
		require.EqualValues(t, 5, list[0].LastMessage.Seq)
	}
	check() // what is still there is not shown
	require.NoError(t, s.Tidy(t.Context()))
	check()
	require.Equal(t, []string{"x"}, contents(t, s, "young"))
	results, err := s.Append(t.Context(), "b", chat.Position{}, sent["b"])
	require.NoError(t, err)
	for i, res := range results {
		require.True(t, res.Duplicate)
		require.EqualValues(t, i+1, res.Message.Seq)
	}

	execute(t, url, `UPDATE gabble.hints SET told_at = now() - interval '2 minutes'`)
	execute(t, url, `UPDATE gabble.trimmed SET trimmed_at = now() - interval '2 days' WHERE seq = 1`)
	require.NoError(t, s.Tidy(t.Context()))
	var hints, trimmed int
	require.NoError(t, newPool(t, url).QueryRow(t.Context(),
		`SELECT (SELECT count(*) FROM gabble.hints), (SELECT count(*) FROM gabble.trimmed)`).Scan(&hints, &trimmed))
	require.Equal(t, []int{0, 4}, []int{hints, trimmed})
}

// requireAged requires that of five messages in the room three are not shown.
func requireAged(t *testing.T, s chat.Store, key string, sent []chat.Change) {
	t.Helper()
	p, err := s.History(t.Context(), key, chat.Query{Limit: 10})
	require.NoError(t, err)
	require.Len(t, p.Messages, 2, key)
	require.EqualValues(t, 4, p.Messages[0].Seq)
	require.EqualValues(t, 4, p.Floor, "the third message came at rev 4")
	require.False(t, p.More)
	p, err = s.Changes(t.Context(), key, 0, 10)
	require.NoError(t, err)
	require.EqualValues(t, 4, p.Floor)
	require.Len(t, p.Entries, 3, "the settings and two messages")
	for i, seen := range []int{0, 0, 0, 1, 1} {
		p, err = s.History(t.Context(), key, chat.Query{Limit: 1, ID: sent[i].Message.ID})
		require.NoError(t, err)
		require.Len(t, p.Messages, seen)
		p, err = s.History(t.Context(), key, chat.Query{Limit: 1, User: "alice", Nonce: sent[i].Message.Nonce})
		require.NoError(t, err)
		require.Len(t, p.Messages, seen)
	}
}

// The clock of the database's host has no say in what is too old, nor in how
// long nonces are known: a leap of it hides and forgets nothing.
func TestDatabaseClock(t *testing.T) {
	const leap = 30 * time.Hour
	for name, ahead := range map[string]time.Duration{"ahead": leap, "behind": -leap} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.Start(t).CreateDB(t)
			s := openWith(t, url, postgres.Options{MaxAge: time.Hour})
			s.Leap(-ahead) // whose clock is off is a matter of where one stands
			now := time.Now().Add(-ahead)
			makeRoom(t, s, "a")
			var sent []chat.Change
			for i, age := range []time.Duration{125, 100, 75, 50, 25} {
				c := creation(string(rune('a'+i)), "x")
				c.At = now.Add(-age * time.Minute)
				sent = append(sent, c)
			}
			_, err := s.Append(t.Context(), "a", chat.Position{}, sent)
			require.NoError(t, err)
			requireAged(t, s, "a", sent)
			list, _, err := s.ListRooms(t.Context(), "", "", 10)
			require.NoError(t, err)
			require.NotNil(t, list[0].LastMessage)
			require.NoError(t, s.Tidy(t.Context()))
			requireAged(t, s, "a", sent)

			var at time.Time
			require.NoError(t, newPool(t, url).QueryRow(t.Context(), `SELECT max(trimmed_at) FROM gabble.trimmed`).Scan(&at))
			require.WithinDuration(t, now, at, time.Minute)
			require.NoError(t, s.Tidy(t.Context()))
			results, err := s.Append(t.Context(), "a", chat.Position{}, sent[:1])
			require.NoError(t, err)
			require.True(t, results[0].Duplicate, "a retry of what has just been trimmed")
		})
	}
}
