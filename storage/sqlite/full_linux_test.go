package sqlite_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
)

// smallDisk is a directory that holds so much.
func smallDisk(t *testing.T, size string) string {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		cannot(t, "cannot mount a disk of limited size: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	return dir
}

// fill takes what is left of the disk.
func fill(t *testing.T, dir string) (free func()) {
	f, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	_, err = io.Copy(f, zeros{})
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(f.Name())) }
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "16m")
	var logged lockedBuffer
	s := open(t, filepath.Join(dir, "chat.db"), sqlite.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	const rooms = 4
	for r := range rooms {
		room(t, s, fmt.Sprint(r))
	}
	acked := make([]map[string]int64, rooms)
	for r := range acked {
		acked[r] = make(map[string]int64)
	}
	n := 0
	// send lets all rooms send at once until each has been refused, or so many
	// times.
	send := func(times int) (refused int) {
		n++
		var senders sync.WaitGroup
		var mu sync.Mutex
		for r := range rooms {
			senders.Go(func() {
				for i := range times {
					c := message(fmt.Sprint(n, "-", i), "")
					c.Message.Content += " " + strings.Repeat("x", 3000)
					res, err := s.Append(t.Context(), fmt.Sprint(r), chat.Position{}, []chat.Change{c})
					if err == nil && res[0].Err == nil {
						acked[r][c.Message.ID] = res[0].Message.Seq
						continue
					}
					mu.Lock()
					refused++
					mu.Unlock()
					if !errors.Is(err, chat.ErrUnavailable) {
						t.Errorf("%v is not ErrUnavailable", err)
					}
					return
				}
			})
		}
		senders.Wait()
		return refused
	}
	check := func() {
		t.Helper()
		for r := range rooms {
			p, err := s.History(t.Context(), fmt.Sprint(r), chat.Query{Limit: 10_000})
			require.NoError(t, err)
			require.EqualValues(t, len(p.Messages), p.Head.Seq)
			got := make(map[string]int64)
			for _, m := range p.Messages {
				got[m.ID] = m.Seq
			}
			require.Equal(t, acked[r], got, "all that is acknowledged, and nothing else")
		}
	}
	require.Zero(t, send(10))
	for round := range 3 {
		free := fill(t, dir)
		require.Equal(t, rooms, send(1000), "each is refused at last")
		check()
		require.Equal(t, rooms, send(1), "again")
		check()
		require.Less(t, size(t, s.path+"-wal"), int64(1<<20), "the log has given way to the database")
		free()
		require.Eventually(t, func() bool { return send(1) == 0 }, time.Minute, 25*time.Millisecond, "there is space again: it is written to")
		require.Zero(t, send(10))
		check()
		logged.await(t, "writing again", round+1)
		logged.await(t, "nothing can be written", round+1)
	}
	s = harness{}.Reopen(t, s).(kept)
	check()
}

// A small volume takes messages until the database fills it, not the log. When
// it is full to the last byte, with what others have put there, it can still be
// opened and read, and removing rooms makes room.
func TestSmallVolume(t *testing.T) {
	dir := smallDisk(t, "8m")
	path := filepath.Join(dir, "chat.db")
	var logged lockedBuffer
	o := sqlite.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}
	s := open(t, path, o)
	for r := range 4 {
		key := fmt.Sprint(r)
		room(t, s, key)
		fillRoom(t, s, key, 2000)
	}
	room(t, s, "a")
	for i := range 400 { // which by themselves wrote more than the volume to the log
		one(t, s, "a", message(fmt.Sprint(i), fmt.Sprint(i)))
	}
	untilFull(t, s, "a", "x")
	require.Greater(t, size(t, path), int64(6<<20), "most of the volume holds messages")
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "volume="+dir+" ") }, time.Minute, time.Millisecond, "the log says which volume")

	fill(t, dir)
	require.NoError(t, s.RemoveRoom(t.Context(), "0"))
	goesOn(t, s, "a", "on")
	untilFull(t, s, "a", "y")

	require.NoError(t, s.Close())
	fill(t, dir)
	s = open(t, path, o)
	p, err := s.History(t.Context(), "1", chat.Query{Limit: 10_000})
	require.NoError(t, err)
	require.Len(t, p.Messages, 2000)
	require.NoError(t, s.RemoveRoom(t.Context(), "1"))
	goesOn(t, s, "a", "again")
	untilFull(t, s, "a", "z")
	require.NoError(t, os.Remove(filepath.Join(dir, "filler")))
	require.NoError(t, s.RemoveRoom(t.Context(), "2"))
	goesOn(t, s, "a", "and again")
}

// On a disk that others fill nobody is ready, from the first refusal on until
// there is space again.
func TestReadyOnFullDisk(t *testing.T) {
	dir := smallDisk(t, "16m")
	s := open(t, filepath.Join(dir, "chat.db"), sqlite.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	room(t, s, "a")
	ready := readiness(t, s)
	require.Equal(t, http.StatusOK, ready())
	for round := range 2 {
		free := fill(t, dir)
		untilFull(t, s, "a", fmt.Sprint(round, " "))
		for range 3 {
			require.Equal(t, http.StatusServiceUnavailable, ready())
		}
		free()
		require.Eventually(t, func() bool { return ready() == http.StatusOK }, time.Minute, 10*time.Millisecond)
		goesOn(t, s, "a", fmt.Sprint("on ", round))
	}
}
