package sqlite_test

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/sqlite"
)

// readiness asks a server with the store whether it is ready.
func readiness(t *testing.T, s chat.Store) func() int {
	srv := chattest.New(t, &chat.Options{Store: s, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	return func() int {
		t.Helper()
		res, err := srv.HTTP("").Get("http://chat.test/chat/readyz")
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
}

// A server is not ready while its volume is full, and is again as soon as there
// is room, without anybody sending.
func TestReadyWhileFull(t *testing.T) {
	path := file(t)
	s := small(t, path, sqlite.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}, 200, 4<<20)
	ready := readiness(t, s)
	require.Equal(t, http.StatusOK, ready())
	room(t, s, "a")
	room(t, s, "b")
	fillRoom(t, s, "b", 300)
	untilFull(t, s, "a", "x")
	for range 3 {
		require.Equal(t, http.StatusServiceUnavailable, ready())
	}
	require.NoError(t, s.RemoveRoom(t.Context(), "b"))
	require.Eventually(t, func() bool { return ready() == http.StatusOK }, time.Minute, 10*time.Millisecond, "there is room")
	_, err := send(t, s, "a", message("on", ""))
	require.NoError(t, err)
}

// A server is not ready when its file is another, or none.
func TestReadyWithoutFile(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ready := readiness(t, s)
	require.Equal(t, http.StatusOK, ready())
	require.NoError(t, os.Rename(path, path+".away"))
	require.Equal(t, http.StatusServiceUnavailable, ready())
	require.NoError(t, os.Rename(path+".away", path))
	require.Eventually(t, func() bool { return ready() == http.StatusOK }, time.Minute, 10*time.Millisecond)
}

// Whoever asks writes nothing that stays, and not each time.
func TestCheckLeavesNothing(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Options{})
	other := bare(t, path)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	require.NoError(t, other.Script("PRAGMA user_version = 77"))
	room(t, s, "a")
	head, err := s.Head(t.Context(), "a")
	require.NoError(t, err)
	require.NoError(t, s.Check(t.Context()))
	log := size(t, path+"-wal")
	for range 50 {
		require.NoError(t, s.Check(t.Context()))
	}
	require.LessOrEqual(t, size(t, path+"-wal"), log+10*(4096+24), "a page a second")
	now, err := s.Head(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, head, now)
	n, err := other.Number("PRAGMA user_version")
	require.NoError(t, err)
	require.EqualValues(t, 77, n, "it may be the host's")
}
