package redis

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/gabblehq/chat"
)

// How hints get lost, and how that is noticed: each bucket numbers its hints,
// so a hole shows with the next one; that the last one was lost shows when the
// bucket's counter, which is read every pollEvery, stays ahead for longer than
// grace. Together they are well below the two seconds of [chat.Watcher]. The
// counters go back with the data: in another life of it, which the same poll
// shows, all is subscribed to anew.
const (
	pollEvery = time.Second
	grace     = 300 * time.Millisecond

	// inspectEvery is after how many polls the server's settings are looked at.
	inspectEvery = 5

	// deaf is for how many polls a bucket may be ahead, in silence, until the
	// subscription is given up.
	deaf = 2

	backoffMin = 50 * time.Millisecond
	backoffMax = time.Second
)

var _ chat.PresenceKeeper = (*Store)(nil)

// Watch implements [chat.Watcher]. It takes a connection to each master, and
// once a second it reads 64 counters. Close ends it with ErrUnavailable.
func (s *Store) Watch(ctx context.Context, l chat.Listener) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	logged := false
	for backoff := backoffMin; ; backoff = min(2*backoff, backoffMax) {
		started, err := s.watchOnce(ctx, l)
		switch {
		case s.ctx.Err() != nil:
			return errClosed
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if started {
			backoff, logged = backoffMin, false
		}
		if !logged {
			logged = true
			s.log.Warn("redis: hints are interrupted", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		}
	}
}

// Signal implements [chat.Watcher].
func (s *Store) Signal(ctx context.Context, room string, data []byte) error {
	if err := alive(ctx); err != nil {
		return err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	b := bucketOf(room)
	return s.read(ctx, s.scripts.rooms.command(ctx, []string{s.keys.counter(b)}, "signal", s.keys.channel(b), encodeSignal(room, data)))
}

// watchOnce watches until something breaks. It reports whether it had begun.
func (s *Store) watchOnce(ctx context.Context, l chat.Listener) (started bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{s: s, l: l, fail: cancel, ready: make(chan struct{}), end: ctx.Done()}
	defer w.close()
	if err := w.subscribe(ctx); err != nil {
		return false, err
	}
	counters, lives, err := w.counters(ctx)
	if err != nil {
		return false, err
	}
	w.lives = lives
	for b, n := range counters {
		w.buckets[b].last = n
	}
	l.Missed(nil)
	close(w.ready)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for polls := 0; ; polls++ {
		if polls%inspectEvery == 0 {
			w.s.inspect(ctx)
		}
		select {
		case <-ctx.Done():
			return true, context.Cause(ctx)
		case <-tick.C:
			w.poll(ctx)
		}
	}
}
