package hub_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/hub"
)

// A lane that does not get to a small topic in time is helped by whoever
// appends to that; what was appended meanwhile goes out with it, once.
func TestWhoAppendsHelpsALateLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{})
		defer h.Close()
		var busy, late model
		newTopic(h, &busy)
		newTopic(h, &late)
		stuck, member := &sink{cost: time.Second}, &sink{}
		busy.topic.Attach(&stuck.Sub, stuck, busy.name(), 0, 0, false)
		late.topic.Attach(&member.Sub, member, late.name(), 0, 0, false)

		busy.topic.Signal([]byte("typing")) // the lane is at this for a second
		synctest.Wait()
		for range 3 {
			appendOne(t, &late, 0)
			time.Sleep(40 * time.Millisecond)
		}
		require.Zero(t, member.frames.Load(), "so far the topic waits for its lane")
		appendOne(t, &late, 0)
		require.EqualValues(t, 4, member.frames.Load(), "who appends has written")
		require.EqualValues(t, 1, member.writes.Load())

		time.Sleep(time.Second)
		synctest.Wait()
		appendOne(t, &late, 0)
		synctest.Wait()
		require.EqualValues(t, 5, member.frames.Load(), "the lane finds nothing left to do, and goes on")
		require.EqualValues(t, 2, member.writes.Load())
		busy.topic.Drop()
		stuck.Detach()
		member.Detach()
	})
}

// A lane that rests is not woken for a small topic.
func TestWhoAppendsWalksASmallTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{})
		defer h.Close()
		var m model
		newTopic(h, &m)
		one := &sink{}
		m.topic.Attach(&one.Sub, one, m.name(), 0, 0, false)
		synctest.Wait()
		for i := range 3 {
			appendOne(t, &m, 0)
			require.EqualValues(t, i+1, one.frames.Load(), "without waiting for anybody")
		}
		one.Detach()
	})
}
