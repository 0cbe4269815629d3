//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/gabblehq/chat/internal/wire"
)

// pacedArgs has messages sent at a rate to rooms taken at random: by the
// publishers where there are any, else by the rooms' own members.
type pacedArgs struct {
	pacing
	Rooms int `json:"rooms"`
}

// pacedResult is what came of it. Latencies count from when a message was due.
type pacedResult struct {
	Messages  int64        `json:"messages"`
	Delivered int64        `json:"delivered"` // to those who read everything
	Micro     int64        `json:"us"`
	CPU       int64        `json:"client_cpu"`
	Ack       distribution `json:"ack"`
	Each      distribution `json:"each"` // of every single delivery
	Last      distribution `json:"last"` // until the last member of the room had it
}

// distribution is a latency and its curve.
type distribution struct {
	latency
	Curve []quantile `json:"curve"`
}

// quantile is a point of a curve: all but one in OneIn are as fast or faster.
type quantile struct {
	OneIn float64 `json:"one_in"`
	MS    float64 `json:"ms"`
}

func distributionOf(h *hdrhistogram.Histogram) distribution {
	d := distribution{latency: latencyOf(h)}
	for decade := 1.0; ; decade *= 10 {
		for _, f := range [...]float64{1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8} { // ten for each factor of ten
			oneIn := decade * f
			if oneIn > float64(h.TotalCount()) {
				return d
			}
			d.Curve = append(d.Curve, quantile{oneIn, float64(h.ValueAtQuantile(100-100/oneIn)) / 1e3})
		}
	}
}

// paced is an open loop: messages are sent when they are due, whatever has
// become of those before.
type paced struct {
	cl      *client
	rooms   int
	senders []*conn
	size    []int // members who read everything, by room
	under   map[position]*flight

	sent, acks, landed, got int64
	heard                   int64 // when the last ack or delivery came
	ack, each, last         *hdrhistogram.Histogram
}

func (cl *client) paced(a pacedArgs, progress func(int)) (any, error) {
	l := &paced{
		cl: cl, rooms: a.Rooms, size: make([]int, a.Rooms), under: make(map[position]*flight),
		ack: newHistogram(), each: newHistogram(), last: newHistogram(),
	}
	var members []*conn
	for i := range cl.conns {
		switch c := &cl.conns[i]; {
		case c.room < 0:
			l.senders = append(l.senders, c)
		case c.appetite == readsAll:
			members = append(members, c)
			l.size[c.room]++
		}
	}
	if len(l.senders) == 0 {
		l.senders = members
	}
	if len(members) == 0 {
		return nil, errors.New("no members")
	}
	begin := clock()
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	cl.load = l
	defer func() { cl.load = nil }()
	if err := cl.pace(a.pacing, progress, l.send, l.done); err != nil {
		return nil, err
	}
	end, err := cpuTime()
	return pacedResult{
		Messages: l.sent, Delivered: l.got, Micro: clock() - begin, CPU: end - cpu,
		Ack: distributionOf(l.ack), Each: distributionOf(l.each), Last: distributionOf(l.last),
	}, err
}

// send has somebody send who waits for no ack; see pace.
func (l *paced) send(due int64) bool {
	for range 100 {
		c := l.senders[rand.IntN(len(l.senders))]
		if c.phase != phaseOpen || c.published != 0 {
			continue
		}
		room := int(c.room)
		if room < 0 {
			room = rand.IntN(l.rooms)
		}
		l.sent++
		l.heard = clock()
		l.cl.fail(c, l.cl.publishAt(c, roomName(room), due))
		return true
	}
	return false
}

// done reports whether everything has arrived, and fails the run where that
// does not come about.
func (l *paced) done() bool {
	if l.acks == l.sent && l.landed == l.sent {
		return true
	}
	if clock()-l.heard > patience {
		l.cl.fail(nil, fmt.Errorf("%d messages sent, %d acknowledged, %d delivered to all members, and nothing for a minute", l.sent, l.acks, l.landed))
	}
	return false
}

// delivered implements workload.
func (l *paced) delivered(c *conn, p *wire.Peeked) error {
	if c.appetite != readsAll {
		return nil
	}
	at := position{c.room, p.Rev}
	f := l.under[at]
	if f == nil { // the first to have it
		nonce, err := strconv.ParseInt(string(p.Nonce), 10, 64)
		if err != nil {
			return fmt.Errorf("nonce %q: %w", p.Nonce, err)
		}
		f = &flight{p.Rev, nonce, l.size[c.room]}
		l.under[at] = f
	}
	l.got++
	l.heard = l.cl.now
	if err := l.each.RecordValue(max(l.cl.now-f.nonce, 1)); err != nil {
		return err
	}
	if f.missing--; f.missing > 0 {
		return nil
	}
	delete(l.under, at)
	l.landed++
	return l.last.RecordValue(max(l.cl.now-f.nonce, 1))
}

// acked implements workload.
func (l *paced) acked(c *conn, _ *wire.Peeked) error {
	l.acks++
	l.heard = l.cl.now
	err := l.ack.RecordValue(max(l.cl.now-c.published, 1))
	c.published = 0
	return err
}
