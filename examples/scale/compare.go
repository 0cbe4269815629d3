//go:build linux

package main

import (
	"context"
	"fmt"
)

// compareResult is the SDK beside the bare server.
type compareResult struct {
	Ramps  []ramped    `json:"ramps"` // of each room: of the SDK, of the bare server
	Runs   []fanoutRun `json:"runs"`
	Ratios []ratio     `json:"ratios"`
}

// ratio sets the medians of both against each other.
type ratio struct {
	Members  int     `json:"members"`
	Window   int     `json:"window"`
	CPU      float64 `json:"cpu_per_delivery"` // SDK / bare
	Rate     float64 `json:"deliveries_per_s"` // SDK / bare
	SDK      medians `json:"sdk"`
	Bare     medians `json:"bare"`
	Overhead float64 `json:"overhead_us_per_message"` // SDK - bare, server CPU
}

// medians of the runs of one server.
type medians struct {
	ServerUS float64 `json:"server_cpu_us_per_delivery"`
	ClientUS float64 `json:"client_cpu_us_per_delivery"`
	Rate     float64 `json:"deliveries_per_s"`
	PerWrite float64 `json:"deliveries_per_write"`
	AckP50   float64 `json:"ack_p50_ms"`
	AckP99   float64 `json:"ack_p99_ms"`
	LastP50  float64 `json:"last_p50_ms"`
	LastP99  float64 `json:"last_p99_ms"`
	Others   float64 `json:"other_cores"`
}

func mediansOf(runs []fanoutRun) medians {
	m := func(f func(*fanoutRun) float64) float64 { return median(runs, f) }
	return medians{
		ServerUS: m(func(r *fanoutRun) float64 { return r.ServerUS }),
		ClientUS: m(func(r *fanoutRun) float64 { return r.ClientUS }),
		Rate:     m(func(r *fanoutRun) float64 { return r.Rate }),
		PerWrite: m(func(r *fanoutRun) float64 { return r.PerWrite }),
		AckP50:   m(func(r *fanoutRun) float64 { return r.Ack.P50 }),
		AckP99:   m(func(r *fanoutRun) float64 { return r.Ack.P99 }),
		LastP50:  m(func(r *fanoutRun) float64 { return r.Last.P50 }),
		LastP99:  m(func(r *fanoutRun) float64 { return r.Last.P99 }),
		Others:   m(func(r *fanoutRun) float64 { return r.Others }),
	}
}

// compare alternates between the SDK and the bare server, each with sockets,
// members and load of the same kind, in a small room and in a large one, one
// message at a time and many.
func (d *driver) compare(ctx context.Context) (any, error) {
	windows := []int{1, d.cfg.Window}
	if d.cfg.Window == 1 {
		windows = windows[:1]
	}
	rooms := []int{d.cfg.Members}
	if d.cfg.Small > 0 && d.cfg.Small != d.cfg.Members {
		rooms = []int{d.cfg.Small, d.cfg.Members}
	}
	var res compareResult
	for _, members := range rooms {
		ramps, runs, err := d.alternate(ctx, members, windows)
		if err != nil {
			return nil, fmt.Errorf("%d members: %w", members, err)
		}
		res.Ramps = append(res.Ramps, ramps...)
		res.Runs = append(res.Runs, runs...)
		for _, w := range windows {
			res.Ratios = append(res.Ratios, ratioOf(runs, members, w))
		}
	}
	d.say("fan-out, %d bytes of content: medians of %d alternating runs of %v", d.cfg.Content, d.cfg.Runs, d.cfg.Duration)
	for i, r := range res.Ramps {
		d.say("%s: %v", []string{"SDK", "bare"}[i%2], r)
	}
	d.ratioTable(res.Ratios)
	return res, nil
}

// alternate measures both servers in a room of a size.
func (d *driver) alternate(ctx context.Context, members int, windows []int) (ramps []ramped, runs []fanoutRun, err error) {
	defer d.stop()
	pairs, ramps, err := d.both(ctx, members, 1, d.cfg.Publishers)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range pairs {
		if err := p.warm(ctx, windows[len(windows)-1]); err != nil {
			return nil, nil, err
		}
	}
	for range d.cfg.Runs {
		for _, w := range windows {
			for _, p := range pairs {
				run, err := p.fanout(ctx, members, w)
				if err != nil {
					return nil, nil, err
				}
				runs = append(runs, run)
			}
		}
	}
	return ramps, runs, nil
}

func ratioOf(runs []fanoutRun, members, window int) ratio {
	var sdk, bare []fanoutRun
	for _, r := range runs {
		switch {
		case r.Window != window:
		case r.Bare:
			bare = append(bare, r)
		default:
			sdk = append(sdk, r)
		}
	}
	r := ratio{Members: members, Window: window, SDK: mediansOf(sdk), Bare: mediansOf(bare)}
	r.CPU, r.Rate = r.SDK.ServerUS/r.Bare.ServerUS, r.SDK.Rate/r.Bare.Rate
	r.Overhead = median(sdk, func(r *fanoutRun) float64 { return r.MessageUS }) - median(bare, func(r *fanoutRun) float64 { return r.MessageUS })
	return r
}

func (d *driver) ratioTable(ratios []ratio) {
	rows := [][]string{{"members", "window", "server", "server CPU us/delivery", "deliveries/s", "deliveries/write", "ack p50/p99, ms", "last member p50/p99, ms", "client CPU us/delivery", "other cores"}}
	for _, r := range ratios {
		for i, m := range []medians{r.SDK, r.Bare} {
			rows = append(rows, []string{
				fmt.Sprint(r.Members), fmt.Sprint(r.Window), []string{"SDK", "bare"}[i], fmt.Sprintf("%.3f", m.ServerUS), number(m.Rate), fmt.Sprintf("%.1f", m.PerWrite),
				fmt.Sprintf("%.2f / %.2f", m.AckP50, m.AckP99), fmt.Sprintf("%.2f / %.2f", m.LastP50, m.LastP99), fmt.Sprintf("%.3f", m.ClientUS), fmt.Sprintf("%.2f", m.Others),
			})
		}
		rows = append(rows, []string{"", "", "ratio", fmt.Sprintf("%.2f", r.CPU), fmt.Sprintf("%.2f", r.Rate), fmt.Sprintf("%.2f", r.SDK.PerWrite/r.Bare.PerWrite), "", "", "", ""})
	}
	d.table(rows...)
}
