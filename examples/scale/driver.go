//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
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
	addr   string // once the server has one
	key    []byte
	store  string // the URL; empty: in memory
}

// pair starts a server, bare or not, and its clients.
func (d *driver) pair(ctx context.Context, bare bool) (*pair, error) {
	return d.pairOver(ctx, bare, "")
}

// pairOver starts a server over a store, and its clients.
func (d *driver) pairOver(ctx context.Context, bare bool, store string) (*pair, error) {
	p := &pair{d: d, bare: bare, key: []byte(rand.Text() + rand.Text()), store: store}
	d.pairs = append(d.pairs, p)
	if err := p.serve(ctx); err != nil {
		return nil, err
	}
	var err error
	p.client, err = start("client", d.stderr)
	return p, err
}

// serve starts the server, at the address that an earlier one has had.
func (p *pair) serve(ctx context.Context) (err error) {
	role := "server"
	if p.bare {
		role = "bare-server"
	}
	if p.server, err = start(role, p.d.stderr); err != nil {
		return err
	}
	var res startResult
	args := startArgs{Addr: p.addr, Door: p.d.cfg.Door, Key: p.key, Store: p.store, MemProfile: p.d.cfg.MemProfile != ""}
	err = p.server.call(ctx, "start", args, &res, nil)
	p.addr = res.Addr
	return err
}

// both starts the SDK and the bare server and connects as many clients to each.
func (d *driver) both(ctx context.Context, members, rooms, publishers int) (pairs []*pair, ramps []ramped, err error) {
	for _, bare := range []bool{false, true} {
		p, err := d.pair(ctx, bare)
		if err != nil {
			return nil, nil, err
		}
		r, err := p.ramp(ctx, members, rooms, publishers)
		if err != nil {
			return nil, nil, err
		}
		pairs, ramps = append(pairs, p), append(ramps, r)
	}
	return pairs, ramps, nil
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
	return p.rampSome(ctx, members, rooms, publishers, members+publishers)
}

// rampSome connects the first of them; the order "more" connects others.
func (p *pair) rampSome(ctx context.Context, members, rooms, publishers, now int) (ramped, error) {
	return p.open(ctx, "connect", connectArgs{
		Addrs: []string{p.addr}, Key: p.key, Members: members, Rooms: rooms, Publishers: publishers, Now: now,
		Content: p.d.cfg.Content, Once: p.d.cfg.Decode == "once", AtOnce: inFlight,
	}, now)
}

// open has n connections opened.
func (p *pair) open(ctx context.Context, op string, args any, n int) (ramped, error) {
	bar, done := p.d.bar(p.name()+": connecting", n)
	defer done()
	before, err := p.load(ctx)
	if err != nil {
		return ramped{}, err
	}
	var res rampResult
	if err := p.client.call(ctx, op, args, &res, bar); err != nil {
		return ramped{}, err
	}
	after, err := p.load(ctx)
	return newRamped(res, after.CPU-before.CPU), err
}

// ramped says how connecting went: upgrade, token and join of each.
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

// String is the line that every mode prints.
func (r ramped) String() string {
	return fmt.Sprintf("connect (upgrade, token, join): %d in %.2f s, %s/s; CPU per connection: server %s us, client %s us",
		r.Conns, r.Seconds, number(r.PerSecond), number(r.ServerUS), number(r.ClientUS))
}

// plus is the two ramps one after the other.
func (r ramped) plus(b ramped) ramped {
	n, s := float64(r.Conns+b.Conns), r.Seconds+b.Seconds
	mean := func(x, y float64) float64 { return (x*float64(r.Conns) + y*float64(b.Conns)) / n }
	return ramped{r.Conns + b.Conns, s, n / s, mean(r.ServerUS, b.ServerUS), mean(r.ClientUS, b.ClientUS)}
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

// plainEvery is how often it is said how far something is, where nobody looks on.
const plainEvery = 10 * time.Second

// plainBar is bar for pipes and files: a line at the start, and one now and then.
func (d *driver) plainBar(what string, total int) (set func(int), done func()) {
	begin, next := time.Now(), time.Now().Add(plainEvery)
	_, _ = fmt.Fprintln(d.stderr, what)
	var mu sync.Mutex // children report on their own
	return func(n int) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.After(next) {
			next = now.Add(plainEvery)
			_, _ = fmt.Fprintf(d.stderr, "%s: %d of %d after %s\n", what, min(n, total), total, now.Sub(begin).Round(time.Second))
		}
	}, func() {}
}

// bar shows how far something is.
func (d *driver) bar(what string, total int) (set func(int), done func()) {
	f, ok := d.stderr.(interface{ Fd() uintptr })
	if ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		ok = err == nil
	}
	if !ok {
		return d.plainBar(what, total)
	}
	b := progressbar.NewOptions(max(total, 1),
		progressbar.OptionSetWriter(d.stderr), progressbar.OptionSetVisibility(true), progressbar.OptionSetDescription(what),
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
