package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/storage/storagetest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// harness is all that the public suite needs to prove a backend.
type harness struct{}

func (harness) Open(t testing.TB) chat.Store { return upon(open(t, t.TempDir())) }

// Reopen has the suite check that everything survives the process.
func (harness) Reopen(t testing.TB, s chat.Store) chat.Store {
	return upon(open(t, s.(rooms).records.dir))
}

// rooms are rooms and messages, upon the records of a Store.
type rooms struct {
	chat.Store
	records *Store
}

func upon(s *Store) rooms { return rooms{chat.FromRecords(s), s} }

// OpenBreaking has the suite check what is said when the disk fails.
func (harness) OpenBreaking(t testing.TB) storagetest.Breaking {
	return breaking{open(t, filepath.Join(t.TempDir(), "rooms"))}
}

// breaking puts a file in the place of the directory, in which nothing can be
// read or written then.
type breaking struct{ s *Store }

func (b breaking) Store() chat.Store { return upon(b.s) }

func (b breaking) Break(t testing.TB) {
	require.NoError(t, os.Rename(b.s.dir, b.s.dir+".away"))
	require.NoError(t, os.WriteFile(b.s.dir, nil, 0o600))
}

func (b breaking) Mend(t testing.TB) {
	require.NoError(t, os.Remove(b.s.dir))
	require.NoError(t, os.Rename(b.s.dir+".away", b.s.dir))
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	require.NoError(t, err)
	return s
}

func TestStore(t *testing.T) { storagetest.Run(t, harness{}) }

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, harness{}) }

// Wherever a crash cuts the file off, what was acknowledged before is there,
// what was not is gone as a whole, and the room goes on.
func TestACrashTakesOnlyWhatWasNotAcknowledged(t *testing.T) {
	s := upon(open(t, t.TempDir()))
	add := func(s rooms, ids ...string) error {
		changes := []chat.Change{{Kind: chat.ChangeCreateRoom, At: time.Now(), Room: chat.RoomInfo{ID: "r", Kind: chat.RoomPublic}}}
		for _, id := range ids {
			changes = append(changes, chat.Change{Kind: chat.ChangeCreate, At: time.Now(), Message: chat.Message{ID: id, User: "alice"}})
		}
		_, err := s.Append(t.Context(), "r", chat.Position{}, changes)
		return err
	}
	require.NoError(t, add(s, "a"))
	path := s.records.rooms["r"].path
	acknowledged, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, add(s, "b", "c"))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)

	for end := range whole {
		require.NoError(t, os.WriteFile(path, whole[:end], 0o600))
		s := upon(open(t, s.records.dir))
		head, err := s.Head(t.Context(), "r")
		if end < len(acknowledged) {
			require.ErrorIs(t, err, chat.ErrNotFound, "at %d", end)
		} else {
			require.NoError(t, err, "at %d", end)
			require.EqualValues(t, 1, head.Seq, "at %d", end)
		}
		require.NoError(t, add(s, "d"), "at %d", end)
		head, err = upon(open(t, s.records.dir)).Head(t.Context(), "r")
		require.NoError(t, err)
		require.EqualValues(t, min(2, 1+end/len(acknowledged)), head.Seq, "at %d", end)
	}
}

func TestADamagedFileIsLeftAlone(t *testing.T) {
	s := upon(open(t, t.TempDir()))
	for _, id := range []string{"a", "b"} {
		_, err := s.Append(t.Context(), "r", chat.Position{}, []chat.Change{
			{Kind: chat.ChangeCreateRoom, Room: chat.RoomInfo{ID: "r"}}, {Kind: chat.ChangeCreate, Message: chat.Message{ID: id}},
		})
		require.NoError(t, err)
	}
	path := s.records.rooms["r"].path
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[10] = 0
	require.NoError(t, os.WriteFile(path, data, 0o600))
	_, err = upon(open(t, s.records.dir)).Head(t.Context(), "r")
	require.ErrorIs(t, err, chat.ErrUnavailable)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, data, after)
}

func TestAFailingDiskIsUnavailable(t *testing.T) {
	s := upon(open(t, filepath.Join(t.TempDir(), "rooms")))
	require.NoError(t, os.RemoveAll(s.records.dir))
	_, err := s.Append(t.Context(), "r", chat.Position{}, []chat.Change{{Kind: chat.ChangeCreateRoom}})
	require.ErrorIs(t, err, chat.ErrUnavailable)
	require.NotErrorIs(t, err, chat.ErrUnknown, "nothing is written")
	require.NoError(t, os.MkdirAll(s.records.dir, 0o700))
	_, err = s.Head(t.Context(), "r")
	require.ErrorIs(t, err, chat.ErrNotFound)
}

func TestMessagesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"first", "second"} {
		url, stop := start(t, dir)
		res, err := http.Post(url, "application/json", strings.NewReader(`{"content":"`+content+`"}`))
		require.NoError(t, err)
		require.Less(t, res.StatusCode, 300)
		require.NoError(t, res.Body.Close())
		stop()
	}
	url, stop := start(t, dir)
	defer stop()
	res, err := http.Get(url)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Regexp(t, `(?s)first.*second`, string(body))
}

// start runs the program until stop is called. It returns the address that the
// program prints.
func start(t *testing.T, dir string) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-addr", "127.0.0.1:0", "-dir", dir}, w)
		_ = w.CloseWithError(err)
		done <- err
	}()
	stop = func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		require.NoError(t, <-done)
	}
	lines := bufio.NewReader(r)
	line, err := lines.ReadString('\n')
	if err != nil {
		stop()
	}
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	fields := strings.Fields(line)
	return fields[len(fields)-1], stop
}
