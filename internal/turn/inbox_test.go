package turn_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat/internal/turn"
)

// rest is of a payload that takes several steps.
type rest struct{ steps int }

// TestEverythingIsTakenUpInOrder: whatever the order in which payloads come in,
// are taken up, block, end, and give the turn away, each is taken up once, by one
// at a time, and nothing waits that nobody is going to take up.
func TestEverythingIsTakenUpInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := turn.Limits{Outstanding: rapid.IntRange(1, 4).Draw(t, "outstanding"), Bytes: 20}
		in := turn.New[rest](&limits)
		pushed, taken, active := 0, 0, 0
		turns := 0 // held
		paused, blocked := false, false
		start := func(started bool) {
			if started {
				turns++
			}
			require.LessOrEqual(t, turns, 1, "one has the turn")
		}
		resume := func() {
			if in.Resume() {
				require.True(t, paused)
				paused = false
			}
		}
		take := func() {
			payload, r, ok := in.Take()
			if !ok {
				turns--
				return
			}
			active++
			require.False(t, blocked)
			require.LessOrEqual(t, active, limits.Outstanding)
			if r != nil {
				if r.steps--; r.steps == 0 {
					in.SetRest(nil)
				}
				return
			}
			require.Nil(t, in.Rest(), "the rest comes first")
			require.Equal(t, fmt.Sprintf("%05d", taken), string(payload))
			taken++
			resume()
		}
		acts := map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				if paused {
					t.Skip("nothing comes in")
				}
				free := in.Free()
				if in.Push(fmt.Appendf(nil, "%05d", pushed)) {
					paused = true
				}
				pushed++
				started := in.Start()
				require.True(t, !free || started || active == limits.Outstanding)
				start(started)
			},
			"take": func(t *rapid.T) {
				if turns == 0 {
					t.Skip()
				}
				take()
			},
			"rest": func(t *rapid.T) {
				if turns == 0 || active == 0 || in.Rest() != nil {
					t.Skip()
				}
				in.SetRest(&rest{rapid.IntRange(1, 3).Draw(t, "steps")})
			},
			"done": func(t *rapid.T) {
				if active == 0 {
					t.Skip()
				}
				active--
				in.Done()
				start(in.Start())
			},
			"pass": func(t *rapid.T) {
				if turns == 0 {
					t.Skip()
				}
				turns--
				if rapid.Bool().Draw(t, "when idle") && !in.StopIdle() {
					turns++
					return
				}
				in.Stop()
				start(in.Start())
			},
			"block": func(*rapid.T) { blocked = true; in.Block() },
			"unblock": func(*rapid.T) {
				blocked = false
				in.Unblock()
				start(in.Start())
			},
			"": func(t *rapid.T) {
				require.LessOrEqual(t, pushed-taken, 4)
				require.True(t, !paused || pushed > taken, "what is paused goes on with what waits")
				require.Equal(t, turns == 0 && active == 0 && pushed == taken && !blocked && in.Rest() == nil, in.Empty())
			},
		}
		t.Repeat(acts)
		blocked = false
		in.Unblock()
		start(in.Start())
		for turns > 0 || active > 0 {
			for active > 0 {
				active--
				in.Done()
				start(in.Start())
			}
			if turns > 0 {
				take()
			}
		}
		require.Equal(t, pushed, taken)
		require.True(t, in.Empty())
		require.False(t, paused)
	})
}

func TestAPayloadIsRemovedByItsMemory(t *testing.T) {
	in := turn.New[rest](&turn.Limits{Outstanding: 3, Bytes: 100})
	a, b := []byte("same"), []byte("same")
	in.Push(nil)
	in.Push(a)
	require.True(t, in.Push(b))
	in.Block()
	require.False(t, in.Remove(b))
	in.Unblock()
	require.True(t, in.Remove(b))
	require.False(t, in.Remove(b))
	require.False(t, in.Resume())
	require.True(t, in.Remove(a))
	require.True(t, in.Resume())
	in.Clear()
	require.True(t, in.Empty())
	var none *turn.Inbox[rest]
	require.True(t, none.Empty() && none.Free())
	require.False(t, none.Remove(a) || none.Start())
}
