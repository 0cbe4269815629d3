//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// probeEvery is the time between two pings.
const probeEvery = 5 * time.Millisecond

// What is probed, and when.
const (
	probeIdle    = "idle"    // the server while nothing happens
	probeLoaded  = "loaded"  // the server while it fans out
	probeControl = "control" // another server, that does nothing, meanwhile
)

// probeRun is one measured run.
type probeRun struct {
	What      string  `json:"what"`
	Delivered float64 `json:"deliveries_per_s,omitempty"`
	ServerUS  float64 `json:"server_cpu_us_per_delivery,omitempty"`
	Server    float64 `json:"server_cores"`
	Client    float64 `json:"client_cores"`
	Others    float64 `json:"other_cores"` // with the prober and the idle server
	probed
}

// probeResult says how soon an event loop comes to what has come in.
type probeResult struct {
	Ramp     ramped     `json:"ramp"`
	Realtime bool       `json:"realtime"` // how the prober is scheduled
	Medians  []probeRun `json:"medians"`
	Runs     []probeRun `json:"runs"`
}

// probing is a server under load with its clients, a server without, and who
// pings both.
type probing struct {
	d      *driver
	p      *pair
	idle   *child
	prober *child
}

// probe measures the latency of the event loops while a large room is fanned out
// without pause.
func (d *driver) probe(ctx context.Context) (any, error) {
	b := &probing{d: d}
	defer b.stop()
	var r probeResult
	if err := b.start(ctx, &r); err != nil {
		return nil, err
	}
	for range d.cfg.Runs {
		for _, what := range []string{probeIdle, probeLoaded, probeControl} {
			run, err := b.run(ctx, what)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			r.Runs = append(r.Runs, run)
		}
	}
	for _, what := range []string{probeIdle, probeLoaded, probeControl} {
		r.Medians = append(r.Medians, probeMedians(r.Runs, what))
	}
	d.probeTable(&r)
	return r, nil
}

func (b *probing) start(ctx context.Context, r *probeResult) (err error) {
	cfg := b.d.cfg
	if b.p, err = b.d.pair(ctx, false); err != nil {
		return err
	}
	if r.Ramp, err = b.p.ramp(ctx, cfg.Members, 1, cfg.Publishers); err != nil {
		return err
	}
	if b.idle, err = start("server", b.d.stderr); err != nil {
		return err
	}
	var at startResult
	if err := b.idle.call(ctx, "start", startArgs{Door: cfg.Door, Key: b.p.key}, &at, nil); err != nil {
		return err
	}
	if b.prober, err = start("prober", b.d.stderr); err != nil {
		return err
	}
	args := proberArgs{Addrs: []string{b.p.addr, at.Addr}, Source: cfg.Members + cfg.Publishers}
	for i := range args.Addrs {
		t, err := token(b.p.key, args.Source+i)
		if err != nil {
			return err
		}
		args.Tokens = append(args.Tokens, t)
	}
	var res proberResult
	if err := b.prober.call(ctx, "connect", args, &res, nil); err != nil {
		return err
	}
	r.Realtime = res.Realtime
	return b.p.warm(ctx, cfg.Window)
}

// stop ends what the driver does not know of.
func (b *probing) stop() {
	for _, c := range []*child{b.prober, b.idle} {
		if c != nil {
			c.stop()
		}
	}
}

// run measures once.
func (b *probing) run(ctx context.Context, what string) (r probeRun, err error) {
	bar, done := b.d.bar("probing: "+what, int(b.d.cfg.Duration/time.Millisecond))
	defer done()
	r.What = what
	server := 0
	if what == probeControl {
		server = 1
	}
	probe := func() error {
		args := probeArgs{Server: server, Every: probeEvery.Microseconds(), Micro: b.d.cfg.Duration.Microseconds()}
		return b.prober.call(ctx, "probe", args, &r.probed, bar)
	}
	var res fanoutResult
	m, err := b.p.measure(ctx, func() (int64, int64, error) {
		if what == probeIdle {
			begin := clock()
			err := probe()
			return max(clock()-begin, 1), 0, err
		}
		err := b.loaded(ctx, &res, probe)
		return res.Micro, res.CPU, err
	})
	if err != nil {
		return r, err
	}
	r.Server, r.Client, r.Others = float64(m.CPU)/1e6/m.seconds, m.client, m.others
	if n := float64(res.Delivered); n > 0 {
		r.Delivered, r.ServerUS = n/m.seconds, float64(m.CPU)/n
	}
	return r, nil
}

// probeAfter is how much longer the load lasts than the probe, which begins when
// the load does.
const probeAfter = 300 * time.Millisecond

// loaded runs probe while messages are being fanned out.
func (b *probing) loaded(ctx context.Context, res *fanoutResult, probe func() error) error {
	ended := make(chan error, 1)
	go func() {
		args := fanoutArgs{Window: b.d.cfg.Window, Micro: (b.d.cfg.Duration + probeAfter).Microseconds()}
		ended <- b.p.client.call(ctx, "fanout", args, res, nil)
	}()
	err := probe()
	return errors.Join(err, <-ended)
}

func probeMedians(runs []probeRun, what string) probeRun {
	var own []probeRun
	for _, r := range runs {
		if r.What == what {
			own = append(own, r)
		}
	}
	m := func(f func(*probeRun) float64) float64 { return median(own, f) }
	return probeRun{
		What:      what,
		Delivered: m(func(r *probeRun) float64 { return r.Delivered }),
		ServerUS:  m(func(r *probeRun) float64 { return r.ServerUS }),
		Server:    m(func(r *probeRun) float64 { return r.Server }),
		Client:    m(func(r *probeRun) float64 { return r.Client }),
		Others:    m(func(r *probeRun) float64 { return r.Others }),
		probed: probed{
			Pings: int64(m(func(r *probeRun) float64 { return float64(r.Pings) })),
			Due:   medianLatency(own, func(r *probeRun) latency { return r.Due }),
			Late:  medianLatency(own, func(r *probeRun) latency { return r.Late }),
			Trip:  medianLatency(own, func(r *probeRun) latency { return r.Trip }),
		},
	}
}

func (d *driver) probeTable(r *probeResult) {
	scheduled := "like any other process"
	if r.Realtime {
		scheduled = "before all others (SCHED_FIFO)"
	}
	d.say("event loop: a ping every %v while %d members get all they can, window %d; prober scheduled %s; medians of %d alternating runs of %v",
		probeEvery, d.cfg.Members, d.cfg.Window, scheduled, d.cfg.Runs, d.cfg.Duration)
	d.say("SDK: %v", r.Ramp)
	const four = "p50/p90/p99/max, ms"
	names := map[string]string{probeIdle: "server, idle", probeLoaded: "server, fanning out", probeControl: "another server, idle, meanwhile"}
	cell := func(l latency) string { return fmt.Sprintf("%.2f / %.2f / %.2f / %.2f", l.P50, l.P90, l.P99, l.Max) }
	rows := [][]string{{"pinged", "from due " + four, "sent late " + four, "from sent " + four, "deliveries/s", "CPU us/delivery", "cores server/client/other"}}
	for _, m := range r.Medians {
		rows = append(rows, []string{
			names[m.What], cell(m.Due), cell(m.Late), cell(m.Trip), number(m.Delivered), fmt.Sprintf("%.3f", m.ServerUS),
			fmt.Sprintf("%.2f/%.2f/%.2f", m.Server, m.Client, m.Others),
		})
	}
	d.table(rows...)
}
