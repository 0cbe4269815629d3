//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// roomsRun says what many small rooms at once come to.
type roomsRun struct {
	Ramp      ramped  `json:"ramp"`
	Acked     float64 `json:"acked_per_s"`
	Delivered float64 `json:"deliveries_per_s"`
	MessageUS float64 `json:"server_cpu_us_per_message"` // with its deliveries
	PerWrite  float64 `json:"deliveries_per_write"`
	Server    float64 `json:"server_cores"`
	Client    float64 `json:"client_cores"`
	Others    float64 `json:"other_cores"`
	Ack       latency `json:"ack"`
	Each      latency `json:"each"`
}

// rooms has every member of many rooms write all the time.
func (d *driver) rooms(ctx context.Context) (any, error) {
	p, err := d.pair(ctx, false)
	if err != nil {
		return nil, err
	}
	var r roomsRun
	if r.Ramp, err = p.ramp(ctx, d.cfg.Conns, d.cfg.Rooms, 0); err != nil {
		return nil, err
	}
	if d.cfg.Warmup > 0 {
		if err := p.client.call(ctx, "rooms", roomsArgs{Micro: d.cfg.Warmup.Microseconds()}, nil, nil); err != nil {
			return nil, err
		}
	}
	args := roomsArgs{Messages: d.cfg.Messages, Micro: d.cfg.Duration.Microseconds()}
	total := args.Messages * d.cfg.Conns
	if total == 0 {
		total = int(d.cfg.Duration / time.Millisecond)
	}
	err = p.profiled(ctx, func() error {
		bar, done := d.bar(fmt.Sprintf("%d members in %d rooms", d.cfg.Conns, d.cfg.Rooms), total)
		defer done()
		var res roomsResult
		m, err := p.measure(ctx, func() (int64, int64, error) {
			err := p.client.call(ctx, "rooms", args, &res, bar)
			return res.Micro, res.CPU, err
		})
		if err != nil {
			return err
		}
		if m.Sent != res.Delivered {
			return fmt.Errorf("delivered %d by its own count, the clients have %d", m.Sent, res.Delivered)
		}
		s := m.seconds
		r.Acked, r.Delivered = float64(res.Acked)/s, float64(res.Delivered)/s
		r.MessageUS, r.PerWrite = float64(m.CPU)/float64(res.Acked), float64(m.Sent)/float64(m.Writes)
		r.Server, r.Client, r.Others = float64(m.CPU)/1e6/s, m.client, m.others
		r.Ack, r.Each = res.Ack, res.Each
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := p.heap(ctx); err != nil {
		return nil, err
	}
	d.say("rooms: %d members in %d rooms, each writes when its last message is acknowledged", d.cfg.Conns, d.cfg.Rooms)
	d.say("SDK: %v", r.Ramp)
	d.table(
		[]string{"messages acked/s", "deliveries/s", "server CPU us/message", "deliveries/write", "ack p50/p99, ms", "delivery p50/p99, ms", "cores server/client/other"},
		[]string{
			number(r.Acked), number(r.Delivered), number(r.MessageUS), number(r.PerWrite), fmt.Sprintf("%.2f / %.2f", r.Ack.P50, r.Ack.P99),
			fmt.Sprintf("%.2f / %.2f", r.Each.P50, r.Each.P99), fmt.Sprintf("%.2f/%.2f/%.2f", r.Server, r.Client, r.Others),
		},
	)
	return r, nil
}
