package sqlite_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
)

// A record that cannot be read is shown as a deleted message; all others stay
// as they are.
func TestDamagedRecord(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Options{})
	room(t, s, "a")
	var before []chat.Message
	for i := range 5 {
		before = append(before, one(t, s, "a", message(fmt.Sprint(i), fmt.Sprint(i))).Message)
	}
	require.NoError(t, s.Close())
	for seq, set := range map[int]string{2: `mentions = '["x'`, 3: `content = CAST(x'ff80' AS TEXT)`, 4: `meta = '{'`} {
		change(t, path, fmt.Sprint("UPDATE messages SET ", set, " WHERE seq = ", seq))
	}
	var logged lockedBuffer
	s = open(t, path, sqlite.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	for range 3 {
		p, err := s.History(t.Context(), "a", chat.Query{Limit: 10})
		require.NoError(t, err)
		require.Len(t, p.Messages, 5)
		for i, m := range p.Messages {
			if i == 0 || i == 4 {
				require.Equal(t, before[i], m)
				continue
			}
			require.True(t, m.Deleted())
			require.Empty(t, m.Content)
			require.Equal(t, before[i].ID, m.ID)
			require.Equal(t, before[i].Rev, m.Rev)
		}
		changes, err := s.Changes(t.Context(), "a", 0, 10)
		require.NoError(t, err)
		require.Len(t, changes.Entries, 6)
	}
	logged.await(t, "a record is damaged", 3)
	require.True(t, one(t, s, "a", message("1", "1")).Duplicate)

	edit := chat.Change{Kind: chat.ChangeEdit, At: time.Now(), Message: chat.Message{ID: before[1].ID, Content: "new"}}
	results, err := s.Append(t.Context(), "a", chat.Position{}, []chat.Change{edit, message("5", "")})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, chat.ErrInternal)
	require.NoError(t, results[1].Err)

	res := one(t, s, "a", chat.Change{Kind: chat.ChangeDelete, At: time.Now(), Message: chat.Message{ID: before[1].ID}})
	require.True(t, res.Message.Deleted(), "deleting mends it")
	require.False(t, res.Unchanged)
	again := one(t, s, "a", chat.Change{Kind: chat.ChangeDelete, At: time.Now(), Message: chat.Message{ID: before[1].ID}})
	require.True(t, again.Unchanged)
	require.Equal(t, res.Message, again.Message)
}

func TestDamagedSettings(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Options{})
	room(t, s, "a")
	one(t, s, "a", message("1", ""))
	require.NoError(t, s.Close())
	change(t, path, `UPDATE rooms SET meta = '{"', title = 'T'`)

	var logged lockedBuffer
	s = open(t, path, sqlite.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	for range 3 {
		p, err := s.History(t.Context(), "a", chat.Query{Limit: 10})
		require.NoError(t, err)
		require.Equal(t, "T", p.Room.Title)
		require.Len(t, p.Messages, 1)
		rooms, _, err := s.ListRooms(t.Context(), "", "", 10)
		require.NoError(t, err)
		require.Len(t, rooms, 1)
	}
	logged.await(t, "a record is damaged", 1)
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// await waits until a text has been logged, which is soon after what it is about,
// and wants it to be there so many times.
func (l *lockedBuffer) await(t *testing.T, text string, times int) {
	t.Helper()
	count := func() int { return strings.Count(l.String(), text) }
	require.Eventually(t, func() bool { return count() >= times }, time.Minute, time.Millisecond, "%q: %s", text, l)
	require.Equal(t, times, count(), "%q: %s", text, l)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
