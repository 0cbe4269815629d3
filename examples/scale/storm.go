//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

	Restarted bool    `json:"restarted"`    // by another process, over the same store
	Restart   float64 `json:"restart_ms"`   // from the kill until the new server listens
	Offline   int64   `json:"sent_offline"` // messages, to all rooms, while nobody was connected
}

// storm cuts everybody off at once, sends to all rooms meanwhile, and has
// everybody come back, all at the same moment, and go on from where they were.
//
// With -restart the server is killed, too, and all come back to another
// process. Positions go on only where the store outlives the server: that is
// then a SQLite file, unless -store names another.
func (d *driver) storm(ctx context.Context) (any, error) {
	store, remove, err := d.stormStore()
	if err != nil {
		return nil, err
	}
	defer remove()
	defer d.stop() // before the store's file goes
	p, err := d.pairOver(ctx, false, store)
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
	if d.cfg.Restart {
		r.Restarted = true
		if r.Restart, err = p.restart(ctx); err != nil {
			return nil, err
		}
	}
	r.Offline = int64(d.cfg.Rooms) * int64(d.cfg.Missed)
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
	how := "connections cut, the server lives on"
	if r.Restarted {
		how = fmt.Sprintf("server killed, another one over the same %s listened after %.0f ms", storeKind(store), r.Restart)
	}
	d.say("storm: %d connections in %d rooms, %s; %d messages in each room meanwhile; then all return at once", d.cfg.Conns, d.cfg.Rooms, how, d.cfg.Missed)
	row := func(name string, x ramped) []string {
		return []string{name, fmt.Sprintf("%.2f", x.Seconds), number(x.PerSecond), number(x.ServerUS), number(x.ClientUS)}
	}
	d.table(
		[]string{"upgrade, token, join", "all there after, s", "connections/s", "server CPU us/connection", "client CPU us/connection"},
		row("first time", r.First), row("coming back", r.Again),
	)
	d.say("caught up with %d messages, %d pages read from the store; server RSS %s before, %s after", r.Missed, r.Fills, mib(r.Before.RSS), mib(r.After.RSS))
	return r, nil
}

// stormStore is where messages are kept, and what removes it.
func (d *driver) stormStore() (url string, remove func(), err error) {
	if d.cfg.Store != "" || !d.cfg.Restart {
		return d.cfg.Store, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "scale-")
	if err != nil {
		return "", nil, err
	}
	return "sqlite:" + filepath.Join(dir, "chat.db"), func() { _ = os.RemoveAll(dir) }, nil
}

// restart ends the server as a crash would and starts another one. It returns
// how many milliseconds there was none.
func (p *pair) restart(ctx context.Context) (float64, error) {
	begin := clock()
	if err := p.server.kill(); err != nil {
		return 0, err
	}
	err := p.serve(ctx)
	return float64(clock()-begin) / 1e3, err
}
