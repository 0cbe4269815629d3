package redis

import (
	"context"
	"errors"
	"time"
)

var (
	errDeaf  = errors.New("nothing arrives on the subscription")
	errMoved = errors.New("slots have moved")
)

// counters reads the number of each bucket's last hint.
func (w *watch) counters(ctx context.Context) ([]int64, error) {
	cmds := make([]*command, buckets)
	for b := range cmds {
		cmds[b] = w.s.scripts.rooms.command(ctx, []string{w.s.keys.counter(b)}, "counter")
	}
	ctx, cancel := w.s.bound(ctx)
	defer cancel()
	if err := w.s.read(ctx, cmds...); err != nil {
		return nil, err
	}
	counters := make([]int64, buckets)
	for b, cmd := range cmds {
		counters[b] = number(cmd.Val())
	}
	return counters, nil
}

// poll finds out whether the last hints were lost.
func (w *watch) poll(ctx context.Context) {
	if !w.settled(ctx) {
		return
	}
	w.mu.Lock()
	before := w.buckets
	w.mu.Unlock()
	counters, err := w.counters(ctx)
	if err != nil {
		return // as long as the store cannot be reached there is nothing to tell
	}
	if !w.behind(before, counters) {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(grace):
	}
	if lost := w.giveUp(before, counters); len(lost) > 0 {
		w.missed(lost...)
	}
}

// settled reports whether the buckets are where they were.
func (w *watch) settled(ctx context.Context) bool {
	for b := range w.masters {
		if _, addr, err := w.s.master(ctx, b); err != nil || addr != w.masters[b] {
			if err == nil {
				w.fail(errMoved)
			}
			return false
		}
	}
	return true
}

// behind reports whether any counter is not where the hints are.
func (w *watch) behind(before [buckets]bucket, counters []int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for b, n := range counters {
		if n > w.buckets[b].last || n < before[b].last {
			return true
		}
		w.buckets[b].heard = false
	}
	return false
}

// giveUp returns the buckets whose hints are still missing, and those whose
// counter has gone back: there the store is not what it was.
func (w *watch) giveUp(before [buckets]bucket, counters []int64) (lost []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for b, n := range counters {
		k := &w.buckets[b]
		switch {
		case n > k.last:
			if !k.heard {
				k.strikes++
			}
			if k.strikes >= deaf {
				w.fail(errDeaf)
			}
			k.last = n
			lost = append(lost, b)
		case n < before[b].last:
			k.last = n
			lost = append(lost, b)
		}
		k.heard = false
	}
	return lost
}
