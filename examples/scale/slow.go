//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// slowResult sets a room in which everybody reads beside the same room in
// which some do not.
type slowResult struct {
	Stalled int      `json:"stalled"`
	Base    slowHalf `json:"all_read"`
	Slow    slowHalf `json:"some_stalled"`
}

// slowHalf is one of the two.
type slowHalf struct {
	Rate    float64 `json:"deliveries_per_s"` // to those who read
	Sent    int64   `json:"messages"`
	RSS     []int64 `json:"rss"`           // over the time
	Growth  float64 `json:"bytes_per_msg"` // of RSS, over the second half of the time
	Refused int64   `json:"refused"`
	Fills   int64   `json:"fills"`
	Ack     latency `json:"ack"`
	Last    latency `json:"last"` // of those who read
}

// slow shows what members that do not read cost the server and the others. The
// store keeps messages and nonces, so RSS grows with them either way.
func (d *driver) slow(ctx context.Context) (any, error) {
	p, err := d.pair(ctx, false)
	if err != nil {
		return nil, err
	}
	if _, err := p.ramp(ctx, d.cfg.Members, 1, d.cfg.Publishers); err != nil {
		return nil, err
	}
	if err := p.warm(ctx, d.cfg.Window); err != nil {
		return nil, err
	}
	r := slowResult{Stalled: d.cfg.Stalled}
	if r.Base, err = p.slowHalf(ctx, "all read"); err != nil {
		return nil, err
	}
	if err := p.client.call(ctx, "stall", d.cfg.Stalled, nil, nil); err != nil {
		return nil, err
	}
	if r.Slow, err = p.slowHalf(ctx, "some stalled"); err != nil {
		return nil, err
	}
	d.say("slow: %d members, window %d, then %d of them stop reading", d.cfg.Members, d.cfg.Window, d.cfg.Stalled)
	rows := [][]string{{"", "deliveries/s", "messages", "RSS", "growth B/message", "ack p50/p99 ms", "last reader p50/p99 ms", "refused", "pages"}}
	for i, h := range []slowHalf{r.Base, r.Slow} {
		rows = append(rows, []string{
			[]string{"all read", "some stalled"}[i], number(h.Rate), fmt.Sprint(h.Sent), mib(h.RSS[0]) + " to " + mib(h.RSS[len(h.RSS)-1]),
			fmt.Sprintf("%.0f", h.Growth), fmt.Sprintf("%.2f / %.2f", h.Ack.P50, h.Ack.P99),
			fmt.Sprintf("%.2f / %.2f", h.Last.P50, h.Last.P99), fmt.Sprint(h.Refused), fmt.Sprint(h.Fills),
		})
	}
	d.table(rows...)
	return r, nil
}

// slowHalf puts the load on and looks at the server's memory meanwhile.
func (p *pair) slowHalf(ctx context.Context, what string) (slowHalf, error) {
	var h slowHalf
	var res fanoutResult
	type sample struct {
		rss, commands int64
	}
	var samples []sample
	look := func() error {
		s, err := p.sizes(ctx)
		if err != nil {
			return err
		}
		l, err := p.load(ctx)
		samples = append(samples, sample{s.RSS, l.Commands})
		h.RSS = append(h.RSS, s.RSS)
		return err
	}
	before, err := p.load(ctx)
	if err != nil {
		return h, err
	}
	if err := look(); err != nil {
		return h, err
	}
	bar, done := p.d.bar(what, int(p.d.cfg.Duration/time.Millisecond))
	defer done()
	finished := make(chan error, 1)
	go func() {
		finished <- p.client.call(ctx, "fanout", fanoutArgs{Window: p.d.cfg.Window, Micro: p.d.cfg.Duration.Microseconds()}, &res, bar)
	}()
	tick := time.NewTicker(max(p.d.cfg.Duration/10, time.Millisecond))
	defer tick.Stop()
	for running := true; running; {
		select {
		case err = <-finished:
			running = false
		case <-tick.C:
			if err := look(); err != nil {
				<-finished
				return h, err
			}
		}
	}
	if err != nil {
		return h, err
	}
	if err := look(); err != nil {
		return h, err
	}
	after, err := p.load(ctx)
	if err != nil {
		return h, err
	}
	m := after.since(before)
	first, last := samples[len(samples)/2], samples[len(samples)-1]
	if n := last.commands - first.commands; n > 0 {
		h.Growth = float64(last.rss-first.rss) / float64(n)
	}
	h.Rate, h.Sent = float64(res.Delivered)/(float64(res.Micro)/1e6), res.Messages
	h.Refused, h.Fills, h.Ack, h.Last = m.Refused, m.Fills, res.Ack, res.Last
	return h, nil
}
