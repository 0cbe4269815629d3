package hub_test

import (
	"sync/atomic"
	"testing"

	"github.com/gabblehq/chat/hub"
)

// landing counts deliveries down to none, and then tells.
type landing struct {
	left atomic.Int64
	done chan struct{}
}

func (l *landing) land() {
	if l.left.Add(-1) == 0 {
		l.done <- struct{}{}
	}
}

// many are topics with as many members each, whose writes are counted.
func many(h *hub.Hub, topics, members int) (models []*model, l *landing) {
	l = &landing{done: make(chan struct{}, 1)}
	for range topics {
		m := &model{}
		newTopic(h, m)
		for range members {
			s := &sink{onWrite: l.land}
			m.topic.Attach(&s.Sub, s, m.name(), 0, 0, false)
		}
		models = append(models, m)
	}
	return models, l
}

// round appends one frame to every topic and waits until all members have it.
func (l *landing) round(models []*model, members int, rev int64, data []byte) {
	l.left.Store(int64(len(models) * members))
	for _, m := range models {
		m.topic.Append("epoch0", rev-1, rev, false, []hub.Frame{{Rev: rev, Data: data}})
	}
	<-l.done
}

// BenchmarkManyTopics is fan-out where each message has few takers.
func BenchmarkManyTopics(b *testing.B) {
	const topics, members = 1000, 10
	h := hub.New(hub.Options{Lanes: 1})
	defer h.Close()
	models, l := many(h, topics, members)
	data := make([]byte, 300)
	b.ReportAllocs()
	rev := int64(0)
	for b.Loop() {
		rev++
		l.round(models, members, rev, data)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*topics*members), "ns/delivery")
}

// BenchmarkAttachDetach is one member that comes and goes in a large room.
func BenchmarkAttachDetach(b *testing.B) {
	h := hub.New(hub.Options{Lanes: 1})
	defer h.Close()
	models, _ := many(h, 1, 10_000)
	topic := models[0].topic
	s := &sink{}
	b.ReportAllocs()
	for b.Loop() {
		s.Sub = hub.Sub{}
		topic.Attach(&s.Sub, s, "epoch0", 0, 0, false)
		s.Sub.Detach()
	}
}

// TestManyTopicsAllocs: what an append to a topic allocates does not grow with
// the number of topics, and there is nothing for each delivery.
func TestManyTopicsAllocs(t *testing.T) {
	const topics, members = 100, 10
	h := hub.New(hub.Options{RingFrames: 16})
	defer h.Close()
	models, l := many(h, topics, members)
	data := frame(change, 0, 1, 1)
	rev := int64(0)
	n := testing.AllocsPerRun(100, func() {
		rev++
		l.round(models, members, rev, data)
	})
	if perAppend := n / topics; perAppend > 2 {
		t.Errorf("%v allocations for an append to a topic of %d", perAppend, members)
	}
}
