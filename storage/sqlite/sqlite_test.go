package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
	"github.com/gabblehq/chat/storage/storagetest"
)

// harness opens stores that can be opened again and trim.
type harness struct{}

// kept is a store and what it takes to open it again.
type kept struct {
	*sqlite.Store
	path string
	opts sqlite.Options
}

func (k kept) Unwrap() chat.Store { return k.Store }

func open(t testing.TB, path string, o sqlite.Options) kept {
	t.Helper()
	s, err := sqlite.OpenWith(path, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return kept{s, path, o}
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "chat.db") }

func (harness) Open(t testing.TB) chat.Store { return open(t, file(t), sqlite.Options{}) }

func (harness) OpenTrimming(t testing.TB, messages int) chat.Store {
	return open(t, file(t), sqlite.Options{MaxMessages: messages})
}

func (harness) OpenAging(t testing.TB, age time.Duration) (chat.Store, func(time.Duration)) {
	s := open(t, file(t), sqlite.Options{MaxAge: age})
	return s, s.Leap
}

func (harness) Reopen(t testing.TB, s chat.Store) chat.Store {
	k := s.(kept)
	require.NoError(t, k.Close())
	return open(t, k.path, k.opts)
}

// OpenBreaking has another program lock the database: whoever writes gives up,
// here after a moment.
func (harness) OpenBreaking(t testing.TB) storagetest.Breaking {
	path := file(t)
	s, err := sqlite.OpenPatient(path, 20*time.Millisecond)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	other, err := sqlite.NewBare(path, sqlite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	return breaking{s, other}
}

type breaking struct {
	s     *sqlite.Store
	other *sqlite.Bare
}

func (b breaking) Store() chat.Store  { return b.s }
func (b breaking) Break(t testing.TB) { require.NoError(t, b.other.Script("BEGIN IMMEDIATE")) }
func (b breaking) Mend(t testing.TB)  { require.NoError(t, b.other.Script("ROLLBACK")) }

func TestStore(t *testing.T) { storagetest.Run(t, harness{}) }

// room makes a room.
func room(t testing.TB, s chat.Store, key string) {
	t.Helper()
	one(t, s, key, chat.Change{Kind: chat.ChangeCreateRoom, At: time.Now(), Room: chat.RoomInfo{ID: key, Kind: chat.RoomPublic}})
}

// one appends a change that must not fail.
func one(t testing.TB, s chat.Store, key string, c chat.Change) chat.Result {
	t.Helper()
	results, err := s.Append(t.Context(), key, chat.Position{}, []chat.Change{c})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	return results[0]
}

// message is a new message; its id is content, padded.
func message(content, nonce string) chat.Change {
	return chat.Change{Kind: chat.ChangeCreate, At: time.Now(), Message: chat.Message{
		ID: fmt.Sprintf("%026s", content), User: "alice", Kind: chat.KindRegular, Content: content, Nonce: nonce,
	}}
}
