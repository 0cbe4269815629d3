//go:build linux

package main

import (
	"fmt"
	"slices"
)

// peerResult is what -json has of the comparison.
type peerResult struct {
	Tables []peerTable `json:"tables"`
	Runs   []peerRun   `json:"runs"`
}

// peerTable is one load, a row for each server.
type peerTable struct {
	Case string    `json:"case"`
	Load string    `json:"load,omitempty"`
	Rows []peerRow `json:"rows"`
}

// peerRow is a server's medians over the runs that have not failed.
type peerRow struct {
	Runs   int    `json:"runs"` // that have not failed
	Failed int    `json:"failed_runs"`
	Why    string `json:"why,omitempty"` // the first of them failed
	peerRun
}

func peerTablesOf(k *peerCase, servers []string, runs []peerRun) (tables []peerTable) {
	loads := k.loads
	if len(loads) == 0 {
		loads = []peerLoad{{}}
	}
	for _, l := range loads {
		t := peerTable{Case: k.name, Load: l.name}
		for _, name := range servers {
			t.Rows = append(t.Rows, peerRowOf(name, slices.DeleteFunc(slices.Clone(runs), func(r peerRun) bool {
				return r.Server != name || r.Load != l.name
			})))
		}
		tables = append(tables, t)
	}
	return tables
}

func peerRowOf(name string, runs []peerRun) (row peerRow) {
	var harmed harm
	var good []peerRun
	for _, r := range runs {
		if r.Failed == "" {
			good = append(good, r)
			continue
		}
		if row.Failed++; row.Why == "" {
			row.Why = r.Failed
		}
		harmed.Disconnected, harmed.Lost = harmed.Disconnected+r.Harm.Disconnected, harmed.Lost+r.Harm.Lost
	}
	row.Runs = len(good)
	if len(good) > 0 {
		row.peerRun = peerMedians(good)
	}
	row.Server, row.Harm = name, harmed
	return row
}

func peerMedians(runs []peerRun) peerRun {
	m := func(f func(*peerRun) float64) float64 { return median(runs, f) }
	l := func(f func(*peerRun) *latency) latency {
		at := func(g func(*latency) float64) float64 { return m(func(r *peerRun) float64 { return g(f(r)) }) }
		return latency{
			P50: at(func(l *latency) float64 { return l.P50 }), P90: at(func(l *latency) float64 { return l.P90 }),
			P99: at(func(l *latency) float64 { return l.P99 }), P999: at(func(l *latency) float64 { return l.P999 }),
			Max: at(func(l *latency) float64 { return l.Max }),
		}
	}
	r := runs[0]
	r.Ramp.Seconds = m(func(r *peerRun) float64 { return r.Ramp.Seconds })
	r.Ramp.PerSecond = m(func(r *peerRun) float64 { return r.Ramp.PerSecond })
	r.Ramp.ServerUS = m(func(r *peerRun) float64 { return r.Ramp.ServerUS })
	r.Ramp.ClientUS = m(func(r *peerRun) float64 { return r.Ramp.ClientUS })
	r.RSS, r.FDs = m(func(r *peerRun) float64 { return r.RSS }), m(func(r *peerRun) float64 { return r.FDs })
	r.Seconds = m(func(r *peerRun) float64 { return r.Seconds })
	r.Acked, r.Received = m(func(r *peerRun) float64 { return r.Acked }), m(func(r *peerRun) float64 { return r.Received })
	r.ServerUS, r.Cores = m(func(r *peerRun) float64 { return r.ServerUS }), m(func(r *peerRun) float64 { return r.Cores })
	r.Client, r.Others = m(func(r *peerRun) float64 { return r.Client }), m(func(r *peerRun) float64 { return r.Others })
	r.Ack = l(func(r *peerRun) *latency { return &r.Ack })
	r.Each = l(func(r *peerRun) *latency { return &r.Each })
	r.Last = l(func(r *peerRun) *latency { return &r.Last })
	return r
}

// peerTable prints a table, and below it what did not go well.
func (d *driver) peerTable(k *peerCase, t *peerTable) {
	title := t.Case
	if t.Load != "" {
		title += ", " + t.Load
	}
	d.say("%s: medians of up to %d runs", title, slices.MaxFunc(t.Rows, func(a, b peerRow) int { return a.Runs - b.Runs }).Runs)
	rows := [][]string{peerHeads(k)}
	for i := range t.Rows {
		if r := &t.Rows[i]; r.Runs > 0 {
			rows = append(rows, peerCells(k, r))
		}
	}
	d.table(rows...)
	for _, r := range t.Rows {
		if r.Failed > 0 {
			d.say("%s: %d of %d runs failed, with %d connections closed by the server and %d messages lost: %s",
				r.Server, r.Failed, r.Failed+r.Runs, r.Harm.Disconnected, r.Harm.Lost, r.Why)
		}
	}
	d.say("")
}

func peerHeads(k *peerCase) []string {
	if len(k.loads) > 0 {
		return []string{"server", "messages acked/s", "deliveries/s", "server CPU us/delivery", "ack p50/p99, ms", "delivery p50/p99, ms", "last member p50/p99, ms", "cores server/client/other"}
	}
	h := []string{"server"}
	if k.idle {
		h = append(h, "VmRSS bytes/connection", "open files/connection")
	}
	if k.connect {
		h = append(h, "server CPU us/upgrade, token and join", "connections/s")
	}
	return h
}

func peerCells(k *peerCase, r *peerRow) []string {
	if len(k.loads) > 0 {
		ms := func(l latency) string {
			if l == (latency{}) {
				return ""
			}
			return fmt.Sprintf("%.2f / %.2f", l.P50, l.P99)
		}
		return []string{
			r.Server, number(r.Acked), number(r.Received), fmt.Sprintf("%.3f", r.ServerUS), ms(r.Ack), ms(r.Each), ms(r.Last),
			fmt.Sprintf("%.2f/%.2f/%.2f", r.Cores, r.Client, r.Others),
		}
	}
	c := []string{r.Server}
	if k.idle {
		c = append(c, fmt.Sprintf("%.0f", r.RSS), fmt.Sprintf("%.3f", r.FDs))
	}
	if k.connect {
		c = append(c, number(r.Ramp.ServerUS), number(r.Ramp.PerSecond))
	}
	return c
}
