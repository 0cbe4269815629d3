//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// fanoutRun is one measured run.
type fanoutRun struct {
	Bare      bool    `json:"bare"`
	Members   int     `json:"members"`
	Window    int     `json:"window"`
	Messages  int64   `json:"messages"`
	Delivered int64   `json:"delivered"`
	Seconds   float64 `json:"s"`
	Rate      float64 `json:"deliveries_per_s"`
	ServerUS  float64 `json:"server_cpu_us_per_delivery"`
	ClientUS  float64 `json:"client_cpu_us_per_delivery"`
	MessageUS float64 `json:"server_cpu_us_per_message"`
	PerWrite  float64 `json:"deliveries_per_write"`
	Server    float64 `json:"server_cores"`
	Client    float64 `json:"client_cores"`
	Others    float64 `json:"other_cores"` // what else ran on the machine
	Fills     int64   `json:"fills"`
	Refused   int64   `json:"refused"`
	Ack       latency `json:"ack"`
	Last      latency `json:"last"`
}

// fanoutReport is one run, and how its clients came in.
type fanoutReport struct {
	Ramp ramped `json:"ramp"`
	fanoutRun
}

// fanout measures one room, with the SDK or with the bare server.
func (d *driver) fanout(ctx context.Context) (any, error) {
	p, err := d.pair(ctx, d.cfg.Bare)
	if err != nil {
		return nil, err
	}
	var r fanoutReport
	if r.Ramp, err = p.ramp(ctx, d.cfg.Members, 1, d.cfg.Publishers); err != nil {
		return nil, err
	}
	if err := p.warm(ctx, d.cfg.Window); err != nil {
		return nil, err
	}
	err = p.profiled(ctx, func() (err error) {
		r.fanoutRun, err = p.fanout(ctx, d.cfg.Members, d.cfg.Window)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !d.cfg.Bare {
		if err := p.heap(ctx); err != nil {
			return nil, err
		}
	}
	d.say("fan-out, %d bytes of content, %v", d.cfg.Content, d.cfg.Duration)
	d.say("%s: %v", p.name(), r.Ramp)
	d.fanoutTable(&r.fanoutRun)
	return r, nil
}

// warm puts the load on for a while that does not count.
func (p *pair) warm(ctx context.Context, window int) error {
	if p.d.cfg.Warmup <= 0 {
		return nil
	}
	return p.client.call(ctx, "fanout", fanoutArgs{Window: window, Micro: p.d.cfg.Warmup.Microseconds()}, nil, nil)
}

// fanout measures once.
func (p *pair) fanout(ctx context.Context, members, window int) (fanoutRun, error) {
	args := fanoutArgs{Window: window, Messages: p.d.cfg.Messages, Micro: p.d.cfg.Duration.Microseconds()}
	total := args.Messages
	if total == 0 {
		total = int(p.d.cfg.Duration / time.Millisecond)
	}
	bar, done := p.d.bar(fmt.Sprintf("%s, %d members, window %d", p.name(), members, window), total)
	defer done()
	var res fanoutResult
	m, err := p.measure(ctx, func() (int64, int64, error) {
		err := p.client.call(ctx, "fanout", args, &res, bar)
		return res.Micro, res.CPU, err
	})
	if err != nil {
		return fanoutRun{}, err
	}
	if m.Sent != res.Delivered {
		return fanoutRun{}, fmt.Errorf("%s: delivered %d by its own count, the clients have %d", p.name(), m.Sent, res.Delivered)
	}
	n := float64(res.Delivered)
	return fanoutRun{
		Bare: p.bare, Members: members, Window: window, Messages: res.Messages, Delivered: res.Delivered,
		Seconds: m.seconds, Rate: n / m.seconds, ServerUS: float64(m.CPU) / n, ClientUS: float64(res.CPU) / n,
		MessageUS: float64(m.CPU) / float64(res.Messages), PerWrite: n / float64(m.Writes),
		Server: float64(m.CPU) / 1e6 / m.seconds, Client: m.client, Others: m.others,
		Fills: m.Fills, Refused: m.Refused, Ack: res.Ack, Last: res.Last,
	}, nil
}

func (p *pair) name() string {
	if p.bare {
		return "bare"
	}
	return "SDK"
}

func (d *driver) fanoutTable(r *fanoutRun) {
	name := "SDK"
	if r.Bare {
		name = "bare"
	}
	d.table(
		[]string{"server", "members", "window", "deliveries/s", "server CPU us/delivery", "client CPU us/delivery", "deliveries/write", "ack p50/p99, ms", "last member p50/p99, ms", "cores server/client/other"},
		[]string{
			name, fmt.Sprint(r.Members), fmt.Sprint(r.Window), number(r.Rate), fmt.Sprintf("%.3f", r.ServerUS), fmt.Sprintf("%.3f", r.ClientUS),
			fmt.Sprintf("%.1f", r.PerWrite), fmt.Sprintf("%.2f / %.2f", r.Ack.P50, r.Ack.P99), fmt.Sprintf("%.2f / %.2f", r.Last.P50, r.Last.P99),
			fmt.Sprintf("%.2f/%.2f/%.2f", r.Server, r.Client, r.Others),
		},
	)
}
