package hub_test

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/hub"
)

// packMark begins a frame in its second encoding.
const packMark = 0xff

// pack is the second encoding of the tests. One frame in three is better left as
// it is.
func pack(f []byte) []byte {
	if _, _, rev, _, _ := parse(f); rev%3 == 0 {
		return nil
	}
	return append([]byte{packMark}, f...)
}

func unpack(f []byte) (frame []byte, packed bool) {
	return bytes.CutPrefix(f, []byte{packMark})
}

// packSink takes packed frames.
type packSink struct {
	sink
	packs bool

	mu     sync.Mutex
	last   *byte // where the bytes of its last write lay
	packed int
	revs   []int64
}

func (s *packSink) Packs() bool { return s.packs }

func (s *packSink) Write(joined []byte, frames [][]byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.sink.Write(joined, frames)
	for _, f := range frames[:n] {
		f, isPacked := unpack(f)
		if isPacked {
			s.packed++
		}
		if what, _, rev, _, _ := parse(f); what == change {
			s.revs = append(s.revs, rev)
		}
	}
	s.last = &joined[0]
	return n
}

// In a mixed room a frame is packed once for all lanes, on first need, and members
// of a kind share the bytes.
func TestFramesArePackedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		h := hub.New(hub.Options{Lanes: 3, Spread: 2, Pack: func(f []byte) []byte { calls.Add(1); return pack(f) }})
		defer h.Close()
		m := &model{}
		newTopic(h, m)
		join := func(packs bool, lane int, cursor int64) *packSink {
			s := &packSink{sink: sink{lane: lane}, packs: packs}
			_, head := m.topic.Head()
			m.topic.Attach(&s.Sub, s, m.name(), cursor, max(head, 0), cursor < head)
			return s
		}
		var plain, packs []*packSink
		for lane := range 30 {
			plain = append(plain, join(false, lane, 0))
		}
		for range 50 {
			appendOne(t, m, 100)
			synctest.Wait()
		}
		before := h.Stats().RingBytes
		require.Zero(t, calls.Load(), "nobody takes them packed")
		for lane := range 30 {
			packs = append(packs, join(true, lane, 10)) // resumed out of the ring
		}
		synctest.Wait()
		require.EqualValues(t, 40, calls.Load())
		require.Greater(t, h.Stats().RingBytes, before+27*100, "the ring counts them")
		for range 2 {
			appendOne(t, m, 100)
			synctest.Wait()
		}
		require.EqualValues(t, 42, calls.Load())
		for _, s := range plain {
			require.Len(t, s.revs, 52)
			require.Zero(t, s.packed)
		}
		for _, s := range packs {
			require.Len(t, s.revs, 42)
			require.EqualValues(t, 11, s.revs[0])
			require.Equal(t, 28, s.packed)
			require.Same(t, packs[0].last, s.last)
		}
		require.NotSame(t, plain[0].last, packs[0].last)
		time.Sleep(time.Minute)
		h.Trim(time.Second)
		require.Zero(t, h.Stats().RingBytes, "they go with their frames")
	})
}

// A page that a cursor is served from is packed for those who take it so.
func TestPagesArePacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{RingFrames: 1, Pack: pack})
		defer h.Close()
		m := &model{}
		newTopic(h, m)
		for range 20 {
			appendOne(t, m, 0)
		}
		both := []*packSink{{packs: true}, {packs: false}}
		for _, s := range both {
			m.topic.Attach(&s.Sub, s, m.name(), 0, 20, true)
		}
		synctest.Wait()
		for _, s := range both {
			require.Len(t, s.revs, 20)
		}
		require.Equal(t, 14, both[0].packed)
		require.Zero(t, both[1].packed)
		require.EqualValues(t, 1, h.Stats().Fills, "one page for both kinds")
	})
}

// The ring's bounds hold for both encodings together.
func TestPackedRingsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{RingBytes: 8 << 10, TotalBytes: 16 << 10, Pack: pack})
		defer h.Close()
		for range 10 {
			m := &model{}
			newTopic(h, m)
			s := &packSink{packs: true}
			m.topic.Attach(&s.Sub, s, m.name(), 0, 0, false)
			for range 200 {
				appendOne(t, m, 100)
				synctest.Wait()
			}
			require.Len(t, s.revs, 200)
			require.LessOrEqual(t, h.Stats().RingBytes, int64(24<<10))
		}
	})
}

// TestSubSize: what a subscription costs.
func TestSubSize(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(hub.Sub{}), uintptr(48))
}

// TestFanOutAllocs: what goes to plain members is not copied for any of them.
func TestFanOutAllocs(t *testing.T) {
	for name, packs := range map[string]func([]byte) []byte{"off": nil, "on": pack} {
		h := hub.New(hub.Options{RingFrames: 16, Pack: packs})
		m := &model{}
		newTopic(h, m)
		var left atomic.Int64
		done := make(chan struct{}, 1)
		const members = 1000
		for range members {
			s := &packSink{}
			s.onWrite = func() {
				if left.Add(-1) == 0 {
					done <- struct{}{}
				}
			}
			m.topic.Attach(&s.sink.Sub, &s.sink, m.name(), 0, 0, false)
		}
		data := frame(change, 0, 1, 1)
		rev := int64(0)
		n := testing.AllocsPerRun(200, func() {
			left.Store(members)
			rev++
			m.topic.Append("epoch0", rev-1, rev, false, []hub.Frame{{Rev: rev, Data: data}})
			<-done
		})
		require.LessOrEqual(t, n, 4.0, name)
		h.Close()
	}
}
