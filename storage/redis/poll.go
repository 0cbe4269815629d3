package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
)

var (
	errDeaf  = errors.New("nothing arrives on the subscription")
	errMoved = errors.New("slots have moved")
	errLife  = errors.New("the server's data has begun another life")
)

// counters reads the number of each bucket's last hint, and in which life of
// the data that is so.
func (w *watch) counters(ctx context.Context) (counters []int64, lives []string, err error) {
	cmds := make([]*command, buckets)
	for b := range cmds {
		cmds[b] = w.s.scripts.rooms.command(ctx, []string{w.s.keys.counter(b)}, "counter")
	}
	ctx, cancel := w.s.bound(ctx)
	defer cancel()
	if err := w.s.read(ctx, cmds...); err != nil {
		return nil, nil, err
	}
	counters, lives = make([]int64, buckets), make([]string, buckets)
	for b, cmd := range cmds {
		reply, _ := cmd.Val().([]any)
		if len(reply) != 2 {
			return nil, nil, unavailable(errCorrupt)
		}
		counters[b], lives[b] = number(reply[0]), text(reply[1])
	}
	w.s.noteLives(lives)
	return counters, lives, nil
}

// noteLives remembers the lives of a cluster's masters. Who is present is kept
// on all of them, and that a node's lease is as it was is known by one.
func (s *Store) noteLives(lives []string) {
	if s.cluster == nil {
		return
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(lives)))
	sum := sha256.Sum256([]byte(strings.Join(distinct, " ")))
	digest := hex.EncodeToString(sum[:5])
	s.masters.Store(&digest)
}

// lives is the digest, empty where there is none, or not yet.
func (s *Store) lives() string {
	if d := s.masters.Load(); d != nil {
		return *d
	}
	return ""
}

// poll finds out whether the last hints were lost.
func (w *watch) poll(ctx context.Context) {
	if !w.settled(ctx) {
		return
	}
	w.mu.Lock()
	before := w.buckets
	w.mu.Unlock()
	counters, lives, err := w.counters(ctx)
	if err != nil {
		return // as long as the store cannot be reached there is nothing to tell
	}
	if !slices.Equal(lives, w.lives) {
		w.fail(errLife) // numbers of two lives do not compare
		return
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
