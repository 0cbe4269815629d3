//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// latencyResult is latency over load, the SDK beside the bare server.
type latencyResult struct {
	Ramps  []ramped       `json:"ramps"` // of the SDK, of the bare server
	Runs   []latencyRun   `json:"runs"`
	Points []latencyPoint `json:"points"`
}

// latencyRun is one measured run.
type latencyRun struct {
	Bare     bool    `json:"bare"`
	Rate     float64 `json:"rate"` // messages per second that were due
	Seconds  float64 `json:"s"`
	Sent     float64 `json:"messages_per_s"` // from the first that was due to the last delivery
	Received float64 `json:"deliveries_per_s"`
	ServerUS float64 `json:"server_cpu_us_per_delivery"`
	PerWrite float64 `json:"deliveries_per_write"`
	Server   float64 `json:"server_cores"`
	Client   float64 `json:"client_cores"`
	Others   float64 `json:"other_cores"`
	pacedResult
}

// latencyPoint sets the medians of both at one load against each other.
type latencyPoint struct {
	Rate  float64        `json:"rate"`
	SDK   latencyMedians `json:"sdk"`
	Bare  latencyMedians `json:"bare"`
	Ratio latencyRatio   `json:"ratio"` // SDK / bare
}

type latencyRatio struct {
	EachP99  float64 `json:"each_p99"`
	LastP99  float64 `json:"last_p99"`
	ServerUS float64 `json:"server_cpu"`
}

// latencyMedians are those of the runs of one server at one load.
type latencyMedians struct {
	Sent     float64      `json:"messages_per_s"`
	Received float64      `json:"deliveries_per_s"`
	ServerUS float64      `json:"server_cpu_us_per_delivery"`
	Server   float64      `json:"server_cores"`
	Client   float64      `json:"client_cores"`
	Others   float64      `json:"other_cores"`
	Ack      distribution `json:"ack"`
	Each     distribution `json:"each"`
	Last     distribution `json:"last"`
}

func latencyMediansOf(runs []latencyRun) latencyMedians {
	m := func(f func(*latencyRun) float64) float64 { return median(runs, f) }
	return latencyMedians{
		Sent:     m(func(r *latencyRun) float64 { return r.Sent }),
		Received: m(func(r *latencyRun) float64 { return r.Received }),
		ServerUS: m(func(r *latencyRun) float64 { return r.ServerUS }),
		Server:   m(func(r *latencyRun) float64 { return r.Server }),
		Client:   m(func(r *latencyRun) float64 { return r.Client }),
		Others:   m(func(r *latencyRun) float64 { return r.Others }),
		Ack:      medianDistribution(runs, func(r *latencyRun) *distribution { return &r.Ack }),
		Each:     medianDistribution(runs, func(r *latencyRun) *distribution { return &r.Each }),
		Last:     medianDistribution(runs, func(r *latencyRun) *distribution { return &r.Last }),
	}
}

// medianDistribution takes the median of each figure by itself, and of each
// point of the curves that all runs have.
func medianDistribution[T any](runs []T, of func(*T) *distribution) (d distribution) {
	m := func(f func(*latency) float64) float64 {
		return median(runs, func(r *T) float64 { return f(&of(r).latency) })
	}
	d.latency = latency{
		P50: m(func(l *latency) float64 { return l.P50 }), P90: m(func(l *latency) float64 { return l.P90 }),
		P99: m(func(l *latency) float64 { return l.P99 }), P999: m(func(l *latency) float64 { return l.P999 }),
		Max: m(func(l *latency) float64 { return l.Max }),
	}
	points := len(of(&runs[0]).Curve)
	for i := range runs {
		points = min(points, len(of(&runs[i]).Curve))
	}
	for i := range points {
		d.Curve = append(d.Curve, quantile{of(&runs[0]).Curve[i].OneIn, median(runs, func(r *T) float64 { return of(r).Curve[i].MS })})
	}
	return d
}

// latency measures how long messages take where the machine is not at its
// limit, at one load or at several.
func (d *driver) latency(ctx context.Context) (any, error) {
	pairs, ramps, err := d.both(ctx, d.cfg.Conns, d.cfg.Rooms, 0)
	if err != nil {
		return nil, err
	}
	r := latencyResult{Ramps: ramps}
	for _, rate := range d.cfg.Rates {
		runs, err := d.latencyRuns(ctx, pairs, rate)
		if err != nil {
			return nil, fmt.Errorf("%v messages/s: %w", rate, err)
		}
		r.Runs = append(r.Runs, runs...)
		r.Points = append(r.Points, latencyPointOf(runs, rate))
	}
	d.latencyTable(&r)
	return r, d.plotLatency(&r)
}

