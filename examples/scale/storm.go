//go:build linux

package main

import (
	"context"
	"fmt"
)

// stormResult says how long it takes until all are back.
type stormResult struct {
	First   ramped `json:"first"`  // connecting and joining for the first time
	Again   ramped `json:"resume"` // connecting, resuming and catching up
	Missed  int64  `json:"missed"` // messages caught up with, over all connections
	Fills   int64  `json:"fills"`  // pages that the store was asked for
	Before  sizes  `json:"before"`
	After   sizes  `json:"after"`
	Commits int64  `json:"commands"`
}

// storm cuts everybody off at once, sends to all rooms meanwhile, and has
// everybody come back and go on from where they were.
func (d *driver) storm(ctx context.Context) (any, error) {
	p, err := d.pair(ctx, false)
	if err != nil {
		return nil, err
	}
	var r stormResult
	if r.First, err = p.ramp(ctx, d.cfg.Conns, d.cfg.Rooms, 0); err != nil {
		return nil, err
	}
	if r.Before, err = p.sizes(ctx); err != nil {
		return nil, err
	}
	seen, err := p.count(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.client.call(ctx, "cut", nil, nil, nil); err != nil {
		return nil, err
	}
	if err := p.server.call(ctx, "send", sendArgs{Rooms: d.cfg.Rooms, Each: d.cfg.Missed, Content: filler(d.cfg.Content)}, nil, nil); err != nil {
		return nil, err
	}
	err = p.profiled(ctx, func() error {
		bar, done := d.bar("coming back", d.cfg.Conns)
		defer done()
		var res rampResult
		m, err := p.measure(ctx, func() (int64, int64, error) {
			err := p.client.call(ctx, "resume", nil, &res, bar)
			return res.Micro, res.CPU, err
		})
		r.Again, r.Fills, r.Commits = newRamped(res, m.CPU), m.Fills, m.Commands
		return err
	})
	if err != nil {
		return nil, err
	}
	now, err := p.count(ctx)
	if err != nil {
		return nil, err
	}
	r.Missed = now.Delivered - seen.Delivered
	if want := int64(d.cfg.Conns) * int64(d.cfg.Missed); r.Missed != want {
		return nil, fmt.Errorf("all are back, but they have caught up with %d messages of %d", r.Missed, want)
	}
	if r.After, err = p.sizes(ctx); err != nil {
		return nil, err
	}
	d.say("storm: %d connections in %d rooms, cut at once, %d messages in each room meanwhile", d.cfg.Conns, d.cfg.Rooms, d.cfg.Missed)
	row := func(name string, x ramped) []string {
		return []string{name, fmt.Sprintf("%.2f s", x.Seconds), number(x.PerSecond), number(x.ServerUS), number(x.ClientUS)}
	}
	d.table(
		[]string{"", "all there after", "per second", "server us each", "client us each"},
		row("first time", r.First), row("coming back", r.Again),
	)
	d.say("caught up with %d messages, %d pages read from the store; server RSS %s before, %s after", r.Missed, r.Fills, mib(r.Before.RSS), mib(r.After.RSS))
	return r, nil
}
