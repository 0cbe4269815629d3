package hub_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/hub"
)

// sink takes frames.
type sink struct {
	hub.Sub
	lane    int
	refuse  atomic.Bool
	cost    time.Duration // of a write, in the bubble's time
	frames  atomic.Int64
	writes  atomic.Int64
	last    time.Time
	onWrite func()
}

func (s *sink) Lane() int { return s.lane }

func (s *sink) Write(_ []byte, frames [][]byte) int {
	s.writes.Add(1)
	if s.onWrite != nil {
		s.onWrite()
	}
	if s.refuse.Load() {
		return 0
	}
	if s.cost > 0 {
		time.Sleep(s.cost)
	}
	s.last = time.Now()
	s.frames.Add(int64(len(frames)))
	return len(frames)
}

// newTopic gives the model its topic.
func newTopic(h *hub.Hub, m *model) *hub.Topic {
	m.topic, m.page, m.resets = new(hub.Topic), 100, map[[2]int64]map[int]int64{}
	m.topic.Init(h, m)
	return m.topic
}

func appendOne(t *testing.T, m *model, size int) {
	m.mu.Lock()
	rev := int64(len(m.changes) + 1)
	m.changes = append(m.changes, int(rev))
	m.mu.Unlock()
	require.True(t, m.topic.Append(m.name(), rev-1, rev, false, []hub.Frame{{Rev: rev, Data: append(frame(change, 0, rev, int(rev)), make([]byte, size)...)}}))
}

func TestFramesCoalesceWhileALaneIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{})
		defer h.Close()
		m := &model{}
		topic := newTopic(h, m)
		slow := &sink{cost: time.Millisecond}
		topic.Attach(&slow.Sub, slow, m.name(), 0, 0, false)
		topic.Signal([]byte("typing"))
		synctest.Wait() // the lane is writing
		for range 100 {
			appendOne(t, m, 0)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		require.EqualValues(t, 101, slow.frames.Load())
		require.LessOrEqual(t, slow.writes.Load(), int64(3), "what comes while the lane writes goes out together")
	})
}

func TestALargeRoomDelaysASmallOneByOneTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{})
		defer h.Close()
		large, small := &model{}, &model{}
		newTopic(h, large)
		newTopic(h, small)
		const members = 5000
		for range members {
			s := &sink{cost: time.Millisecond}
			large.topic.Attach(&s.Sub, s, large.name(), 0, 0, false)
		}
		one := &sink{}
		small.topic.Attach(&one.Sub, one, small.name(), 0, 0, false)
		start := time.Now()
		appendOne(t, large, 0)
		appendOne(t, small, 0)
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, one.frames.Load())
		require.Less(t, one.last.Sub(start), time.Duration(members/8)*time.Millisecond)
		require.EqualValues(t, members+1, h.Stats().Delivered)
	})
}

func TestRefusedSinksAreNotAskedAgainUntilWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{})
		defer h.Close()
		m := &model{}
		newTopic(h, m)
		s := &sink{}
		s.refuse.Store(true)
		m.topic.Attach(&s.Sub, s, m.name(), 0, 0, false)
		for range 50 {
			appendOne(t, m, 0)
			synctest.Wait()
		}
		require.EqualValues(t, 1, s.writes.Load())
		s.refuse.Store(false)
		s.Wake()
		synctest.Wait()
		require.EqualValues(t, 50, s.frames.Load())
		require.EqualValues(t, 2, s.writes.Load())
	})
}

func TestRingsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{RingFrames: 64, RingBytes: 8 << 10, TotalBytes: 32 << 10})
		defer h.Close()
		for range 20 {
			m := &model{}
			newTopic(h, m)
			s := &sink{}
			m.topic.Attach(&s.Sub, s, m.name(), 0, 0, false)
			for range 200 {
				appendOne(t, m, 100)
			}
			synctest.Wait()
			require.GreaterOrEqual(t, s.frames.Load(), int64(200)) // and perhaps a synced
			require.LessOrEqual(t, h.Stats().RingBytes, int64(40<<10))
		}
		require.Greater(t, h.Stats().RingBytes, int64(16<<10), "what fits is kept")
		time.Sleep(time.Minute)
		h.Trim(time.Second)
		require.Zero(t, h.Stats().RingBytes, "idle topics hold no frames")
	})
}

