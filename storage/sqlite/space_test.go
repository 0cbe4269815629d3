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
)

func TestLogBound(t *testing.T) {
	const kb, mb, gb = int64(1) << 10, int64(1) << 20, int64(1) << 30
	for _, row := range []struct{ free, total, reserve, log int64 }{
		{80 * gb, 250 * gb, mb, 64 * mb},
		{512 * mb, gb, mb, 64 * mb},
		{511 * mb, gb, mb, 32 * mb},
		{8 * mb, 8 * mb, 512 * kb, mb},
		{mb, 8 * mb, 512 * kb, 128 * kb},
		{0, 8 * mb, 512 * kb, 64 * kb},
		{0, mb, 256 * kb, 32 * kb},
	} {
		require.Equal(t, row.reserve, sqlite.ReserveSize(row.total), "%+v", row)
		require.Equal(t, row.log, sqlite.LogBound(row.free, row.reserve), "%+v", row)
	}
}

// used is what lies in a directory.
func used(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// small opens a store that takes its directory for a volume of so many bytes.
func small(t *testing.T, path string, o sqlite.Options, pages, total int64) kept {
	t.Helper()
	s, err := sqlite.OpenSmall(path, o, pages, total, func() int64 { return max(total-used(filepath.Dir(path)), 0) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return kept{s, path, o}
}

// Each commit writes whole pages to the log: on a small volume it is carried
// over long before it has filled it.
func TestLogOfSmallVolume(t *testing.T) {
	path := file(t)
	s := small(t, path, sqlite.Options{}, 0, 8<<20)
	room(t, s, "a")
	for i := range 1000 {
		one(t, s, "a", message(fmt.Sprint(i), fmt.Sprint("n", i)))
		require.LessOrEqual(t, size(t, path+"-wal"), int64(2<<20), "after message %d", i)
	}
	require.Greater(t, size(t, path), int64(100<<10), "the database has what the log had")
}

// Who reads for long keeps the log from starting anew. It does so as soon as
// it can.
func TestLogBehindReader(t *testing.T) {
	path := file(t)
	s := small(t, path, sqlite.Options{}, 0, 8<<20)
	room(t, s, "a")
	reader := bare(t, path)
	require.NoError(t, reader.Script("BEGIN"))
	_, err := reader.Number("SELECT count(*) FROM rooms")
	require.NoError(t, err)
	n := 0
	for ; size(t, path+"-wal") < 3<<20; n++ {
		one(t, s, "a", message(fmt.Sprint(n), ""))
	}
	require.NoError(t, reader.Script("COMMIT"))
	require.NoError(t, reader.Close())
	require.Eventually(t, func() bool {
		n++
		one(t, s, "a", message(fmt.Sprint(n), ""))
		return size(t, path+"-wal") < 1<<20
	}, time.Minute, 10*time.Millisecond)
}

func send(t *testing.T, s chat.Store, key string, c chat.Change) (chat.Result, error) {
	t.Helper()
	results, err := s.Append(t.Context(), key, chat.Position{}, []chat.Change{c})
	if err != nil {
		return chat.Result{}, err
	}
	return results[0], results[0].Err
}

// untilFull sends messages until one is refused.
func untilFull(t *testing.T, s chat.Store, key, prefix string) {
	t.Helper()
	for n := 0; ; n++ {
		name := fmt.Sprint(prefix, n)
		c := message(name, name)
		c.Message.Content = strings.Repeat("x", 1000)
		if _, err := send(t, s, key, c); err != nil {
			require.ErrorIs(t, err, chat.ErrUnavailable)
			require.NotErrorIs(t, err, chat.ErrUnknown)
			var e *chat.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "the disk is full", e.Message)
			return
		}
	}
}

// fillRoom appends messages whose nonces are their numbers.
func fillRoom(t *testing.T, s chat.Store, key string, n int) {
	t.Helper()
	many := make([]chat.Change, n)
	for i := range many {
		many[i] = message(fmt.Sprint(i), fmt.Sprint(i))
	}
	_, err := s.Append(t.Context(), key, chat.Position{}, many)
	require.NoError(t, err)
}

// goesOn waits until messages are taken again, which they are by themselves.
func goesOn(t *testing.T, s chat.Store, key, prefix string) {
	t.Helper()
	n := 0
	require.Eventually(t, func() bool {
		n++
		_, err := send(t, s, key, message(fmt.Sprint(prefix, n), ""))
		return err == nil
	}, time.Minute, 10*time.Millisecond)
}

// What takes space is refused on a full volume, what gives some is not: there is
// a way back that needs neither the operator nor a restart, and after a restart
// it is there as well.
func TestFullGivesWay(t *testing.T) {
	for name, total := range map[string]int64{"the volume has space": 1 << 40, "nothing is left": 2950 << 10} {
		t.Run(name, func(t *testing.T) {
			const pages = 600
			path := file(t)
			var logged lockedBuffer
			o := sqlite.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}
			s := small(t, path, o, pages, total)
			for _, key := range []string{"a", "b", "c"} {
				room(t, s, key)
				fillRoom(t, s, key, 1000)
			}
			gone := 0
			full := func(prefix string) {
				t.Helper()
				untilFull(t, s, "a", prefix)
				p, err := s.History(t.Context(), "a", chat.Query{Limit: 100_000})
				require.NoError(t, err)
				require.Len(t, p.Messages, int(p.Head.Seq))
				res, err := send(t, s, "a", message("0", "0"))
				require.NoError(t, err)
				require.True(t, res.Duplicate, "what is there is known")
				gone++
				id := message(fmt.Sprint(gone), "").Message.ID
				_, err = send(t, s, "a", chat.Change{Kind: chat.ChangeDelete, At: time.Now(), Message: chat.Message{ID: id}})
				require.NoError(t, err)
				p, err = s.History(t.Context(), "a", chat.Query{ID: id, Limit: 1})
				require.NoError(t, err)
				require.True(t, p.Messages[0].Deleted())
			}
			full("x")
			require.NoError(t, s.RemoveRoom(t.Context(), "b"))
			goesOn(t, s, "a", "on")
			full("y")

			require.NoError(t, s.Close())
			s = small(t, path, o, pages, total)
			full("z")
			require.NoError(t, s.RemoveRoom(t.Context(), "c"))
			goesOn(t, s, "a", "again")

			const line = "nothing can be written: the volume is full; free space on it or remove rooms"
			require.Eventually(t, func() bool { return strings.Contains(logged.String(), line) }, time.Minute, time.Millisecond)
			text := logged.String()
			require.Contains(t, text, "volume=")
			require.Contains(t, text, "path="+path)
			require.LessOrEqual(t, strings.Count(text, line), 4, "once each time")
		})
	}
}