func (d *driver) latencyRuns(ctx context.Context, pairs []*pair, rate float64) (runs []latencyRun, err error) {
	for _, p := range pairs {
		if d.cfg.Warmup > 0 {
			if _, err := p.paced(ctx, rate, d.cfg.Rooms, d.cfg.Warmup); err != nil {
				return nil, err
			}
		}
	}
	for range d.cfg.Runs {
		for _, p := range pairs {
			var run latencyRun
			err := p.profiled(ctx, func() (err error) {
				run, err = p.latencyRun(ctx, rate)
				return err
			})
			if err != nil {
				return nil, err
			}
			runs = append(runs, run)
		}
	}
	return runs, nil
}

// latencyRun measures once.
func (p *pair) latencyRun(ctx context.Context, rate float64) (r latencyRun, err error) {
	var res pacedResult
	m, err := p.measure(ctx, func() (int64, int64, error) {
		res, err = p.paced(ctx, rate, p.d.cfg.Rooms, p.d.cfg.Duration)
		return res.Micro, res.CPU, err
	})
	if err != nil {
		return r, err
	}
	if m.Sent != res.Delivered {
		return r, fmt.Errorf("%s: delivered %d by its own count, the clients have %d", p.name(), m.Sent, res.Delivered)
	}
	n, s := float64(res.Delivered), m.seconds
	return latencyRun{
		Bare: p.bare, Rate: rate, Seconds: s, Sent: float64(res.Messages) / s, Received: n / s, ServerUS: float64(m.CPU) / n,
		PerWrite: n / float64(m.Writes), Server: float64(m.CPU) / 1e6 / s, Client: m.client, Others: m.others, pacedResult: res,
	}, nil
}

// paced has the clients send at a rate.
func (p *pair) paced(ctx context.Context, rate float64, rooms int, t time.Duration) (res pacedResult, err error) {
	bar, done := p.d.bar(fmt.Sprintf("%s, %v messages/s", p.name(), rate), int(t/time.Millisecond))
	defer done()
	err = p.client.call(ctx, "paced", pacedArgs{pacing{rate, t.Microseconds()}, rooms}, &res, bar)
	return res, err
}

func latencyPointOf(runs []latencyRun, rate float64) latencyPoint {
	var sdk, bare []latencyRun
	for _, r := range runs {
		if r.Bare {
			bare = append(bare, r)
		} else {
			sdk = append(sdk, r)
		}
	}
	p := latencyPoint{Rate: rate, SDK: latencyMediansOf(sdk), Bare: latencyMediansOf(bare)}
	p.Ratio = latencyRatio{p.SDK.Each.P99 / p.Bare.Each.P99, p.SDK.Last.P99 / p.Bare.Last.P99, p.SDK.ServerUS / p.Bare.ServerUS}
	return p
}

func (d *driver) latencyTable(r *latencyResult) {
	d.say("latency from when a message was due (corrected for coordinated omission): %d connections in %d rooms, %d bytes of content, medians of %d alternating runs of %v",
		d.cfg.Conns, d.cfg.Rooms, d.cfg.Content, d.cfg.Runs, d.cfg.Duration)
	for i, x := range r.Ramps {
		d.say("%s: %v", []string{"SDK", "bare"}[i], x)
	}
	const three = "p50/p99/p99.9, ms"
	rows := [][]string{{"messages/s", "server", "deliveries/s", "ack " + three, "delivery " + three, "last member " + three, "CPU us/delivery", "cores server/client/other"}}
	cell := func(l distribution) string { return fmt.Sprintf("%.2f / %.2f / %.2f", l.P50, l.P99, l.P999) }
	for _, p := range r.Points {
		for i, m := range []latencyMedians{p.SDK, p.Bare} {
			rows = append(rows, []string{
				number(p.Rate), []string{"SDK", "bare"}[i], number(m.Received), cell(m.Ack), cell(m.Each), cell(m.Last), fmt.Sprintf("%.2f", m.ServerUS),
				fmt.Sprintf("%.2f/%.2f/%.2f", m.Server, m.Client, m.Others),
			})
		}
		rows = append(rows, []string{"", "ratio", "", "", fmt.Sprintf("p99 %.2f", p.Ratio.EachP99), fmt.Sprintf("p99 %.2f", p.Ratio.LastP99), fmt.Sprintf("%.2f", p.Ratio.ServerUS), ""})
	}
	d.table(rows...)
}
