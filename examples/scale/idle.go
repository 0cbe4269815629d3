//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// idleResult says what connections cost that do nothing.
type idleResult struct {
	Ramp    ramped  `json:"ramp"`
	Before  sizes   `json:"before"`
	Steps   []sizes `json:"steps,omitempty"` // during the ramp
	Ramped  sizes   `json:"after_ramp"`
	Settled sizes   `json:"after_settle"`
	PerConn float64 `json:"bytes_per_conn"` // of VmRSS, after settling, without the empty server
	FDs     float64 `json:"fds_per_conn"`
	Quiet   float64 `json:"quiet_cpu"` // cores, between two heartbeats
	CPU     float64 `json:"idle_cpu"`  // cores, heartbeats included
	Pings   int64   `json:"pings"`
}

// idle connects everybody, has them join, and then nothing happens.
func (d *driver) idle(ctx context.Context) (any, error) {
	var r idleResult
	p, err := d.pair(ctx, false)
	if err != nil {
		return nil, err
	}
	if r.Before, err = p.sizes(ctx); err != nil {
		return nil, err
	}
	err = p.profiled(ctx, func() (err error) {
		r.Ramp, r.Steps, err = p.idleRamp(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if r.Ramped, err = p.sizes(ctx); err != nil {
		return nil, err
	}
	if r.Ramped.Conns != d.cfg.Conns || r.Ramped.RoomsLive != d.cfg.Rooms {
		return nil, fmt.Errorf("%d connections in %d rooms, the server says %d in %d", d.cfg.Conns, d.cfg.Rooms, r.Ramped.Conns, r.Ramped.RoomsLive)
	}
	// Presence and garbage of the ramp are over after a twentieth of a minute,
	// and no ping is due before 25 s.
	rest := d.cfg.Settle / 20
	if err := d.wait(ctx, "settling", rest); err != nil {
		return nil, err
	}
	before, err := p.count(ctx)
	if err != nil {
		return nil, err
	}
	quiet := d.cfg.Settle/3 - rest
	if r.Quiet, err = p.cores(ctx, quiet); err != nil {
		return nil, err
	}
	busy, err := p.cores(ctx, d.cfg.Settle-rest-quiet)
	if err != nil {
		return nil, err
	}
	all := d.cfg.Settle - rest
	r.CPU = (r.Quiet*quiet.Seconds() + busy*(all-quiet).Seconds()) / all.Seconds()
	after, err := p.count(ctx) // fails if any connection has
	if err != nil {
		return nil, err
	}
	r.Pings = after.Pings - before.Pings
	if r.Settled, err = p.sizes(ctx); err != nil {
		return nil, err
	}
	if r.Settled.Conns != d.cfg.Conns {
		return nil, fmt.Errorf("%d connections of %d are left", r.Settled.Conns, d.cfg.Conns)
	}
	r.PerConn = float64(r.Settled.RSS-r.Before.RSS) / float64(d.cfg.Conns)
	r.FDs = float64(r.Settled.FDs-r.Before.FDs) / float64(d.cfg.Conns)
	if err := p.heap(ctx); err != nil {
		return nil, err
	}
	d.idleTable(&r)
	return r, d.plotIdle(&r)
}

// steps is how many looks at memory a ramp has that is plotted.
const steps = 10

// idleRamp connects everybody: in steps, with a look at the server's memory
// after each, where a plot is wanted, else at once.
func (p *pair) idleRamp(ctx context.Context) (sum ramped, looks []sizes, err error) {
	cfg := p.d.cfg
	if cfg.Plot == "" || cfg.Conns < steps {
		sum, err = p.ramp(ctx, cfg.Conns, cfg.Rooms, 0)
		return sum, nil, err
	}
	for i := range steps {
		upTo := cfg.Conns * (i + 1) / steps
		var r ramped
		if i == 0 {
			r, err = p.rampSome(ctx, cfg.Conns, cfg.Rooms, 0, upTo)
		} else {
			r, err = p.open(ctx, "more", upTo, upTo)
		}
		if err != nil {
			return sum, nil, err
		}
		sum = sum.plus(r)
		// What the handshakes have left is collected after a while.
		if err := p.d.wait(ctx, "settling a little", min(cfg.Settle/20, 2*time.Second)); err != nil {
			return sum, nil, err
		}
		s, err := p.sizes(ctx)
		if err != nil {
			return sum, nil, err
		}
		looks = append(looks, s)
	}
	return sum, looks, nil
}

// cores is how much CPU the server uses over a time.
func (p *pair) cores(ctx context.Context, t time.Duration) (float64, error) {
	before, err := p.load(ctx)
	if err != nil {
		return 0, err
	}
	if err := p.d.wait(ctx, "idle", t); err != nil {
		return 0, err
	}
	after, err := p.load(ctx)
	return float64(after.CPU-before.CPU) / 1e6 / t.Seconds(), err
}

func (d *driver) idleTable(r *idleResult) {
	d.say("idle: %d connections in %d rooms, door %s", r.Ramp.Conns, d.cfg.Rooms, d.cfg.Door)
	d.say("SDK: %v", r.Ramp)
	row := func(name string, s sizes) []string {
		return []string{name, mib(s.RSS), mib(s.Anon), mib(s.File), mib(s.Heap), mib(s.Stacks), fmt.Sprint(s.FDs), fmt.Sprint(s.Goroutines)}
	}
	d.table(
		[]string{"server", "VmRSS", "RssAnon", "RssFile", "heap", "stacks", "fds", "goroutines"},
		row("empty", r.Before), row("after the ramp", r.Ramped), row("settled", r.Settled),
	)
	n := float64(r.Ramp.Conns)
	d.table(
		[]string{"VmRSS per connection", fmt.Sprintf("%.0f bytes", r.PerConn), fmt.Sprintf("(RssAnon %.0f; VmRSS right after the ramp %.0f)", float64(r.Settled.Anon-r.Before.Anon)/n, float64(r.Ramped.RSS-r.Before.RSS)/n)},
		[]string{"fds per connection", fmt.Sprintf("%.2f", r.FDs), ""},
		[]string{"CPU between heartbeats", fmt.Sprintf("%.2f %% of a core", 100*r.Quiet), ""},
		[]string{"CPU over all", fmt.Sprintf("%.2f %% of a core", 100*r.CPU), fmt.Sprintf("(%d heartbeats)", r.Pings)},
	)
}
