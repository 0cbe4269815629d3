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
	Ramped  sizes   `json:"after_ramp"`
	Settled sizes   `json:"after_settle"`
	PerConn float64 `json:"bytes_per_conn"` // of VmRSS, after settling, without the empty server
	Quiet   float64 `json:"quiet_cpu"`      // cores, between two heartbeats
	CPU     float64 `json:"idle_cpu"`       // cores, heartbeats included
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
		r.Ramp, err = p.ramp(ctx, d.cfg.Conns, d.cfg.Rooms, 0)
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
	if err := p.heap(ctx); err != nil {
		return nil, err
	}
	d.idleTable(&r)
	return r, nil
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
	row := func(name string, s sizes) []string {
		return []string{name, mib(s.RSS), mib(s.Heap), mib(s.Stacks), fmt.Sprint(s.FDs), fmt.Sprint(s.Goroutines)}
	}
	d.table(
		[]string{"server", "RSS", "heap", "stacks", "fds", "goroutines"},
		row("empty", r.Before), row("after the ramp", r.Ramped), row("settled", r.Settled),
	)
	n := float64(r.Ramp.Conns)
	d.table(
		[]string{"bytes per connection", number(r.PerConn), fmt.Sprintf("(right after the ramp %s)", number(float64(r.Ramped.RSS-r.Before.RSS)/n))},
		[]string{"CPU between heartbeats", fmt.Sprintf("%.2f %% of a core", 100*r.Quiet), ""},
		[]string{"CPU over all", fmt.Sprintf("%.2f %% of a core", 100*r.CPU), fmt.Sprintf("(%d heartbeats)", r.Pings)},
		[]string{"connected and joined", number(r.Ramp.PerSecond) + "/s", fmt.Sprintf("(%.1f s; server %s us, client %s us of CPU each)", r.Ramp.Seconds, number(r.Ramp.ServerUS), number(r.Ramp.ClientUS))},
	)
}
