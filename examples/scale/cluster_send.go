//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// send has the clients send, and waits until everybody has everything.
func (c *clusterRun) send(ctx context.Context, op string, total int, note bool, args func(int) any) (p passed, w awaitResult, err error) {
	if _, err := callAll[[]arrival](ctx, c.clients, "note", func(int) any { return note }, nil); err != nil {
		return p, w, err
	}
	begin := clock()
	set, done := c.d.bar(op, total)
	sent, err := callAll[sentResult](ctx, c.clients, op, args, set)
	done()
	if err != nil {
		return p, w, err
	}
	expected, lastAck := int64(0), begin
	for _, s := range sent {
		p.Messages += s.Sent
		lastAck = max(lastAck, s.LastAck)
		for room, n := range s.Rooms {
			c.want[room] += n
			expected += int64(n) * int64(c.members(room))
		}
	}
	if w, err = c.await(ctx); err != nil {
		return p, w, err
	}
	p.Expected, p.Received = expected, w.Received-c.got
	c.got = w.Received
	p.Seconds, p.AfterAck = float64(max(w.Last, lastAck)-begin)/1e6, float64(max(w.Last-lastAck, 0))/1e3
	if !note {
		return p, w, nil
	}
	seen, err := callAll[[]arrival](ctx, c.clients, "note", func(int) any { return false }, nil)
	if err != nil {
		return p, w, err
	}
	p.Ack, p.LastMember, err = c.latencies(seen, p.Messages)
	return p, w, err
}

// members is how many a room has.
func (c *clusterRun) members(room int) int {
	return membersOf(room, c.d.cfg.Conns, c.d.cfg.Rooms)
}

// deliverWithin is how long after the last ack the last member may get the last
// message.
const deliverWithin = 30 * time.Second

// await fails unless every connection receives just what it should.
func (c *clusterRun) await(ctx context.Context) (sum awaitResult, err error) {
	total := 0
	for room, n := range c.want {
		total += int(n) * c.members(room)
	}
	set, done := c.d.bar("waiting for the last", total)
	defer done()
	list, err := callAll[awaitResult](ctx, c.clients, "await", func(int) any {
		return awaitArgs{Want: c.want, Micro: deliverWithin.Microseconds()}
	}, set)
	if err != nil {
		return sum, err
	}
	for _, r := range list {
		sum.Expected, sum.Received, sum.Wrong = sum.Expected+r.Expected, sum.Received+r.Received, sum.Wrong+r.Wrong
		sum.Examples = append(sum.Examples, r.Examples...)
		sum.Last, sum.Back, sum.Mended = max(sum.Last, r.Last), sum.Back+r.Back, max(sum.Mended, r.Mended)
	}
	if sum.Wrong > 0 || sum.Received != sum.Expected {
		return sum, fmt.Errorf("%d deliveries of %d within %v of the last ack; %d connections have not received what they should:\n%s",
			sum.Received, sum.Expected, deliverWithin, sum.Wrong, strings.Join(sum.Examples[:min(len(sum.Examples), 20)], "\n"))
	}
	return sum, nil
}
