package hub_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/hub"
)

// turnAt has the log of ten changes go back to a position and on under another
// epoch, with readers that have been sent everything up to their cursors. It
// returns what they have been through.
func turnAt(t *testing.T, upTo int, cursors ...int) (readers []*reader, stats hub.Stats) {
	t.Helper()
	h := hub.New(hub.Options{})
	defer h.Close()
	m := &model{}
	topic := newTopic(h, m)
	m.seen = map[string]int64{}
	for i, cursor := range cursors {
		r := &reader{m: m, lane: i, room: cursor, seen: map[int]int64{}, lost: cursor > upTo}
		topic.Attach(&r.Sub, r, m.name(), 0, 0, false)
		readers = append(readers, r)
	}
	for range 10 {
		appendOne(t, m, 0)
	}
	synctest.Wait()
	for i, cursor := range cursors {
		require.EqualValues(t, cursor, readers[i].Cursor())
	}
	m.mu.Lock()
	m.past, m.epoch = []ended{{0, int64(upTo)}}, 1
	m.changes = m.changes[:upTo]
	turn := m.turn(nameOf(0))
	m.mu.Unlock()
	require.True(t, topic.Turn(turn))
	require.False(t, topic.Turn(turn), "it has gone over already")
	appendOne(t, m, 0)
	for _, r := range readers {
		r.open(-1)
	}
	synctest.Wait()
	for _, r := range readers {
		require.NoError(t, r.err)
		require.Equal(t, 1, r.epoch)
		require.EqualValues(t, upTo+1, r.cursor)
		require.Len(t, r.seen, upTo+1)
	}
	return readers, h.Stats()
}

// Of those who follow a log that comes back as it was, only those start over
// who have been sent what is gone; the others are told the epoch.
func TestTurnResetsWhoIsBeyond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		readers, stats := turnAt(t, 6, 4, 6, 7, 10)
		require.EqualValues(t, 2, stats.Resets)
		require.Equal(t, []int{2, 1}, []int{readers[0].synced, readers[1].synced}, "the epoch; and who was behind, that it is not")
	})
}

// Where nothing is lost, nobody starts over and nothing is read: the ring stays.
func TestTurnWithoutLossReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		readers, stats := turnAt(t, 10, 10, 10)
		require.Zero(t, stats.Resets)
		require.Zero(t, stats.Fills)
		for _, r := range readers {
			require.Equal(t, 1, r.synced)
		}
	})
}

// A topic goes over only from the epoch that it was seen in before the log was
// read, and nothing but Turn changes its epoch.
func TestNothingButTurnChangesTheEpoch(t *testing.T) {
	h := hub.New(hub.Options{})
	defer h.Close()
	m := &model{}
	topic := newTopic(h, m)
	require.False(t, topic.Turn(hub.Turn{From: "", To: "a", Good: -1}), "nothing is known of it")
	require.True(t, topic.Skip("a", 5))
	require.False(t, topic.Skip("b", 6))
	require.False(t, topic.Append("b", 5, 6, false, []hub.Frame{{Rev: 6}}))
	require.False(t, topic.Turn(hub.Turn{From: "b", To: "c", Good: 5, Head: 5}))
	epoch, head := topic.Head()
	require.Equal(t, []any{"a", int64(5)}, []any{epoch, head})
	require.True(t, topic.Turn(hub.Turn{From: "a", To: "b", Good: 3, Head: 9}))
	epoch, head = topic.Head()
	require.Equal(t, []any{"b", int64(3)}, []any{epoch, head})
}
