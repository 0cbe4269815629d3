package presence

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/work"
)

const (
	// leaseFor is how long a dead server's users are shown at most, leaseEvery
	// how often a lease is renewed.
	leaseFor   = 10 * time.Second
	leaseEvery = 3 * time.Second
	// seatsAtOnce is how many changes are written in one call, and maxPending
	// how many wait for a store that does not answer.
	seatsAtOnce = 1000
	maxPending  = 100_000
)

// publish tells the other servers, soon, that a user has come to a room or is
// gone.
func (b *Board) publish(room string, who *names.Identity, gone bool) {
	s := Seat{Room: room, Node: b.peers.Node, User: who.Public(), Gone: gone}
	b.mu.Lock()
	b.pending[place{room, who.ID()}] = s
	if len(b.pending) > maxPending {
		clear(b.pending)
		b.rewrite = true
	}
	b.mu.Unlock()
	work.Notify(b.wake)
}

// keep writes what is pending, and renews the lease.
func (b *Board) keep(ctx context.Context) {
	next := time.NewTimer(leaseEvery)
	defer next.Stop()
	for {
		wake := b.wake
		if err := work.Guard(func() error { return b.flush(ctx) }); err != nil {
			b.peers.Failed(err)
			wake = nil // what is pending waits until then
			next.Reset(retryAfter)
		} else {
			next.Reset(leaseEvery)
		}
		select {
		case <-wake:
		case <-next.C:
		case <-b.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// flush calls the Keeper once, and as often again as there is something pending.
func (b *Board) flush(ctx context.Context) error {
	for {
		seats, rewrite, more := b.take()
		lapsed, err := b.write(ctx, seats, rewrite)
		if err != nil {
			b.putBack(seats, rewrite)
			return err
		}
		if lapsed {
			b.publishAll()
		} else if !more {
			return nil
		}
	}
}

// take returns what is to be written now, until it is called again.
func (b *Board) take() (seats []Seat, rewrite, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rewrite, b.rewrite = b.rewrite, false
	clear(b.batch)
	seats = b.batch[:0]
	for p, s := range b.pending {
		if len(seats) == seatsAtOnce {
			break
		}
		seats = append(seats, s)
		delete(b.pending, p)
	}
	b.batch = seats
	return seats, rewrite, len(b.pending) > 0
}

func (b *Board) write(ctx context.Context, seats []Seat, rewrite bool) (lapsed bool, err error) {
	began := time.Now()
	var nodes []string
	k, node := b.peers.Keeper, b.peers.Node
	err = b.peers.Call(ctx, func(ctx context.Context) (err error) {
		if rewrite {
			if _, _, err = k.Attend(ctx, node, 0, nil); err != nil {
				return err
			}
		}
		nodes, lapsed, err = k.Attend(ctx, node, leaseFor, seats)
		return err
	})
	if err == nil {
		b.removeDead(nodes, began)
	}
	return lapsed, err
}

// putBack has written again what has not been, unless there is something newer.
func (b *Board) putBack(seats []Seat, rewrite bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rewrite = b.rewrite || rewrite
	for i := range seats {
		b.addPending(&seats[i])
	}
}

// addPending has s written, unless there is something newer. b's lock is held.
func (b *Board) addPending(s *Seat) {
	p := place{s.Room, s.User.ID}
	if _, newer := b.pending[p]; !newer {
		b.pending[p] = *s
	}
}

// publishAll has everybody who is here written again: the store has forgotten
// it, or has never known.
func (b *Board) publishAll() {
	for r := range b.peers.Rooms {
		h := r.Home()
		r.mu.Lock()
		for i := range r.people {
			if p := &r.people[i]; p.local() {
				s := Seat{Room: h.ID(), Node: b.peers.Node, User: p.who.Public()}
				b.mu.Lock()
				b.addPending(&s)
				b.mu.Unlock()
			}
		}
		r.mu.Unlock()
		h.Release()
	}
}

// heard notes that nodes have said something.
func (b *Board) heard(changes []Seat) {
	now := time.Now()
	b.mu.Lock()
	for i := range changes {
		node := changes[i].Node
		if node == b.peers.Node {
			continue
		}
		if _, ok := b.nodes[node]; !ok {
			node = strings.Clone(node) // it may be part of something large
		}
		b.nodes[node] = now
	}
	b.mu.Unlock()
}

// removeDead takes those nodes out of all rooms whose lease has run out. Whoever
// puts one of a node's users on a list calls heard afterwards, so that none
// stays behind.
func (b *Board) removeDead(alive []string, asOf time.Time) {
	var dead []string
	b.mu.Lock()
	for n, last := range b.nodes {
		if last.Before(asOf) && !slices.Contains(alive, n) {
			dead = append(dead, n)
			delete(b.nodes, n)
		}
	}
	b.mu.Unlock()
	if len(dead) == 0 {
		return
	}
	for r := range b.peers.Rooms {
		r.removeNodes(dead)
		r.Home().Release()
	}
}
