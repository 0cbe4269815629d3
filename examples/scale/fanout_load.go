//go:build linux

package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/gabblehq/chat/internal/wire"
)

// maxWindow bounds how many messages may be on their way.
const maxWindow = 1024

// fanoutArgs has the publishers send to the one room that all members are in.
type fanoutArgs struct {
	Window   int   `json:"window"`   // messages that not all members have yet
	Messages int   `json:"messages"` // stop after so many; 0: after Micro
	Micro    int64 `json:"us"`
}

// fanoutResult is what came of it.
type fanoutResult struct {
	Messages  int64   `json:"messages"`
	Delivered int64   `json:"delivered"`
	Micro     int64   `json:"us"`
	CPU       int64   `json:"client_cpu"`
	Ack       latency `json:"ack"`
	Last      latency `json:"last"` // until the last member had it
}

// latency is a distribution, in milliseconds.
type latency struct {
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p99_9_ms"`
	Max  float64 `json:"max_ms"`
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 120e6, 3) }

func latencyOf(h *hdrhistogram.Histogram) latency {
	ms := func(us int64) float64 { return float64(us) / 1e3 }
	at := func(q float64) float64 { return ms(h.ValueAtQuantile(q)) }
	return latency{at(50), at(90), at(99), at(99.9), ms(h.Max())}
}

// flight is a message on its way to all members.
type flight struct {
	rev, nonce int64
	missing    int // members that do not have it yet
}

// fanout is a closed loop: a message counts as outstanding until it is
// acknowledged and the last member has it.
type fanout struct {
	cl      *client
	room    string
	readers int
	idle    []*conn           // publishers that wait for nothing
	flights [maxWindow]flight // by rev
	window  int
	sent    int64
	acks    int64
	landed  int64
	more    func() bool
	ack     *hdrhistogram.Histogram
	last    *hdrhistogram.Histogram
}

func (cl *client) fanout(a fanoutArgs, progress func(int)) (any, error) {
	f := &fanout{cl: cl, room: roomName(0), window: a.Window, ack: newHistogram(), last: newHistogram()}
	for i := range cl.conns {
		if c := &cl.conns[i]; c.room < 0 {
			f.idle = append(f.idle, c)
		} else {
			f.readers++
		}
	}
	if a.Window < 1 || a.Window > maxWindow || len(f.idle) == 0 || f.readers == 0 {
		return nil, fmt.Errorf("window %d, %d publishers, %d readers", a.Window, len(f.idle), f.readers)
	}
	begin, delivered := clock(), cl.delivered
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	f.more = func() bool { return clock()-begin < a.Micro }
	if a.Messages > 0 {
		f.more = func() bool { return f.sent < int64(a.Messages) }
	}
	cl.load = f
	defer func() { cl.load = nil }()
	told := begin
	f.fill()
	err = cl.until(func() bool {
		if now := clock(); now-told > 100e3 {
			told = now
			if a.Messages > 0 {
				progress(int(f.landed))
			} else {
				progress(int((now - begin) / 1e3))
			}
		}
		return f.landed == f.sent && f.acks == f.sent && !f.more()
	})
	if err != nil {
		return nil, err
	}
	end, err := cpuTime()
	res := fanoutResult{
		Messages: f.sent, Delivered: cl.delivered - delivered, Micro: clock() - begin, CPU: end - cpu,
		Ack: latencyOf(f.ack), Last: latencyOf(f.last),
	}
	if err == nil && res.Delivered != res.Messages*int64(f.readers) {
		err = fmt.Errorf("%d messages to %d members, but %d deliveries", res.Messages, f.readers, res.Delivered)
	}
	return res, err
}

// fill has publishers send as long as the window is open.
func (f *fanout) fill() {
	for len(f.idle) > 0 && f.sent-min(f.landed, f.acks) < int64(f.window) && f.more() {
		c := f.idle[0]
		f.idle = f.idle[1:]
		f.sent++
		f.cl.fail(c, f.cl.publish(c, f.room))
	}
}

// delivered implements workload.
func (f *fanout) delivered(_ *conn, p *wire.Peeked) error {
	fl := &f.flights[p.Rev%maxWindow]
	if fl.rev != p.Rev { // the first to have it
		if fl.missing != 0 {
			return fmt.Errorf("rev %d while %d lack rev %d", p.Rev, fl.missing, fl.rev)
		}
		nonce, err := strconv.ParseInt(string(p.Nonce), 10, 64)
		if err != nil {
			return err
		}
		*fl = flight{p.Rev, nonce, f.readers}
	}
	if fl.missing--; fl.missing > 0 {
		return nil
	}
	f.landed++
	if err := f.last.RecordValue(max(f.cl.now-fl.nonce, 1)); err != nil {
		return err
	}
	f.fill()
	return nil
}

// acked implements workload.
func (f *fanout) acked(c *conn, p *wire.Peeked) error {
	if fl := &f.flights[p.Rev%maxWindow]; fl.rev == p.Rev && fl.nonce != c.published {
		return errors.New("another message was delivered at the position of the ack")
	}
	f.acks++
	err := f.ack.RecordValue(max(f.cl.now-c.published, 1))
	c.published = 0
	f.idle = append(f.idle, c)
	f.fill()
	return err
}
