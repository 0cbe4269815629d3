//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// peerRun is one measurement of one server. What it does not measure is left out.
type peerRun struct {
	Case   string `json:"case"`
	Load   string `json:"load,omitempty"`
	Server string `json:"server"`
	Failed string `json:"failed,omitempty"` // why there are no figures
	Harm   harm   `json:"harm,omitzero"`

	Ramp ramped  `json:"ramp,omitzero"`
	RSS  float64 `json:"rss_bytes_per_conn,omitempty"` // above what it was without any
	FDs  float64 `json:"fds_per_conn,omitempty"`

	Seconds  float64 `json:"s,omitempty"`
	Acked    float64 `json:"messages_per_s,omitempty"`
	Received float64 `json:"deliveries_per_s,omitempty"`
	ServerUS float64 `json:"server_cpu_us_per_delivery,omitempty"`
	Cores    float64 `json:"server_cores,omitempty"`
	Client   float64 `json:"client_cores,omitempty"`
	Others   float64 `json:"other_cores,omitempty"`
	Ack      latency `json:"ack,omitzero"`
	Each     latency `json:"each,omitzero"`
	Last     latency `json:"last,omitzero"`
}

// peers measures the SDK, the bare server and the other libraries in turn. Only
// one of them is alive at any time.
func (d *driver) peers(ctx context.Context) (any, error) {
	bin, remove, err := d.buildPeers(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	cases := d.cfg.peerCases()
	_, _ = fmt.Fprintf(d.stderr, "peers: about %s, if nothing else keeps this machine busy\n", d.peerEstimate(cases).Round(time.Minute))
	var res peerResult
	for _, k := range cases {
		runs, err := d.peerCase(ctx, &k, bin)
		if err != nil {
			return nil, err
		}
		res.Runs = append(res.Runs, runs...)
		tables := peerTablesOf(&k, d.rivals(&k), runs)
		res.Tables = append(res.Tables, tables...)
		for i := range tables {
			d.peerTable(&k, &tables[i])
		}
	}
	return res, nil
}

// About what it takes to start a server and its clients, and how many connections are
// made in a second.
const (
	peerStart   = 3 * time.Second
	peerConnect = 1500
)

// peerEstimate is about how long the cases take.
func (d *driver) peerEstimate(cases []peerCase) (all time.Duration) {
	for i := range cases {
		k := &cases[i]
		each, rounds := peerStart+time.Duration(k.members)*time.Second/peerConnect, d.cfg.Runs
		if len(k.loads) == 0 {
			rounds = min(rounds, maxIdleRuns)
		} else {
			each += d.cfg.Warmup + time.Duration(len(k.loads))*(d.cfg.Duration+time.Second)
		}
		if k.idle {
			each += d.cfg.Settle
		}
		all += time.Duration(rounds*len(d.rivals(k))) * each
	}
	return all
}

// rivals are the servers of a case. Where connections do not come and go it
// does not matter through which door they have come.
func (d *driver) rivals(k *peerCase) []string {
	list := []string{rivalSDK}
	if k.idle || k.connect {
		list = append(list, rivalRaw)
	}
	return append(append(list, rivalBare), d.cfg.Peers...)
}

// maxIdleRuns bounds the runs of what varies little and takes long.
const maxIdleRuns = 3

// givenUp is after how many failures a load is spared a server.
const givenUp = 2

func (d *driver) peerCase(ctx context.Context, k *peerCase, bin string) (all []peerRun, err error) {
	rounds := d.cfg.Runs
	if len(k.loads) == 0 {
		rounds = min(rounds, maxIdleRuns)
	}
	failures := make(map[string]int)
	for i := range rounds {
		for _, name := range d.rivals(k) {
			bar, done := d.bar(fmt.Sprintf("%s: %d of %d, %s", k.name, i+1, rounds, name), 1)
			bar(0)
			runs, err := d.peerRound(ctx, k, name, bin, failures)
			done()
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", k.name, name, err)
			}
			all = append(all, runs...)
		}
	}
	return all, nil
}

