//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"
)

// driver is the parent: it starts servers and clients, gives them orders and
// makes a report of the answers.
type driver struct {
	cfg            *config
	stdout, stderr io.Writer
	pairs          []*pair
	group          *group
}

// pair is a server process and the client process that talks to it.
type pair struct {
	d      *driver
	bare   bool
	server *child
	client *child
	addr   string
	key    []byte
}

// pair starts a server, bare or not, and its clients.
func (d *driver) pair(ctx context.Context, bare bool) (*pair, error) {
	p := &pair{d: d, bare: bare, key: []byte(rand.Text() + rand.Text())}
	d.pairs = append(d.pairs, p)
	role := "server"
	if bare {
		role = "bare-server"
	}
	var err error
	if p.server, err = start(role, d.stderr); err != nil {
		return nil, err
	}
	if p.client, err = start("client", d.stderr); err != nil {
		return nil, err
	}
	var res startResult
	err = p.server.call(ctx, "start", startArgs{Door: d.cfg.Door, Key: p.key, MemProfile: d.cfg.MemProfile != ""}, &res, nil)
	p.addr = res.Addr
	return p, err
}

// stop ends all children, the clients first, who would else see it as a fault.
func (d *driver) stop() {
	for _, p := range d.pairs {
		for _, c := range []*child{p.client, p.server} {
			if c != nil {
				c.stop()
			}
		}
	}
	d.pairs = nil
	if d.group != nil {
		d.group.stop()
		d.group = nil
	}
}

// ramp connects the clients.
func (p *pair) ramp(ctx context.Context, members, rooms, publishers int) (ramped, error) {
	bar, done := p.d.bar("connecting", members+publishers)
	defer done()
	before, err := p.load(ctx)
	if err != nil {
		return ramped{}, err
	}
	var res rampResult
	args := connectArgs{Addrs: []string{p.addr}, Key: p.key, Members: members, Rooms: rooms, Publishers: publishers, Content: p.d.cfg.Content, Once: p.d.cfg.Decode == "once", AtOnce: inFlight}
	if err := p.client.call(ctx, "connect", args, &res, bar); err != nil {
		return ramped{}, err
	}
	after, err := p.load(ctx)
	return newRamped(res, after.CPU-before.CPU), err
}

// ramped says how connecting went.
type ramped struct {
	Conns     int     `json:"conns"`
	Seconds   float64 `json:"s"`
	PerSecond float64 `json:"conns_per_s"`
	ServerUS  float64 `json:"server_cpu_us_per_conn"`
	ClientUS  float64 `json:"client_cpu_us_per_conn"`
}

func newRamped(res rampResult, serverCPU int64) ramped {
	s, n := float64(res.Micro)/1e6, float64(res.Conns)
	return ramped{res.Conns, s, n / s, float64(serverCPU) / n, float64(res.CPU) / n}
}

func (p *pair) load(ctx context.Context) (l load, err error) {
	err = p.server.call(ctx, "load", nil, &l, nil)
	return l, err
}

func (p *pair) sizes(ctx context.Context) (s sizes, err error) {
	err = p.server.call(ctx, "sizes", nil, &s, nil)
	return s, err
}

func (p *pair) count(ctx context.Context) (c counts, err error) {
	err = p.client.call(ctx, "count", nil, &c, nil)
	return c, err
}

// profiled runs f with the server's CPU profile on, if one is wanted.
func (p *pair) profiled(ctx context.Context, f func() error) error {
	if p.d.cfg.CPUProfile == "" || p.bare {
		return f()
	}
	if err := p.server.call(ctx, "profile", p.d.cfg.CPUProfile, nil, nil); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return p.server.call(ctx, "profile", "", nil, nil)
}

// heap writes the server's heap profile, if one is wanted.
func (p *pair) heap(ctx context.Context) error {
	if p.d.cfg.MemProfile == "" {
		return nil
	}
	return p.server.call(ctx, "heap", p.d.cfg.MemProfile, nil, nil)
}

// bar shows how far something is, where somebody looks on.
func (d *driver) bar(what string, total int) (set func(int), done func()) {
	f, ok := d.stderr.(interface{ Fd() uintptr })
	if ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		ok = err == nil
	}
	b := progressbar.NewOptions(max(total, 1),
		progressbar.OptionSetWriter(d.stderr), progressbar.OptionSetVisibility(ok), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
	return func(n int) { _ = b.Set(min(n, total)) }, func() { _ = b.Finish() }
}

// wait sleeps, unless ctx ends.
func (d *driver) wait(ctx context.Context, what string, t time.Duration) error {
	set, done := d.bar(what, int(t/time.Second))
	defer done()
	begin := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	end := time.NewTimer(t)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			set(int(time.Since(begin) / time.Second))
		case <-end.C:
			return nil
		}
	}
}

// say prints a line of the report as soon as it is known.
func (d *driver) say(format string, args ...any) { _, _ = fmt.Fprintf(d.stdout, format+"\n", args...) }
