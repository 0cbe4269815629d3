//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
)

// group is many server processes that share a store, and the client processes
// whose members are spread over all of them.
type group struct {
	d       *driver
	redis   *redisServer // nil: the store is somebody else's
	meter   *redisMeter  // nil: the store is no single Redis
	servers []*child
	clients []*child
	addrs   []string // of the servers
	key     []byte
	dead    int // the server that has been killed; -1: none
}

// newGroup starts the store, if it has to, the servers and the clients.
func (d *driver) newGroup(ctx context.Context) (*group, error) {
	c := &group{d: d, key: []byte(rand.Text() + rand.Text()), dead: -1}
	d.group = c
	store := d.cfg.Store
	if store == "" {
		var err error
		if c.redis, err = startRedis(ctx); err != nil {
			return nil, err
		}
		store = c.redis.url
	}
	c.meter = newRedisMeter(store)
	if err := startAll(&c.servers, "server", d.cfg.Processes, d); err != nil {
		return nil, err
	}
	if err := startAll(&c.clients, "client", d.cfg.Clients, d); err != nil {
		return nil, err
	}
	started, err := callAll[startResult](ctx, c.servers, "start", func(i int) any {
		return startArgs{Door: d.cfg.Door, Key: c.key, Store: store, MemProfile: i == 0 && d.cfg.MemProfile != ""}
	}, nil)
	for _, s := range started {
		c.addrs = append(c.addrs, s.Addr)
	}
	return c, err
}

func startAll(list *[]*child, role string, n int, d *driver) error {
	for i := range n {
		c, err := start(role, d.stderr)
		if err != nil {
			return err
		}
		c.role = fmt.Sprintf("%s %d", role, i)
		*list = append(*list, c)
	}
	return nil
}

// stop ends everything, the clients first, who would else see it as a fault.
func (c *group) stop() {
	for _, list := range [][]*child{c.clients, c.servers} {
		var wg sync.WaitGroup
		for _, p := range list {
			wg.Go(p.stop)
		}
		wg.Wait()
	}
	c.meter.close()
	if c.redis != nil {
		c.redis.stop()
	}
}

// callAll gives all processes an order at once and waits for all outcomes, or
// until the first of them fails. Args makes the arguments of the i-th.
func callAll[R any](ctx context.Context, list []*child, op string, args func(i int) any, set func(int)) ([]R, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	results := make([]R, len(list))
	sum := &progressSum{of: make([]int, len(list)), set: set}
	var wg sync.WaitGroup
	for i, p := range list {
		wg.Go(func() {
			var a any
			if args != nil {
				a = args(i)
			}
			if err := p.call(ctx, op, a, &results[i], func(n int) { sum.add(i, n) }); err != nil {
				fail(err)
			}
		})
	}
	wg.Wait()
	return results, context.Cause(ctx)
}

// progressSum adds up how far several processes are.
type progressSum struct {
	set func(int)

	mu  sync.Mutex
	of  []int
	sum int
}

func (s *progressSum) add(i, n int) {
	if s.set == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum += n - s.of[i]
	s.of[i] = n
	s.set(s.sum)
}

// alive are the servers that have not been killed.
func (c *group) alive() []*child {
	var list []*child
	for i, p := range c.servers {
		if i != c.dead {
			list = append(list, p)
		}
	}
	return list
}

// kill ends a server as a crash would.
func (c *group) kill(i int) error {
	c.dead = i
	return c.servers[i].cmd.Process.Kill()
}

// sizes adds up what the servers hold. Each is to have its share of connections
// in all rooms.
func (c *group) sizes(ctx context.Context) (sizes, error) {
	list, err := callAll[sizes](ctx, c.alive(), "sizes", nil, nil)
	var sum sizes
	for _, s := range list {
		sum.RSS, sum.FDs, sum.Goroutines = sum.RSS+s.RSS, sum.FDs+s.FDs, sum.Goroutines+s.Goroutines
		sum.Heap, sum.Stacks, sum.Conns = sum.Heap+s.Heap, sum.Stacks+s.Stacks, sum.Conns+s.Conns
		sum.RoomsLive += s.RoomsLive
	}
	return sum, err
}

// complete fails where the servers do not have all connections.
func (c *group) complete(ctx context.Context) error {
	s, err := c.sizes(ctx)
	rooms := c.d.cfg.Rooms * len(c.alive())
	if err == nil && (s.Conns != c.d.cfg.Conns || s.RoomsLive < rooms) { // the SDK has rooms of its own
		err = fmt.Errorf("%d connections in %d rooms on %d servers, which say %d in %d altogether", c.d.cfg.Conns, c.d.cfg.Rooms, len(c.alive()), s.Conns, s.RoomsLive)
	}
	return err
}

// counters is what all processes have used and done so far.
type counters struct {
	at     int64
	busy   int64 // of the machine
	server load
	client counts
	redis  redisInfo
}

func (c *group) counters(ctx context.Context) (n counters, err error) {
	servers, err := callAll[load](ctx, c.alive(), "load", nil, nil)
	for _, l := range servers {
		n.server = l.plus(n.server)
	}
	clients, e := callAll[counts](ctx, c.clients, "count", nil, nil)
	for _, l := range clients {
		n.client.CPU += l.CPU
		n.client.Delivered += l.Delivered
		n.client.Signals += l.Signals
		n.client.Pings += l.Pings
		n.client.Refused += l.Refused
	}
	var e2, e3 error
	n.redis, e2 = c.meter.read(ctx)
	n.busy, e3 = busyTime()
	n.at = clock()
	return n, errors.Join(err, e, e2, e3)
}
