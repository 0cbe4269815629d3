//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
)

// slowResult sets a room in which everybody reads beside the same room in
// which some do not, or hardly.
type slowResult struct {
	Ramp      ramped      `json:"ramp"`
	Runs      []slowRun   `json:"runs"`
	Base      slowMedians `json:"all_read"`
	Slow      slowMedians `json:"some_slow"`
	LastP99   float64     `json:"last_p99_ratio"`   // some slow / all read
	EachP99   float64     `json:"each_p99_ratio"`   // some slow / all read
	HeapSlope float64     `json:"heap_slope_extra"` // bytes per second, some slow - all read
	RSSSlope  float64     `json:"rss_slope_extra"`  // bytes per second, some slow - all read
	Held      []heldBy    `json:"held"`
}

// slowRun is one run. Memory is looked at after a collection of garbage at
// either end of the run: in between, it goes up and down with the collector.
type slowRun struct {
	Slow      bool       `json:"slow"`
	Seconds   float64    `json:"s"` // between the two looks at memory
	Before    sizes      `json:"before"`
	After     sizes      `json:"after"`
	HeapSlope float64    `json:"heap_bytes_per_s"`
	RSSSlope  float64    `json:"rss_bytes_per_s"`
	Fills     int64      `json:"fills"` // pages that the store was asked for
	ServerUS  float64    `json:"server_cpu_us_per_delivery"`
	Held      *held      `json:"held,omitempty"`      // of those who read little
	Recovered *recovered `json:"recovered,omitempty"` // when they read everything again
	pacedResult
}

// slowMedians are those of the runs with or without slow members.
type slowMedians struct {
	HeapSlope float64      `json:"heap_bytes_per_s"`
	RSSSlope  float64      `json:"rss_bytes_per_s"`
	ServerUS  float64      `json:"server_cpu_us_per_delivery"`
	Ack       distribution `json:"ack"`
	Each      distribution `json:"each"`
	Last      distribution `json:"last"`
}

func slowMediansOf(runs []slowRun, slow bool) slowMedians {
	var of []slowRun
	for _, r := range runs {
		if r.Slow == slow {
			of = append(of, r)
		}
	}
	m := func(f func(*slowRun) float64) float64 { return median(of, f) }
	return slowMedians{
		HeapSlope: m(func(r *slowRun) float64 { return r.HeapSlope }),
		RSSSlope:  m(func(r *slowRun) float64 { return r.RSSSlope }),
		ServerUS:  m(func(r *slowRun) float64 { return r.ServerUS }),
		Ack:       medianDistribution(of, func(r *slowRun) *distribution { return &r.Ack }),
		Each:      medianDistribution(of, func(r *slowRun) *distribution { return &r.Each }),
		Last:      medianDistribution(of, func(r *slowRun) *distribution { return &r.Last }),
	}
}

// slow shows what members that do not read, or hardly, cost the server and the
// others. Runs in which all read alternate with runs in which some do not. The
// store keeps messages and nonces in memory either way: what the slow ones add
// is the difference.
func (d *driver) slow(ctx context.Context) (any, error) {
	p, err := d.pair(ctx, false)
	if err != nil {
		return nil, err
	}
	var r slowResult
	if r.Ramp, err = p.ramp(ctx, d.cfg.Members, 1, d.cfg.Publishers); err != nil {
		return nil, err
	}
	// A whole round of both goes before, for whatever grows only once.
	for i := range 1 + d.cfg.Runs {
		for _, slow := range []bool{false, true} {
			run, err := p.slowRun(ctx, slow, i == 0)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				r.Runs = append(r.Runs, run)
			}
		}
	}
	r.Base, r.Slow = slowMediansOf(r.Runs, false), slowMediansOf(r.Runs, true)
	r.LastP99, r.EachP99 = r.Slow.Last.P99/r.Base.Last.P99, r.Slow.Each.P99/r.Base.Each.P99
	r.HeapSlope, r.RSSSlope = r.Slow.HeapSlope-r.Base.HeapSlope, r.Slow.RSSSlope-r.Base.RSSSlope
	r.Held = heldByKind(r.Runs, d.cfg)
	d.slowTable(&r)
	return r, nil
}

