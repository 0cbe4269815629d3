package hub_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/hub"
)

// Who comes back from the same position a moment later gets the same page,
// unless there is more by then.
func TestPagesAreKeptForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{RingFrames: 2})
		defer h.Close()
		var m model
		newTopic(h, &m)
		for range 10 {
			appendOne(t, &m, 0)
		}
		comeBack := func(reads int64) {
			before, s := h.Stats().Fills, &sink{}
			m.topic.Attach(&s.Sub, s, m.name(), 1, 0, true)
			synctest.Wait()
			m.mu.Lock()
			missed := int64(len(m.changes)) - 1
			m.mu.Unlock()
			require.EqualValues(t, missed+1, s.frames.Load(), "what it has missed, and synced")
			require.Equal(t, reads, h.Stats().Fills-before)
			s.Detach()
		}
		comeBack(1)
		comeBack(0)
		appendOne(t, &m, 0)
		comeBack(1)
		comeBack(0)
		time.Sleep(time.Second)
		comeBack(1)
		h.Trim(time.Hour)
		comeBack(1)
	})
}
