//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// inboundResult says what it costs to take messages in.
type inboundResult struct {
	Transport []inboundPoint `json:"transport"` // medians
	Runs      []inboundRun   `json:"runs"`
	Acked     []ackedPoint   `json:"acked"`      // medians
	AckedRuns []ackedRun     `json:"acked_runs"` // messages through the whole SDK
}

// inboundRun is one measured run of the transport with a handler that does
// nothing, or of a loop that reads and parses nothing.
type inboundRun struct {
	Bare     bool    `json:"bare"`
	PerWrite int     `json:"frames_per_write"` // of the client
	Frames   int64   `json:"frames"`
	Rate     float64 `json:"frames_per_s"`
	ServerUS float64 `json:"server_cpu_us_per_frame"`
	ClientUS float64 `json:"client_cpu_us_per_frame"`
	Allocs   float64 `json:"allocs_per_frame"`
	PerRead  float64 `json:"frames_per_read,omitempty"` // the bare loop's
	Server   float64 `json:"server_cores"`
	Client   float64 `json:"client_cores"`
	Others   float64 `json:"other_cores"`
}

// inboundPoint is the medians of one server's runs.
type inboundPoint = inboundRun

// flood is a server that takes messages in, and who sends them.
type flood struct {
	d              *driver
	bare           bool
	server, client *child
}

// inbound measures the transport, then acknowledged messages.
func (d *driver) inbound(ctx context.Context) (any, error) {
	var r inboundResult
	if err := d.inboundTransport(ctx, &r); err != nil {
		return nil, err
	}
	if err := d.inboundAcked(ctx, &r); err != nil {
		return nil, err
	}
	return r, nil
}

var inboundBatches = [...]int{1, 16}