// slowRun puts the load on, and throttles some members for as long.
func (p *pair) slowRun(ctx context.Context, slow, warmup bool) (r slowRun, err error) {
	cfg := p.d.cfg
	r.Slow = slow
	t := cfg.Duration
	if warmup {
		t = cfg.Warmup
	}
	if err := p.server.call(ctx, "collect", nil, &r.Before, nil); err != nil {
		return r, err
	}
	begin := clock()
	var watch *holding
	if slow {
		var clients []netip.AddrPort
		args := throttleArgs{Stalled: cfg.Stalled, Trickling: cfg.Trickling, Slow: cfg.Slow, Share: cfg.Share}
		if err := p.client.call(ctx, "throttle", args, &clients, nil); err != nil {
			return r, err
		}
		if watch, err = p.watchKernel(clients, t); err != nil {
			return r, err
		}
		defer watch.stop()
	}
	m, err := p.measure(ctx, func() (int64, int64, error) {
		r.pacedResult, err = p.paced(ctx, cfg.Rate, 1, t)
		return r.Micro, r.CPU, err
	})
	if err != nil {
		return r, err
	}
	if watch != nil {
		if r.Held, err = watch.stop(); err != nil {
			return r, err
		}
	}
	if err := p.server.call(ctx, "collect", nil, &r.After, nil); err != nil {
		return r, err
	}
	r.Seconds = float64(clock()-begin) / 1e6
	r.HeapSlope, r.RSSSlope = float64(r.After.Heap-r.Before.Heap)/r.Seconds, float64(r.After.RSS-r.Before.RSS)/r.Seconds
	r.Fills, r.ServerUS = m.Fills, float64(m.CPU)/float64(m.Sent)
	if slow {
		err = p.client.call(ctx, "release", nil, &r.Recovered, nil)
	}
	return r, err
}

func (d *driver) slowTable(r *slowResult) {
	c := d.cfg
	d.say("slow: %d members at %v messages/s of %d bytes; %d stalled, %d trickling, %d reading %.0f %%; medians of %d alternating runs of %v",
		c.Members, c.Rate, c.Content, c.Stalled, c.Trickling, c.Slow, 100*c.Share, c.Runs, c.Duration)
	d.say("SDK: %v", r.Ramp)
	row := func(name string, m *slowMedians) []string {
		return []string{
			name, fmt.Sprintf("%.2f / %.2f", m.Ack.P50, m.Ack.P99), fmt.Sprintf("%.2f / %.2f", m.Each.P50, m.Each.P99),
			fmt.Sprintf("%.2f / %.2f", m.Last.P50, m.Last.P99), number(m.HeapSlope), number(m.RSSSlope), fmt.Sprintf("%.2f", m.ServerUS),
		}
	}
	d.table(
		[]string{"members", "ack p50/p99, ms", "delivery p50/p99, ms", "last reader p50/p99, ms", "heap, bytes/s", "RSS, bytes/s", "CPU us/delivery"},
		row("all read", &r.Base), row("some slow", &r.Slow),
		[]string{"", "", fmt.Sprintf("p99 ratio %.2f", r.EachP99), fmt.Sprintf("p99 ratio %.2f", r.LastP99), number(r.HeapSlope) + " more", number(r.RSSSlope) + " more", ""},
	)
	rows := [][]string{{"kernel buffers", "connections", "server's send buffer mean/max, KiB", "client's receive buffer mean/max, KiB"}}
	for _, h := range r.Held {
		rows = append(rows, []string{h.Kind, fmt.Sprint(h.Conns), fmt.Sprintf("%.1f / %.1f", h.UnsentMean/1024, h.UnsentMax/1024), fmt.Sprintf("%.1f / %.1f", h.UnreadMean/1024, h.UnreadMax/1024)})
	}
	d.table(rows...)
	last := r.Runs[len(r.Runs)-1]
	d.say("reading again, the slow ones caught up with %d messages in the last run; %d had to start over, of all runs", last.Recovered.Behind, last.Recovered.Resets)
}