func TestNothingIsOfferedAfterDetach(t *testing.T) {
	for range 200 {
		h := hub.New(hub.Options{Lanes: 2, Spread: 1})
		m := &model{}
		newTopic(h, m)
		var gone atomic.Bool
		s := &sink{lane: 1}
		s.onWrite = func() {
			if gone.Load() {
				t.Error("a write after Detach had returned")
			}
		}
		m.topic.Attach(&s.Sub, s, m.name(), 0, 0, true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 50 {
				appendOne(t, m, 0)
				m.topic.Signal([]byte{signal, 0, 0, 0})
			}
		}()
		s.Detach()
		gone.Store(true)
		<-done
		h.Close()
	}
}

func TestSignalsReachWhoCanTakeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Lanes: 2, Spread: 1})
		defer h.Close()
		m := &model{}
		newTopic(h, m)
		well, busy := &sink{lane: 0}, &sink{lane: 1}
		busy.refuse.Store(true)
		m.topic.Attach(&well.Sub, well, m.name(), 0, 0, false)
		m.topic.Attach(&busy.Sub, busy, m.name(), 0, 0, false)
		m.topic.Signal([]byte{signal, 0, 0, 0})
		synctest.Wait()
		appendOne(t, m, 0)
		synctest.Wait()
		require.EqualValues(t, 2, well.frames.Load())
		require.EqualValues(t, 1, h.Stats().Delivered, "a signal is not a change")
		busy.refuse.Store(false)
		busy.Wake()
		synctest.Wait()
		require.EqualValues(t, 1, busy.frames.Load(), "the signal is lost, the change is not")
	})
}

func TestClosedHubWritesNothing(t *testing.T) {
	h := hub.New(hub.Options{Lanes: 3, Spread: 1})
	m := &model{}
	newTopic(h, m)
	s := &sink{}
	m.topic.Attach(&s.Sub, s, m.name(), 0, 0, false)
	h.Close()
	appendOne(t, m, 0)
	s.Wake()
	s.Detach()
	require.Zero(t, s.frames.Load())
}

func BenchmarkFanOut(b *testing.B) {
	for _, members := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			h := hub.New(hub.Options{Lanes: 1})
			defer h.Close()
			m := &model{}
			newTopic(h, m)
			var left atomic.Int64
			done := make(chan struct{}, 1)
			for range members {
				s := &sink{}
				s.onWrite = func() {
					if left.Add(-1) == 0 {
						done <- struct{}{}
					}
				}
				m.topic.Attach(&s.Sub, s, m.name(), 0, 0, false)
			}
			data := make([]byte, 300)
			b.ReportAllocs()
			rev := int64(0)
			for b.Loop() {
				left.Store(int64(members))
				rev++
				m.topic.Append("epoch0", rev-1, rev, false, []hub.Frame{{Rev: rev, Data: data}})
				<-done
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(members), "ns/delivery")
		})
	}
}

// A log that has lost what the topic has seen must not be asked without end.
func TestALogThatWentBackIsAskedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{RingFrames: 1})
		defer h.Close()
		m := &model{}
		newTopic(h, m)
		for range 10 {
			appendOne(t, m, 0)
		}
		m.mu.Lock()
		m.changes = m.changes[:5]
		m.mu.Unlock()
		s := &sink{}
		m.topic.Attach(&s.Sub, s, m.name(), 5, 5, true)
		time.Sleep(10*time.Second + time.Millisecond)
		require.LessOrEqual(t, h.Stats().Fills, int64(11))
	})
}

// TestJoiningAndLeavingDoNotWaitForAWalk guards that a walk does not keep the
// members' lock from write to write: who comes or goes waits for about one.
func TestJoiningAndLeavingDoNotWaitForAWalk(t *testing.T) {
	h := hub.New(hub.Options{Lanes: 1})
	defer h.Close()
	m := &model{}
	newTopic(h, m)
	var writes atomic.Int64
	begun := make(chan struct{}, 1)
	for range 200 {
		s := &sink{onWrite: func() {
			if writes.Add(1) == 1 {
				begun <- struct{}{}
			}
			time.Sleep(time.Millisecond) // a kernel that takes its time
		}}
		m.topic.Attach(&s.Sub, s, m.name(), 0, 0, false)
	}
	appendOne(t, m, 100)
	<-begun
	s := &sink{}
	before := writes.Load()
	m.topic.Attach(&s.Sub, s, m.name(), 1, 1, false)
	joined := writes.Load()
	s.Sub.Detach()
	left := writes.Load()
	t.Logf("joined after %d writes, left after %d more", joined-before, left-joined)
	require.Less(t, joined-before, int64(50))
	require.Less(t, left-joined, int64(50))
}
