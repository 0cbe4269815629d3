package sqlite_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
	"github.com/gabblehq/chat/storage/storagetest"
)

// sends adds so many messages and returns the head.
func sends(t testing.TB, s chat.Store, key string, n int) (head chat.Position) {
	t.Helper()
	for range n {
		p, err := s.Head(t.Context(), key)
		require.NoError(t, err)
		head = one(t, s, key, message(fmt.Sprint(p.Epoch, p.Seq), "")).Position
	}
	return head
}

func page(t testing.TB, s chat.Store, key string) chat.Page {
	t.Helper()
	p, err := s.Changes(t.Context(), key, 0, 10_000)
	require.NoError(t, err)
	q, err := s.History(t.Context(), key, chat.Query{})
	require.NoError(t, err)
	require.Equal(t, p.Past, q.Past)
	require.Equal(t, p.Head, q.Head)
	return p
}

// put copies the database beside another one, without what is behind a length
// of its log.
func put(t testing.TB, from, to string, log int64) {
	t.Helper()
	for _, suffix := range [...]string{"", "-wal", "-shm"} {
		_ = os.Remove(to + suffix)
		b, err := os.ReadFile(from + suffix)
		if err == nil && suffix != "-shm" {
			if suffix == "-wal" {
				b = b[:min(log, int64(len(b)))]
			}
			require.NoError(t, os.WriteFile(to+suffix, b, 0o600))
		}
	}
}

// OpenRewinding implements storagetest.Rewinder.
func (harness) OpenRewinding(t testing.TB) storagetest.Rewinding {
	return &rewinding{open(t, file(t), sqlite.Options{})}
}

type rewinding struct{ kept }

func (r *rewinding) Store() chat.Store { return r.kept }

func (r *rewinding) Mark(t testing.TB) {
	_ = os.Remove(r.path + ".kept")
	b := bare(t, r.path)
	require.NoError(t, b.Script("VACUUM INTO '"+r.path+".kept'"))
	require.NoError(t, b.Close())
}

func (r *rewinding) Rewind(t testing.TB) {
	require.NoError(t, r.Close())
	put(t, r.path+".kept", r.path, 0)
	r.kept = open(t, r.path, r.opts)
}

func (r *rewinding) Restart(t testing.TB) { r.kept = harness{}.Reopen(t, r.kept).(kept) }

// Whoever has seen what is gone is told so, also when others have written past
// it; whoever has not goes on.
func TestGoesBack(t *testing.T) {
	type closed struct {
		keep func(t *testing.T, s kept)              // when five messages are there
		back func(t *testing.T, s kept, path string) // when there are ten, to five
	}
	for name, way := range map[string]closed{
		"a copy of the closed file": {
			func(t *testing.T, s kept) {
				require.NoError(t, s.Close())
				put(t, s.path, s.path+".kept", 0)
			},
			func(t *testing.T, s kept, path string) {
				require.NoError(t, s.Close())
				put(t, s.path+".kept", path, 0)
			},
		},
		"a backup of the running program": {
			func(t *testing.T, s kept) {
				b := bare(t, s.path)
				require.NoError(t, b.Script("VACUUM INTO '"+s.path+".kept'"))
				require.NoError(t, b.Close())
			},
			func(t *testing.T, s kept, path string) {
				require.NoError(t, s.Close())
				put(t, s.path+".kept", path, 0)
			},
		},
		"a power cut": {
			func(t *testing.T, s kept) {
				require.NoError(t, os.WriteFile(s.path+".log", []byte(fmt.Sprint(size(t, s.path+"-wal"))), 0o600))
			},
			func(t *testing.T, s kept, path string) {
				b, err := os.ReadFile(s.path + ".log")
				require.NoError(t, err)
				var synced int64
				_, err = fmt.Sscan(string(b), &synced)
				require.NoError(t, err)
				put(t, s.path, path, synced) // while it runs: it ends there
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, file(t), sqlite.Options{Synchronous: sqlite.Normal})
			room(t, s, "a")
			room(t, s, "idle")
			at := sends(t, s, "a", 5)
			way.keep(t, s)
			if strings.HasPrefix(name, "a copy") {
				s = open(t, s.path, s.opts)
			}
			seen := sends(t, s, "a", 5)
			path := filepath.Join(t.TempDir(), "again.db")
			way.back(t, s, path)

			for range 3 { // openings without writes leave no trace
				s = open(t, path, s.opts)
				p := page(t, s, "a")
				require.Equal(t, at, p.Head)
				require.True(t, p.Good(at))
				require.False(t, p.Good(seen), "nobody has written yet")
				_, err := s.Append(t.Context(), "a", at, nil)
				require.NoError(t, err)
				require.Empty(t, page(t, s, "a").Past)
				require.NoError(t, s.Close())
			}
			s = open(t, path, s.opts)
			head := sends(t, s, "a", 12)
			p := page(t, s, "a")
			require.Equal(t, head, p.Head)
			require.NotEqual(t, at.Epoch, head.Epoch)
			require.Equal(t, []chat.Position{at}, p.Past)
			require.False(t, p.Good(seen), "what is gone")
			require.True(t, p.Good(at) && p.Good(chat.Position{Epoch: at.Epoch, Rev: 1}), "the common past")
			require.Empty(t, page(t, s, "idle").Past)
			require.NoError(t, s.Close())
		})
	}
}

