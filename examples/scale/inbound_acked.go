//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// ackedRun is one measured run of sessions that each send their next message
// when the last one has been acknowledged, through the whole SDK.
type ackedRun struct {
	Rooms     int     `json:"rooms"`
	Acked     float64 `json:"acked_per_s"`
	Delivered float64 `json:"deliveries_per_s"`
	MessageUS float64 `json:"server_cpu_us_per_message"` // with its deliveries
	Server    float64 `json:"server_cores"`
	Client    float64 `json:"client_cores"`
	Others    float64 `json:"other_cores"`
	Ack       latency `json:"ack"`
}

// ackedPoint is the medians of the runs with one number of rooms.
type ackedPoint = ackedRun

// inboundAcked gives each session a room of its own and then, in turn, has them
// share rooms.
func (d *driver) inboundAcked(ctx context.Context, r *inboundResult) error {
	rooms := []int{d.cfg.Conns, d.cfg.Rooms}
	var pairs []*pair
	for _, n := range rooms {
		p, err := d.pair(ctx, false)
		if err != nil {
			return err
		}
		ramp, err := p.ramp(ctx, d.cfg.Conns, n, 0)
		if err != nil {
			return err
		}
		d.say("%d rooms: %v", n, ramp)
		pairs = append(pairs, p)
		if _, err := p.acked(ctx, n, d.cfg.Warmup); err != nil {
			return err
		}
	}
	for range d.cfg.Runs {
		for i, p := range pairs {
			run, err := p.acked(ctx, rooms[i], d.cfg.Duration)
			if err != nil {
				return err
			}
			r.AckedRuns = append(r.AckedRuns, run)
		}
	}
	for _, n := range rooms {
		r.Acked = append(r.Acked, ackedMedians(r.AckedRuns, n))
	}
	d.ackedTable(r.Acked)
	return nil
}

// acked measures once.
func (p *pair) acked(ctx context.Context, rooms int, t time.Duration) (r ackedRun, err error) {
	bar, done := p.d.bar(fmt.Sprintf("%d sessions in %d rooms", p.d.cfg.Conns, rooms), int(t/time.Millisecond))
	defer done()
	var res roomsResult
	m, err := p.measure(ctx, func() (int64, int64, error) {
		err := p.client.call(ctx, "rooms", roomsArgs{Micro: t.Microseconds()}, &res, bar)
		return res.Micro, res.CPU, err
	})
	if err != nil {
		return r, err
	}
	// The clients have checked that they have got every message. The server may
	// count the last ones only after that.
	if m.Failed != 0 {
		return r, fmt.Errorf("%d commands failed", m.Failed)
	}
	return ackedRun{
		Rooms: rooms, Acked: float64(res.Acked) / m.seconds, Delivered: float64(res.Delivered) / m.seconds,
		MessageUS: float64(m.CPU) / float64(max(res.Acked, 1)), Server: float64(m.CPU) / 1e6 / m.seconds,
		Client: m.client, Others: m.others, Ack: res.Ack,
	}, nil
}

func ackedMedians(runs []ackedRun, rooms int) ackedPoint {
	var own []ackedRun
	for _, r := range runs {
		if r.Rooms == rooms {
			own = append(own, r)
		}
	}
	m := func(f func(*ackedRun) float64) float64 { return median(own, f) }
	return ackedPoint{
		Rooms:     rooms,
		Acked:     m(func(r *ackedRun) float64 { return r.Acked }),
		Delivered: m(func(r *ackedRun) float64 { return r.Delivered }),
		MessageUS: m(func(r *ackedRun) float64 { return r.MessageUS }),
		Server:    m(func(r *ackedRun) float64 { return r.Server }),
		Client:    m(func(r *ackedRun) float64 { return r.Client }),
		Others:    m(func(r *ackedRun) float64 { return r.Others }),
		Ack:       medianLatency(own, func(r *ackedRun) latency { return r.Ack }),
	}
}

// medianLatency takes the median of each figure by itself.
func medianLatency[T any](runs []T, of func(*T) latency) latency {
	m := func(f func(latency) float64) float64 { return median(runs, func(r *T) float64 { return f(of(r)) }) }
	return latency{
		P50: m(func(l latency) float64 { return l.P50 }), P90: m(func(l latency) float64 { return l.P90 }),
		P99: m(func(l latency) float64 { return l.P99 }), P999: m(func(l latency) float64 { return l.P999 }),
		Max: m(func(l latency) float64 { return l.Max }),
	}
}

func (d *driver) ackedTable(points []ackedPoint) {
	d.say("acknowledged messages: %d sessions, each sends when its last message is acknowledged, %d bytes of content, no rate limits, medians of %d alternating runs of %v",
		d.cfg.Conns, d.cfg.Content, d.cfg.Runs, d.cfg.Duration)
	rows := [][]string{{"rooms", "messages acked/s", "deliveries/s", "server CPU us/message", "ack p50/p99, ms", "cores server/client/other"}}
	for _, p := range points {
		rows = append(rows, []string{
			fmt.Sprint(p.Rooms), number(p.Acked), number(p.Delivered), number(p.MessageUS), fmt.Sprintf("%.2f / %.2f", p.Ack.P50, p.Ack.P99),
			fmt.Sprintf("%.2f/%.2f/%.2f", p.Server, p.Client, p.Others),
		})
	}
	d.table(rows...)
}
