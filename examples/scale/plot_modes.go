//go:build linux

package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// plotIdle draws memory over connections, if a plot is wanted.
func (d *driver) plotIdle(r *idleResult) error {
	if d.cfg.Plot == "" || len(r.Steps) == 0 {
		return nil
	}
	c := newChart(
		fmt.Sprintf("Server memory over idle connections, %d rooms, door %s", d.cfg.Rooms, d.cfg.Door), machine().String(),
		"connections, joined", "server memory above the empty server, MiB")
	const mib = 1 << 20
	rss, anon, heap := plotter.XYs{{}}, plotter.XYs{{}}, plotter.XYs{{}}
	for _, s := range r.Steps {
		n := float64(s.Conns)
		rss = append(rss, plotter.XY{X: n, Y: float64(s.RSS-r.Before.RSS) / mib})
		anon = append(anon, plotter.XY{X: n, Y: float64(s.Anon-r.Before.Anon) / mib})
		heap = append(heap, plotter.XY{X: n, Y: float64(s.Heap-r.Before.Heap) / mib})
	}
	settled := plotter.XYs{{}, {X: float64(r.Settled.Conns), Y: float64(r.Settled.RSS-r.Before.RSS) / mib}}
	c.X.Tick.Marker, c.Y.Tick.Marker = rounds{}, rounds{}
	top := 0.0
	for _, s := range []struct {
		name   string
		points plotter.XYs
		color  color.Color
	}{{"VmRSS during the ramp", rss, blue()}, {"RssAnon", anon, orange()}, {"heap, garbage included", heap, green()}} {
		if err := c.line(s.name, s.points, s.color, nil, true); err != nil {
			return err
		}
		for _, p := range s.points {
			top = max(top, p.Y)
		}
	}
	if err := c.line(fmt.Sprintf("VmRSS %v later: %.0f bytes per connection", d.cfg.Settle, r.PerConn), settled, grey(0x40), dashes()[2], true); err != nil {
		return err
	}
	c.Y.Min, c.Y.Max = min(c.Y.Min, 0), max(top, settled[1].Y)*1.3
	return c.write(d.cfg.Plot, fmt.Sprintf("memory-%d-rooms-%s.svg", d.cfg.Rooms, d.cfg.Door))
}

// plotLatency draws the curve of each load, and latency over load where there
// are several.
func (d *driver) plotLatency(r *latencyResult) error {
	if d.cfg.Plot == "" {
		return nil
	}
	for i := range r.Points {
		if err := d.plotCurve(&r.Points[i]); err != nil {
			return err
		}
	}
	if len(r.Points) < 2 {
		return nil
	}
	return d.plotLoad(r.Points)
}

// roomsText says what is being sent to.
func (d *driver) roomsText() string {
	if d.cfg.Rooms == 1 {
		return fmt.Sprintf("one room of %d members", d.cfg.Conns)
	}
	return fmt.Sprintf("%d rooms of %d members", d.cfg.Rooms, d.cfg.Conns/d.cfg.Rooms)
}

func (d *driver) plotCurve(p *latencyPoint) error {
	c := newChart(
		fmt.Sprintf("Latency at %s deliveries/s, %s", number(p.SDK.Received), d.roomsText()), machine().String(),
		"percentile (of messages or deliveries)", "ms from when the message was due")
	var all []plotter.XYs
	servers, kinds := serverStyles(), dashes()
	for i, m := range []*latencyMedians{&p.SDK, &p.Bare} {
		for j, s := range []struct {
			name string
			of   *distribution
		}{{"each delivery", &m.Each}, {"last member of the room", &m.Last}, {"ack", &m.Ack}} {
			points := make(plotter.XYs, len(s.of.Curve))
			for k, q := range s.of.Curve {
				points[k] = plotter.XY{X: q.OneIn, Y: q.MS}
			}
			if err := c.line(servers[i].name+": "+s.name, points, servers[i].color, kinds[j], false); err != nil {
				return err
			}
			all = append(all, points)
		}
	}
	c.X.Scale, c.X.Tick.Marker = plot.LogScale{}, nines{}
	c.logY(all...)
	return c.write(d.cfg.Plot, fmt.Sprintf("latency-%dx%d-%v.svg", d.cfg.Rooms, d.cfg.Conns/d.cfg.Rooms, p.Rate))
}

func (d *driver) plotLoad(list []latencyPoint) error {
	c := newChart("Latency of a delivery over load, "+d.roomsText(), machine().String(), "deliveries/s", "ms from when the message was due")
	var all []plotter.XYs
	servers, kinds := serverStyles(), dashes()
	for i := range servers {
		name := servers[i].name
		for j, q := range []string{"p50", "p99", "p99.9"} {
			points := make(plotter.XYs, len(list))
			for k, p := range list {
				m := []latencyMedians{p.SDK, p.Bare}[i]
				points[k] = plotter.XY{X: m.Received, Y: []float64{m.Each.P50, m.Each.P99, m.Each.P999}[j]}
			}
			if err := c.line(name+": "+q, points, servers[i].color, kinds[j], true); err != nil {
				return err
			}
			all = append(all, points)
		}
	}
	c.X.Tick.Marker = rounds{}
	c.X.Min = 0
	c.logY(all...)
	return c.write(d.cfg.Plot, fmt.Sprintf("latency-over-load-%dx%d.svg", d.cfg.Rooms, d.cfg.Conns/d.cfg.Rooms))
}
