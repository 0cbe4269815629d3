package memory

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A queue is a slice, and holds on to little more than what is in it.
func TestQueueIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue[*int]
		var want []*int
		for range rapid.IntRange(1, 30).Draw(t, "rounds") {
			for range rapid.IntRange(0, 100).Draw(t, "pushes") {
				v := new(int)
				q.push(v)
				want = append(want, v)
			}
			for range min(len(want), rapid.IntRange(0, 150).Draw(t, "pops")) {
				q.pop()
				want = want[1:]
			}
			if len(want) > 0 && rapid.Bool().Draw(t, "thin out") {
				n := rapid.IntRange(0, len(want)).Draw(t, "to")
				q.replace(q.items()[:n])
				want = want[:n]
			}
			require.Equal(t, len(want), q.len())
			for i, v := range q.items() {
				require.Same(t, want[i], v)
			}
			require.LessOrEqual(t, q.start, max(q.len(), 32))
			for _, v := range q.buf[:q.start] {
				require.Nil(t, v, "what has been popped is let go")
			}
			for _, v := range q.buf[len(q.buf):cap(q.buf)] {
				require.Nil(t, v, "what has been taken out is let go")
			}
		}
	})
}

func TestIndexShrinks(t *testing.T) {
	var x index[int]
	for i := range 1000 {
		x.put(i, int64(i))
	}
	for i := range 1000 {
		require.Equal(t, 1000-i, len(x.m))
		require.LessOrEqual(t, x.peak, max(64, 4*len(x.m)))
		v, ok := x.get(i)
		require.True(t, ok)
		require.EqualValues(t, i, v)
		x.drop(i)
		_, ok = x.get(i)
		require.False(t, ok)
	}
	require.Nil(t, x.m)
}
