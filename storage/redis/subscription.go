package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
)

// watch is one life of a Watch: from subscribing to the first trouble.
type watch struct {
	s     *Store
	l     chat.Listener
	fail  context.CancelCauseFunc
	ready chan struct{} // closed when Missed(nil) has been called
	end   <-chan struct{}

	subs    []*goredis.PubSub
	masters [buckets]string
	lives   []string // by bucket, in which it has subscribed
	wg      sync.WaitGroup

	mu      sync.Mutex
	buckets [buckets]bucket
}

// bucket is what is known of its hints.
type bucket struct {
	last    int64 // number of the last one, or that up to which they are given up
	came    int64 // number of the last one that has come
	heard   bool  // one has come since the last poll
	strikes int   // polls at which it was ahead, and nothing came from its master
}

// close ends the subscriptions and waits until l is not called any more.
func (w *watch) close() {
	w.fail(context.Canceled)
	for _, ps := range w.subs {
		_ = ps.Close()
	}
	w.wg.Wait()
}

// subscribe returns when all channels of all masters are subscribed to.
func (w *watch) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.s.opts.Timeout)
	defer cancel()
	byMaster := make(map[string][]string)
	clients := make(map[string]*goredis.Client)
	for b := range buckets {
		client, addr, err := w.s.master(ctx, b)
		if err != nil {
			return err
		}
		w.masters[b], clients[addr] = addr, client
		byMaster[addr] = append(byMaster[addr], w.s.keys.channel(b))
	}
	subscribed := make(chan struct{}, len(byMaster))
	for addr, channels := range byMaster {
		if err := w.open(ctx, clients[addr], channels, subscribed); err != nil {
			return err
		}
	}
	for range byMaster {
		select {
		case <-subscribed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// open subscribes on one master. Channels are in different slots, for which a
// cluster wants different commands.
func (w *watch) open(ctx context.Context, c *goredis.Client, channels []string, subscribed chan<- struct{}) error {
	ps := c.SSubscribe(ctx)
	w.subs = append(w.subs, ps)
	for _, channel := range channels {
		if err := ps.SSubscribe(ctx, channel); err != nil {
			return plain(err)
		}
	}
	w.wg.Go(func() {
		err := guarded(func() error { w.receive(ps, len(channels), subscribed); return nil })
		if err != nil {
			w.fail(err)
		}
	})
	return nil
}

// master returns the client of the master of a bucket, and its address.
func (s *Store) master(ctx context.Context, bucket int) (*goredis.Client, string, error) {
	if s.cluster == nil {
		c, _ := s.client.(*goredis.Client)
		return c, "", nil
	}
	c, err := s.cluster.MasterForKey(ctx, s.keys.tag(bucket))
	if err != nil {
		return nil, "", unavailable(err)
	}
	return c, c.Options().Addr, nil
}

// receive reads until the connection ends. It never reads with a deadline: one
// that passes in the midst of a message would leave the rest of it unread.
func (w *watch) receive(ps *goredis.PubSub, channels int, subscribed chan<- struct{}) {
	for {
		msg, err := ps.Receive(context.Background())
		if err != nil {
			w.fail(plain(err))
			return
		}
		switch m := msg.(type) {
		case *goredis.Subscription:
			if m.Kind != "ssubscribe" { // the slot is another master's now
				w.fail(fmt.Errorf("%s %s", m.Kind, m.Channel))
				return
			}
			if channels--; channels == 0 {
				subscribed <- struct{}{}
			}
		case *goredis.Message:
			if channels > 0 {
				continue // Missed(nil) is still to come, and covers it
			}
			select {
			case <-w.ready:
			case <-w.end:
				return
			}
			w.message(m)
		}
	}
}

// message tells the listener what has come.
func (w *watch) message(m *goredis.Message) {
	b := w.s.keys.bucketOfChannel(m.Channel)
	if b < 0 || m.Payload == "" {
		return
	}
	body := m.Payload[1:]
	switch m.Payload[0] {
	case 'H':
		h, ok := parseMoved(body)
		if !ok {
			w.missed(b)
			return
		}
		w.numbered(b, h.number)
		w.l.Appended(h.hint())
	case 'P':
		r := reader{rest: body}
		n, size := r.number(), r.number()
		room := r.take(uint64(size))
		changes, ok := decodeAttendances(room, r.rest)
		if !ok || r.bad {
			w.missed(b)
			return
		}
		w.numbered(b, n)
		w.l.Present(room, changes)
	case 'S':
		r := reader{rest: body}
		if room := r.string(); !r.bad {
			w.l.Signal(room, []byte(r.rest))
		}
	}
}

// numbered notes a hint, and says so if others before it have not come. One
// that is late changes nothing: it has been given up. But they come in order,
// so a number that is not above the one before was given out anew.
func (w *watch) numbered(b int, n int64) {
	w.mu.Lock()
	k := &w.buckets[b]
	hole, back := n > k.last+1, n <= k.came
	k.last, k.came = max(k.last, n), n
	if back {
		k.last = n
	}
	k.heard, k.strikes = true, 0
	w.mu.Unlock()
	if hole || back {
		w.missed(b)
	}
}

func (w *watch) missed(bs ...int) {
	var set [buckets]bool
	for _, b := range bs {
		set[b] = true
	}
	w.l.Missed(func(room string) bool { return set[bucketOf(room)] })
}

// encodeSignal writes what message reads.
func encodeSignal(room string, data []byte) []byte {
	return append(putString([]byte("S"), room), data...)
}

// bucketOfChannel returns -1 for what is none of ours.
func (k keyspace) bucketOfChannel(channel string) int {
	digits, _, ok := strings.Cut(strings.TrimPrefix(channel, k.prefix+":{"), "}")
	n, err := parseInt(digits)
	if !ok || err != nil || n < 0 || n >= buckets {
		return -1
	}
	return int(n)
}
