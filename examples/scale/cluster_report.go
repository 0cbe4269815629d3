//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
)

// phaseUse is what all processes have used during a phase, in cores.
type phaseUse struct {
	Name     string    `json:"name"`
	Seconds  float64   `json:"s"`
	Server   float64   `json:"server_cores"`
	Client   float64   `json:"client_cores"`
	Redis    float64   `json:"redis_cores"`
	Others   float64   `json:"other_cores"`
	Commands float64   `json:"redis_commands_per_s"` // those within scripts included
	In       float64   `json:"redis_in_bytes_per_s"`
	Out      float64   `json:"redis_out_bytes_per_s"`
	Signals  int64     `json:"signals"`   // presence frames that the clients have received
	Fills    int64     `json:"fills"`     // pages that the store was asked for
	PerWrite float64   `json:"per_write"` // deliveries
	Refused  int64     `json:"refused"`   // commands answered "unavailable", and sent again
	Busiest  []command `json:"redis_busiest,omitempty"`
}

// busiest is how many of Redis's commands are reported.
const busiest = 6

// phase measures f, with the first server's CPU profile on if one is wanted.
func (c *clusterRun) phase(ctx context.Context, name string, f func() error) error {
	before, err := c.counters(ctx)
	if err != nil {
		return err
	}
	profile := c.d.cfg.CPUProfile
	if profile != "" {
		if err := c.servers[0].call(ctx, "profile", profile+"."+name, nil, nil); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if profile != "" {
		if err := c.servers[0].call(ctx, "profile", "", nil, nil); err != nil {
			return err
		}
	}
	after, err := c.counters(ctx)
	if err != nil {
		return err
	}
	us := float64(after.at - before.at)
	share := func(after, before int64) float64 { return float64(after-before) / us }
	s := after.server.since(before.server)
	p := phaseUse{
		Name: name, Seconds: us / 1e6, Server: float64(s.CPU) / us, Client: share(after.client.CPU, before.client.CPU),
		Redis: share(after.redis.CPU, before.redis.CPU), Commands: 1e6 * share(after.redis.Commands, before.redis.Commands),
		In: 1e6 * share(after.redis.In, before.redis.In), Out: 1e6 * share(after.redis.Out, before.redis.Out),
		Signals: after.client.Signals - before.client.Signals, Fills: s.Fills, PerWrite: float64(s.Sent) / float64(max(s.Writes, 1)),
		Refused: after.client.Refused - before.client.Refused, Busiest: after.redis.since(before.redis, busiest),
	}
	p.Others = max(0, share(after.busy, before.busy)-p.Server-p.Client-p.Redis)
	c.r.Phases = append(c.r.Phases, p)
	c.d.say("%s: done after %.1f s", name, p.Seconds)
	return nil
}

// latencies puts together what all processes have seen of every message, and
// checks once more that all members have it.
func (c *clusterRun) latencies(seen [][]arrival, messages int64) (ack, last *latency, err error) {
	all := make(map[position]arrival)
	for _, list := range seen {
		for _, a := range list {
			m, ok := all[position{a.Room, a.Rev}]
			if ok && m.Due != a.Due {
				return nil, nil, fmt.Errorf("two messages at position %d of %s", a.Rev, roomName(int(a.Room)))
			}
			m.Due, m.Acked, m.Last = a.Due, max(m.Acked, a.Acked), max(m.Last, a.Last)
			m.Members += a.Members
			all[position{a.Room, a.Rev}] = m
		}
	}
	if int64(len(all)) != messages {
		return nil, nil, fmt.Errorf("%d messages acknowledged, %d received", messages, len(all))
	}
	acks, lasts := newHistogram(), newHistogram()
	for at, m := range all {
		if int(m.Members) != c.members(int(at.room)) || m.Acked == 0 {
			return nil, nil, fmt.Errorf("%d of %d members have the message at position %d of %s", m.Members, c.members(int(at.room)), at.rev, roomName(int(at.room)))
		}
		if err := acks.RecordValue(max(m.Acked-m.Due, 1)); err != nil {
			return nil, nil, err
		}
		if err := lasts.RecordValue(max(m.Last-m.Due, 1)); err != nil {
			return nil, nil, err
		}
	}
	a, l := latencyOf(acks), latencyOf(lasts)
	return &a, &l, nil
}

func (d *driver) clusterTables(r *clusterResult) {
	d.say("cluster: %d connections in %d rooms, on %d servers, of %d client processes", r.Conns, r.Rooms, r.Servers, r.Clients)
	d.say("%v", r.Ramp)
	size := func(name string, s sizes, redis int64) []string {
		return []string{name, mib(s.RSS), mib(s.Heap), fmt.Sprint(s.FDs), fmt.Sprint(s.Goroutines), mib(redis)}
	}
	d.table(
		[]string{"all servers", "RSS", "heap", "fds", "goroutines", "Redis"},
		size("empty", r.Before, r.Redis.Before), size("settled", r.Settled, r.Redis.Settled),
	)
	d.say("server memory per connection: %s bytes", number(r.PerConn))
	rows := [][]string{{"phase", "s", "cores server/client/Redis/other", "Redis commands/s", "in/s", "out/s", "presence frames", "pages", "per write", "refused"}}
	for _, p := range r.Phases {
		rows = append(rows, []string{
			p.Name, fmt.Sprintf("%.1f", p.Seconds), fmt.Sprintf("%.2f/%.2f/%.2f/%.2f", p.Server, p.Client, p.Redis, p.Others),
			number(p.Commands), mib(int64(p.In)), mib(int64(p.Out)), fmt.Sprint(p.Signals), fmt.Sprint(p.Fills), fmt.Sprintf("%.1f", p.PerWrite),
			fmt.Sprint(p.Refused),
		})
	}
	d.table(rows...)
	for _, p := range r.Phases {
		if len(p.Busiest) > 0 {
			d.say("Redis, %s: %s", p.Name, busiestText(p.Busiest))
		}
	}
	rows = [][]string{{"", "messages", "deliveries", "expected", "messages/s", "deliveries/s", "last one after last ack, ms"}}
	row := func(name string, p passed) {
		rows = append(rows, []string{
			name, fmt.Sprint(p.Messages), fmt.Sprint(p.Received), fmt.Sprint(p.Expected), number(float64(p.Messages) / p.Seconds),
			number(float64(p.Received) / p.Seconds), fmt.Sprintf("%.1f", p.AfterAck),
		})
	}
	row("burst", r.Burst)
	row("steady", r.Steady)
	lat := [][]string{{"latency, ms", "p50", "p90", "p99", "p99.9", "max"}, r.Steady.Ack.row("steady: to the ack"), r.Steady.LastMember.row("steady: to the last member")}
	if k := r.Kill; k != nil {
		row("kill", k.passed)
		lat = append(lat, k.Ack.row("kill: to the ack"), k.LastMember.row("kill: to the last member"))
	}
	d.table(rows...)
	d.table(lat...)
	if k := r.Kill; k != nil {
		d.say("killed one server: %d connections were back on the others after %.2f s, nothing lost, nothing doubled", k.Back, k.Seconds)
	}
}

func (l *latency) row(name string) []string {
	ms := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	return []string{name, ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max)}
}

func busiestText(list []command) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, fmt.Sprintf("%s %s x %.1f us", c.Name, number(float64(c.Calls)), c.Micro/float64(c.Calls)))
	}
	return strings.Join(parts, ", ")
}