// A new start resets nobody, and is remembered for so long.
func TestCleanRestart(t *testing.T) {
	s := open(t, file(t), sqlite.Options{})
	room(t, s, "a")
	var seen []chat.Position
	for range chat.MaxPast + 2 {
		seen = append(seen, sends(t, s, "a", 2))
		s = harness{}.Reopen(t, s).(kept)
	}
	require.Equal(t, seen[len(seen)-1], page(t, s, "a").Head)
	sends(t, s, "a", 1)
	p := page(t, s, "a")
	require.Len(t, p.Past, chat.MaxPast)
	for i, at := range seen {
		require.Equal(t, i >= 2, p.Good(at), "epoch %d of %d", i, len(seen))
	}
	head := sends(t, s, "a", 3)
	require.Equal(t, p.Past, page(t, s, "a").Past, "the same life")

	known := head
	known.Rev++
	_, err := s.Append(t.Context(), "a", known, nil)
	require.NoError(t, err)
	p = page(t, s, "a")
	require.Len(t, p.Past, chat.MaxPast)
	require.Equal(t, head, p.Past[0], "somebody knows more")
	head, err = s.NewEpoch(t.Context(), "a")
	require.NoError(t, err)
	require.Empty(t, page(t, s, "a").Past, "positions are no longer comparable")
	sends(t, s, "a", 1)
	require.Empty(t, page(t, s, "a").Past)
	require.NoError(t, s.RemoveRoom(t.Context(), "a"))
	room(t, s, "a")
	require.NotEqual(t, head.Epoch, page(t, s, "a").Head.Epoch)
	require.Empty(t, page(t, s, "a").Past)
}

// Epochs of an older version's generations go on.
func TestGenerationsOfBefore(t *testing.T) {
	for generation, epoch := range map[string]string{"0": "E", "3": "E.3"} {
		path := file(t)
		b, err := sqlite.NewEmpty(path)
		require.NoError(t, err)
		first, _, _ := strings.Cut(sqlite.Migrations(0), "INSERT INTO schema_version (version, applied_at) VALUES (1,")
		require.NoError(t, b.Script(first+`INSERT INTO schema_version VALUES (1, ''); COMMIT;
			INSERT INTO rooms VALUES (1, 'a', 'E', 1, 'a', 'public', '', '', '', NULL, NULL, '', 0); INSERT INTO heads VALUES (1, 1, 0, 0);
			UPDATE state SET clean = 0, synchronous = 'normal', generation = `+generation))
		require.NoError(t, b.Close())
		s := open(t, path, sqlite.Options{})
		before := page(t, s, "a").Head
		require.Equal(t, chat.Position{Epoch: epoch, Rev: 1}, before)
		sends(t, s, "a", 1)
		require.Equal(t, []chat.Position{before}, page(t, s, "a").Past)
	}
}

// A file that is moved or replaced under the program is not written to, and
// comes back when it does.
func TestFileReplaced(t *testing.T) {
	var logged lockedBuffer
	s := open(t, file(t), sqlite.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil)), Readers: 1})
	room(t, s, "a")
	sends(t, s, "a", 1)
	refused := func() {
		t.Helper()
		_, err := s.Append(t.Context(), "a", chat.Position{}, []chat.Change{message("x", "")})
		require.ErrorIs(t, err, chat.ErrUnavailable)
		require.NotErrorIs(t, err, chat.ErrUnknown)
		require.ErrorContains(t, err, "moved or replaced")
	}
	require.NoError(t, os.Rename(s.path, s.path+".moved"))
	refused()
	require.NoError(t, os.WriteFile(s.path, nil, 0o600))
	refused()
	require.NoError(t, os.Rename(s.path+".moved", s.path))
	require.EqualValues(t, 2, sends(t, s, "a", 1).Seq)
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "writing again") }, time.Minute, time.Millisecond)
	require.Equal(t, 1, strings.Count(logged.String(), "moved or replaced"), "%s", logged.String())
}

func size(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}