func (d *driver) inboundTransport(ctx context.Context, r *inboundResult) error {
	var floods []*flood
	defer func() {
		for _, f := range floods {
			f.stop()
		}
	}()
	for _, bare := range []bool{false, true} {
		f := &flood{d: d, bare: bare}
		floods = append(floods, f)
		if err := f.start(ctx); err != nil {
			return err
		}
		for _, batch := range inboundBatches {
			if _, err := f.run(ctx, batch, d.cfg.Warmup); err != nil {
				return err
			}
		}
	}
	err := floods[0].profiled(ctx, func() error {
		for i := range d.cfg.Runs * len(inboundBatches) {
			for _, f := range floods {
				run, err := f.run(ctx, inboundBatches[i%len(inboundBatches)], d.cfg.Duration)
				if err != nil {
					return err
				}
				r.Runs = append(r.Runs, run)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, batch := range inboundBatches {
		for _, f := range floods {
			r.Transport = append(r.Transport, inboundMedians(r.Runs, f.bare, batch))
		}
	}
	d.inboundTable(r.Transport)
	return nil
}

func (f *flood) name() string {
	if f.bare {
		return "bare"
	}
	return "transport"
}

func (f *flood) start(ctx context.Context) (err error) {
	role := "inbound-server"
	if f.bare {
		role = "inbound-bare"
	}
	if f.server, err = start(role, f.d.stderr); err != nil {
		return err
	}
	if f.client, err = start("inbound-client", f.d.stderr); err != nil {
		return err
	}
	var at startResult
	if err := f.server.call(ctx, "start", struct{}{}, &at, nil); err != nil {
		return err
	}
	return f.client.call(ctx, "connect", dialArgs{at.Addr, f.d.cfg.Conns}, nil, nil)
}

// profiled runs f with the server's CPU profile on, if one is wanted.
func (f *flood) profiled(ctx context.Context, run func() error) error {
	file := f.d.cfg.CPUProfile
	if file == "" {
		return run()
	}
	if err := f.server.call(ctx, "profile", file, nil, nil); err != nil {
		return err
	}
	if err := run(); err != nil {
		return err
	}
	return f.server.call(ctx, "profile", "", nil, nil)
}

// stop ends both, the client first.
func (f *flood) stop() {
	for _, c := range []*child{f.client, f.server} {
		if c != nil {
			c.stop()
		}
	}
}

// run measures once.
func (f *flood) run(ctx context.Context, batch int, t time.Duration) (r inboundRun, err error) {
	bar, done := f.d.bar(fmt.Sprintf("%s, %d per write", f.name(), batch), int(t/time.Millisecond))
	defer done()
	before, err := f.load(ctx)
	if err != nil {
		return r, err
	}
	busy, err := busyTime()
	if err != nil {
		return r, err
	}
	var res floodResult
	if err := f.client.call(ctx, "flood", floodArgs{batch, t.Microseconds()}, &res, bar); err != nil {
		return r, err
	}
	l, err := f.settled(ctx, before, &res)
	if err != nil {
		return r, err
	}
	end, err := busyTime()
	if err != nil {
		return r, err
	}
	n, us := float64(max(res.Frames, 1)), float64(res.Micro)
	r = inboundRun{
		Bare: f.bare, PerWrite: batch, Frames: res.Frames, Rate: n / us * 1e6, ServerUS: float64(l.CPU) / n, ClientUS: float64(res.CPU) / n,
		Allocs: float64(l.Allocs) / n, Server: float64(l.CPU) / us, Client: float64(res.CPU) / us,
		Others: max(0, float64(end-busy-l.CPU-res.CPU)/us),
	}
	if l.Reads > 0 {
		r.PerRead = n / float64(max(l.Reads-res.Pings, 1))
	}
	return r, nil
}

func (f *flood) load(ctx context.Context) (l inboundLoad, err error) {
	err = f.server.call(ctx, "load", struct{}{}, &l, nil)
	return l, err
}

// inboundPatience is how long the last bytes may take once all is sent.
const inboundPatience = 5 * time.Second

// settled waits until the server has what was sent, and fails if it does not get
// exactly that.
func (f *flood) settled(ctx context.Context, before inboundLoad, res *floodResult) (inboundLoad, error) {
	want := res.Frames*inboundFrame + res.Pings*pingBytes
	for deadline := time.Now().Add(inboundPatience); ; {
		now, err := f.load(ctx)
		if err != nil {
			return now, err
		}
		l := now.since(before)
		if l.Bytes == want && (f.bare || l.Frames == res.Frames) {
			return l, nil
		}
		if l.Bytes > want || time.Now().After(deadline) {
			return l, fmt.Errorf("%s: %d frames and %d bytes came of %d and %d", f.name(), l.Frames, l.Bytes, res.Frames, want)
		}
		select { // asking costs the server something, too
		case <-ctx.Done():
			return l, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func inboundMedians(runs []inboundRun, bare bool, batch int) inboundPoint {
	var own []inboundRun
	for _, r := range runs {
		if r.Bare == bare && r.PerWrite == batch {
			own = append(own, r)
		}
	}
	m := func(f func(*inboundRun) float64) float64 { return median(own, f) }
	return inboundPoint{
		Bare: bare, PerWrite: batch, Frames: int64(m(func(r *inboundRun) float64 { return float64(r.Frames) })),
		Rate:     m(func(r *inboundRun) float64 { return r.Rate }),
		ServerUS: m(func(r *inboundRun) float64 { return r.ServerUS }),
		ClientUS: m(func(r *inboundRun) float64 { return r.ClientUS }),
		Allocs:   m(func(r *inboundRun) float64 { return r.Allocs }),
		PerRead:  m(func(r *inboundRun) float64 { return r.PerRead }),
		Server:   m(func(r *inboundRun) float64 { return r.Server }),
		Client:   m(func(r *inboundRun) float64 { return r.Client }),
		Others:   m(func(r *inboundRun) float64 { return r.Others }),
	}
}

func (d *driver) inboundTable(points []inboundPoint) {
	d.say("inbound: %d connections, messages of %d bytes, handler that does nothing (bare: read calls only), medians of %d alternating runs of %v",
		d.cfg.Conns, inboundPayload, d.cfg.Runs, d.cfg.Duration)
	rows := [][]string{{"server", "frames per write", "frames/s", "server CPU us/frame", "client CPU us/frame", "allocations/frame", "frames per read", "cores server/client/other"}}
	for _, p := range points {
		name, perRead := "transport", "-"
		if p.Bare {
			name, perRead = "bare", fmt.Sprintf("%.2f", p.PerRead)
		}
		rows = append(rows, []string{
			name, fmt.Sprint(p.PerWrite), number(p.Rate), fmt.Sprintf("%.3f", p.ServerUS), fmt.Sprintf("%.3f", p.ClientUS), fmt.Sprintf("%.5f", p.Allocs),
			perRead, fmt.Sprintf("%.2f/%.2f/%.2f", p.Server, p.Client, p.Others),
		})
	}
	d.table(rows...)
}