// peerRound measures a server once in all that the case asks for. A server that
// fails is replaced by a fresh one for the next load.
func (d *driver) peerRound(ctx context.Context, k *peerCase, name, bin string, failures map[string]int) (runs []peerRun, err error) {
	var r *rival
	defer func() {
		if r != nil {
			r.stop()
		}
	}()
	loads := k.loads
	if len(loads) == 0 {
		loads = []peerLoad{{}}
	}
	for i := range loads {
		id := name + "\n" + loads[i].name
		if failures[id] >= givenUp {
			continue
		}
		run := peerRun{Case: k.name, Load: loads[i].name, Server: name}
		if r == nil {
			if r, err = d.rival(ctx, name, bin); err != nil {
				return nil, err
			}
			if err = r.connect(ctx, k, &run); err == nil && len(k.loads) > 0 {
				err = r.warm(ctx, k, &loads[0])
			}
		}
		if err == nil && len(k.loads) > 0 {
			err = r.measure(ctx, k, &loads[i], &run)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			run = peerRun{Case: k.name, Load: loads[i].name, Server: name, Failed: err.Error()}
			_ = r.client.call(ctx, "damage", nil, &run.Harm, nil) // nothing, if the clients are gone too
			failures[id]++
			r.stop()
			r, err = nil, nil
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// connect connects the clients, and measures what that costs.
func (r *rival) connect(ctx context.Context, k *peerCase, run *peerRun) error {
	rss, fds, err := r.sizes()
	if err != nil {
		return err
	}
	cpu, err := r.cpu()
	if err != nil {
		return err
	}
	var res rampResult
	err = r.client.call(ctx, "connect", connectArgs{
		Addrs: []string{r.addr}, Key: r.key, Members: k.members, Rooms: k.rooms, Publishers: k.publishers,
		Content: r.d.cfg.Content, Once: r.d.cfg.Decode == "once", AtOnce: inFlight,
	}, &res, nil)
	if err != nil {
		return err
	}
	end, err := r.cpu()
	if err != nil || len(k.loads) > 0 {
		return err
	}
	run.Ramp = newRamped(res, end-cpu)
	if !k.idle {
		return nil
	}
	if err := r.d.wait(ctx, r.name+": settling", r.d.cfg.Settle); err != nil {
		return err
	}
	rss2, fds2, err := r.sizes()
	n := float64(res.Conns)
	run.RSS, run.FDs = float64(rss2-rss)/n, float64(fds2-fds)/n
	if err == nil {
		err = r.client.call(ctx, "count", nil, nil, nil) // an error if a connection has ended meanwhile
	}
	return err
}

// warm puts a load on for a while that does not count.
func (r *rival) warm(ctx context.Context, k *peerCase, l *peerLoad) error {
	if r.d.cfg.Warmup <= 0 {
		return nil
	}
	return r.load(ctx, k, l, r.d.cfg.Warmup, &peerOutcome{})
}

// peerOutcome is what the clients tell of a load, whichever it was.
type peerOutcome struct {
	Messages  int64   `json:"messages"`
	Acked     int64   `json:"acked"`
	Delivered int64   `json:"delivered"`
	Micro     int64   `json:"us"`
	CPU       int64   `json:"client_cpu"`
	Ack       latency `json:"ack"`
	Each      latency `json:"each"`
	Last      latency `json:"last"`
}

func (r *rival) load(ctx context.Context, k *peerCase, l *peerLoad, t time.Duration, res *peerOutcome) error {
	us := t.Microseconds()
	switch {
	case l.window > 0:
		return r.client.call(ctx, "fanout", fanoutArgs{Window: l.window, Micro: us}, res, nil)
	case l.rate > 0:
		return r.client.call(ctx, "paced", pacedArgs{pacing{l.rate, us}, k.rooms}, res, nil)
	}
	return r.client.call(ctx, "rooms", roomsArgs{Micro: us}, res, nil)
}

// measure measures a load.
func (r *rival) measure(ctx context.Context, k *peerCase, l *peerLoad, run *peerRun) error {
	cpu, err := r.cpu()
	if err != nil {
		return err
	}
	busy, err := busyTime()
	if err != nil {
		return err
	}
	var res peerOutcome
	if err := r.load(ctx, k, l, r.d.cfg.Duration, &res); err != nil {
		return err
	}
	end, err := r.cpu()
	if err != nil {
		return err
	}
	used, err := busyTime()
	if err != nil {
		return err
	}
	us, n, server := float64(res.Micro), float64(res.Delivered), float64(end-cpu)
	run.Seconds, run.Acked, run.Received = us/1e6, float64(max(res.Messages, res.Acked))/us*1e6, n/us*1e6
	run.ServerUS, run.Cores, run.Client = server/n, server/us, float64(res.CPU)/us
	run.Others = max(0, float64(used-busy-res.CPU)/us-run.Cores)
	run.Ack, run.Each, run.Last = res.Ack, res.Each, res.Last
	return nil
}
