//go:build linux

package main

import (
	"fmt"
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/gabblehq/chat/internal/wire"
)

// roomsArgs has every member write to its own room.
type roomsArgs struct {
	Messages int   `json:"messages"` // stop after so many of each member; 0: after Micro
	Micro    int64 `json:"us"`
}

// roomsResult is what came of it.
type roomsResult struct {
	Acked     int64   `json:"acked"`
	Delivered int64   `json:"delivered"`
	Micro     int64   `json:"us"`
	CPU       int64   `json:"client_cpu"`
	Ack       latency `json:"ack"`
	Each      latency `json:"each"` // of every single delivery
}

// chatter is a closed loop in many rooms: each member writes its next message
// when the last one has been acknowledged.
type chatter struct {
	cl       *client
	size     []int64 // members, by room
	sent     int64
	acks     int64
	expected int64 // deliveries that the acknowledged messages come to
	got      int64
	more     func() bool
	ack      *hdrhistogram.Histogram
	each     *hdrhistogram.Histogram
}

func (cl *client) rooms(a roomsArgs, progress func(int)) (any, error) {
	l := &chatter{cl: cl, ack: newHistogram(), each: newHistogram()}
	for i := range cl.conns {
		room := int(cl.conns[i].room)
		for len(l.size) <= room {
			l.size = append(l.size, 0)
		}
		l.size[room]++
	}
	begin, told := clock(), clock()
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	l.more = func() bool { return cl.now-begin < a.Micro }
	if a.Messages > 0 {
		l.more = func() bool { return l.sent < int64(a.Messages*len(cl.conns)) }
	}
	cl.load, cl.now = l, begin
	defer func() { cl.load = nil }()
	for i := range cl.conns {
		if err := l.next(&cl.conns[i]); err != nil {
			return nil, err
		}
	}
	err = cl.until(func() bool {
		cl.now = clock()
		if cl.now-told > 100e3 {
			told = cl.now
			if a.Messages > 0 {
				progress(int(l.acks))
			} else {
				progress(int((cl.now - begin) / 1e3))
			}
		}
		return l.acks == l.sent && l.got == l.expected && !l.more()
	})
	if err != nil {
		return nil, err
	}
	end, err := cpuTime()
	return roomsResult{
		Acked: l.acks, Delivered: l.got, Micro: clock() - begin, CPU: end - cpu, Ack: latencyOf(l.ack), Each: latencyOf(l.each),
	}, err
}

// next sends a member's next message, if there is to be one.
func (l *chatter) next(c *conn) error {
	if !l.more() {
		return nil
	}
	l.sent++
	return l.cl.publish(c, roomName(int(c.room)))
}

// delivered implements workload.
func (l *chatter) delivered(_ *conn, p *wire.Peeked) error {
	sent, err := strconv.ParseInt(string(p.Nonce), 10, 64)
	if err != nil {
		return fmt.Errorf("nonce %q: %w", p.Nonce, err)
	}
	l.got++
	return l.each.RecordValue(max(l.cl.now-sent, 1))
}

// acked implements workload.
func (l *chatter) acked(c *conn, _ *wire.Peeked) error {
	l.acks++
	l.expected += l.size[c.room]
	if err := l.ack.RecordValue(max(l.cl.now-c.published, 1)); err != nil {
		return err
	}
	c.published = 0
	return l.next(c)
}
