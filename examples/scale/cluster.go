//go:build linux

package main

import (
	"context"
	"errors"
	"time"
)

// clusterResult says what a cluster of servers on this machine has done.
type clusterResult struct {
	Conns   int         `json:"conns"`
	Rooms   int         `json:"rooms"`
	Servers int         `json:"servers"`
	Clients int         `json:"clients"`
	Ramp    ramped      `json:"ramp"`
	Before  sizes       `json:"before"` // of all servers together
	Ramped  sizes       `json:"after_ramp"`
	Settled sizes       `json:"after_settle"`
	PerConn float64     `json:"bytes_per_conn"` // of VmRSS, after settling, without the empty servers
	Redis   redisMemory `json:"redis"`
	Phases  []phaseUse  `json:"phases"`
	Burst   passed      `json:"burst"`
	Steady  passed      `json:"steady"`
	Kill    *killed     `json:"kill,omitempty"`
}

// redisMemory is what Redis holds, in bytes.
type redisMemory struct {
	Before  int64 `json:"before"`
	Settled int64 `json:"after_settle"`
	End     int64 `json:"end"`
	RSS     int64 `json:"rss_at_end"`
}

// passed says what became of a number of messages. Every one of them has been
// received by every member of its room, once and in order.
type passed struct {
	Messages   int64    `json:"messages"`
	Expected   int64    `json:"deliveries_expected"`
	Received   int64    `json:"deliveries_received"`
	Seconds    float64  `json:"s"`             // from the first message to the last delivery
	AfterAck   float64  `json:"after_last_ms"` // from the last ack to the last delivery
	Ack        *latency `json:"ack,omitempty"`
	LastMember *latency `json:"last,omitempty"` // until the last member of the room had it
}

// killed says what became of the connections of a server that was killed.
type killed struct {
	passed
	Back    int     `json:"conns_back"`
	Seconds float64 `json:"back_s"` // until the last was back and had caught up
}

// cluster connects everybody to many servers that share a store, has messages
// sent into every room, and fails unless each arrives everywhere.
func (d *driver) cluster(ctx context.Context) (any, error) {
	c, err := d.newGroup(ctx)
	if err != nil {
		return nil, err
	}
	r := clusterResult{Conns: d.cfg.Conns, Rooms: d.cfg.Rooms, Servers: d.cfg.Processes, Clients: d.cfg.Clients}
	run := &clusterRun{group: c, r: &r, want: make([]int32, d.cfg.Rooms)}
	for _, step := range []func(context.Context) error{run.ramp, run.settle, run.burst, run.steady, run.kill, run.end} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	d.clusterTables(&r)
	return r, nil
}

// clusterRun is a run of the mode.
type clusterRun struct {
	*group
	r    *clusterResult
	want []int32 // messages so far, by room
	got  int64   // deliveries so far
}

// ramp connects everybody.
func (c *clusterRun) ramp(ctx context.Context) (err error) {
	cfg := c.d.cfg
	if c.r.Before, err = c.sizes(ctx); err != nil {
		return err
	}
	n, err := c.counters(ctx)
	if err != nil {
		return err
	}
	c.r.Redis.Before = n.redis.Memory
	share := (cfg.Conns + len(c.clients) - 1) / len(c.clients)
	err = c.phase(ctx, "ramp", func() error {
		set, done := c.d.bar("connecting", cfg.Conns)
		defer done()
		list, err := callAll[rampResult](ctx, c.clients, "connect", func(i int) any {
			first := min(i*share, cfg.Conns)
			return connectArgs{
				Addrs: c.addrs, Key: c.key, First: first, Members: min(share, cfg.Conns-first), Rooms: cfg.Rooms,
				Content: cfg.Content, Once: cfg.Decode == "once", Retry: true, AtOnce: max(2*inFlight/len(c.clients), 8),
			}
		}, set)
		var all rampResult
		for _, x := range list {
			all = rampResult{Conns: all.Conns + x.Conns, Micro: max(all.Micro, x.Micro), CPU: all.CPU + x.CPU}
		}
		c.r.Ramp = newRamped(all, 0)
		return err
	})
	if err != nil {
		return err
	}
	p := c.r.Phases[0]
	c.r.Ramp.ServerUS = p.Server * p.Seconds * 1e6 / float64(cfg.Conns)
	if c.r.Ramped, err = c.sizes(ctx); err != nil {
		return err
	}
	return c.complete(ctx)
}

// settle looks at what is left when nothing happens.
func (c *clusterRun) settle(ctx context.Context) error {
	err := c.phase(ctx, "idle", func() error { return c.d.wait(ctx, "settling", c.d.cfg.Settle) })
	if err != nil {
		return err
	}
	if c.r.Settled, err = c.sizes(ctx); err != nil {
		return err
	}
	c.r.PerConn = float64(c.r.Settled.RSS-c.r.Before.RSS) / float64(c.d.cfg.Conns)
	n, err := c.meter.read(ctx)
	c.r.Redis.Settled = n.Memory
	if err == nil && c.d.cfg.MemProfile != "" {
		err = c.servers[0].call(ctx, "heap", c.d.cfg.MemProfile, nil, nil)
	}
	return err
}

// burst sends messages into every room as fast as a window allows.
func (c *clusterRun) burst(ctx context.Context) (err error) {
	cfg := c.d.cfg
	each := cfg.Messages
	return c.phase(ctx, "burst", func() error {
		c.r.Burst, _, err = c.send(ctx, "burst", each*cfg.Rooms, false, func(int) any {
			return burstArgs{Rooms: cfg.Rooms, Total: cfg.Conns, Each: each, Window: cfg.Window}
		})
		return err
	})
}

// steady measures latency where the machine is not at its limit.
func (c *clusterRun) steady(ctx context.Context) (err error) {
	return c.phase(ctx, "steady", func() error {
		c.r.Steady, _, err = c.send(ctx, "steady", c.steadyTotal(), true, c.steadyArgs(-1))
		return err
	})
}

func (c *clusterRun) steadyTotal() int {
	return int(c.d.cfg.Duration/time.Millisecond) * len(c.clients)
}

func (c *clusterRun) steadyArgs(dying int) func(int) any {
	cfg := c.d.cfg
	return func(int) any {
		return steadyArgs{Rooms: cfg.Rooms, Rate: cfg.Rate / float64(len(c.clients)), Micro: cfg.Duration.Microseconds(), Dying: dying}
	}
}

// kill has a server crash while messages are being sent.
func (c *clusterRun) kill(ctx context.Context) error {
	if !c.d.cfg.Kill {
		return nil
	}
	c.r.Kill = &killed{}
	victim := len(c.servers) / 2
	crashed := make(chan error, 1)
	var at int64
	crash := time.AfterFunc(c.d.cfg.Duration/2, func() {
		at = clock()
		crashed <- c.group.kill(victim)
	})
	p, w, err := c.send(ctx, "steady", c.steadyTotal(), true, c.steadyArgs(victim))
	if crash.Stop() {
		return errors.Join(err, errors.New("over before the server was killed"))
	}
	if e := <-crashed; err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	*c.r.Kill = killed{p, w.Back, float64(w.Mended-at) / 1e6}
	return c.complete(ctx)
}

// end takes the last figures.
func (c *clusterRun) end(ctx context.Context) error {
	n, err := c.counters(ctx) // fails if any connection has
	c.r.Redis.End, c.r.Redis.RSS = n.redis.Memory, n.redis.RSS
	return err
}
