package chat

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gabblehq/chat/internal/work"
)

// cluster is a server's part in a group of servers that share a store. The
// store is the truth; what the servers tell each other are hints, and whatever
// may have been missed is compared with the store.
type cluster struct {
	srv     *Server
	watcher Watcher
	node    string // this server's id among the others

	control chan struct{} // something may be in the control log

	mu      sync.Mutex
	missed  []func(room string) bool // what is to be compared
	all     bool                     // everything is
	compare chan struct{}            // missed or all has been set

	wg sync.WaitGroup
}

const (
	// headsAtOnce is how many rooms are compared in one call.
	headsAtOnce = 256
	// watchAgain is how long a Watch that has failed is left alone.
	watchAgain = time.Second
)

// newCluster returns nil where nobody shares the store.
func newCluster(s *Server) *cluster {
	w, ok := capability[Watcher](s.opt.Store)
	if !ok {
		return nil
	}
	return &cluster{
		srv: s, watcher: w, node: s.name("n", s.ids.Add(1)),
		control: make(chan struct{}, 1), compare: make(chan struct{}, 1),
	}
}

// run starts the goroutines; they end with the server's context.
func (c *cluster) run() {
	orders := c.srv.acquire(controlRoom)
	// Before there are sessions, so that no order about one is overlooked.
	at, err := c.srv.awaitStore(orders.controlHead)
	loops := []func(){c.watch, c.compareLoop, func() { c.controlLoop(orders, at, err == nil) }}
	for _, loop := range loops {
		c.wg.Go(func() { work.Loop(c.srv.ctx, watchAgain, c.srv.log, "a loop of the cluster", loop) })
	}
	c.srv.presence.Start(c.srv.ctx)
}

// guarded makes a func of the store's one that does not panic: what it cannot
// say is to be looked at.
func (c *cluster) guarded(covers func(room string) bool) func(room string) bool {
	if covers == nil {
		return nil
	}
	return func(room string) (yes bool) {
		yes = true
		defer work.Recover(c.srv.log, "what a store has missed")
		return covers(room)
	}
}

// watch listens for as long as the server lives.
func (c *cluster) watch() {
	ctx := c.srv.ctx
	for ctx.Err() == nil {
		err := guard(func() error { return c.watcher.Watch(ctx, c) })
		if ctx.Err() != nil {
			return
		}
		c.srv.log.Error("chat: not told what other servers do", "error", err)
		work.Sleep(ctx, watchAgain)
	}
}

// farewellFor is how long a server that ends tries to say so to the store.
const farewellFor = time.Second

// leave lets the lease run out: by then, who was here is somewhere else.
func (c *cluster) leave() {
	board := c.srv.presence
	if !board.Shared() {
		return
	}
	board.Stop()
	if c.srv.health.Down() {
		return // the lease runs out by itself
	}
	// Not under the server's context, which has ended where there is a hurry.
	ctx, cancel := context.WithTimeout(context.Background(), farewellFor)
	defer cancel()
	_ = board.Expire(ctx)
}

// roomOf returns the id of the room that a key of the store names, if it is one
// of this server's tenant.
func (s *Server) roomOf(key string) (id string, ok bool) {
	id, ok = strings.CutPrefix(key, s.key(""))
	return id, ok && !strings.Contains(id, "/")
}

// Appended implements [Listener].
func (c *cluster) Appended(h Hint) {
	defer work.Recover(c.srv.log, "a hint")
	id, ok := c.srv.roomOf(h.Room)
	if !ok {
		return
	}
	if id == controlRoom {
		work.Notify(c.control)
		return
	}
	if r := c.srv.peek(id); r != nil {
		r.addHint(h)
		r.release()
	}
}

// Missed implements [Listener].
func (c *cluster) Missed(covers func(room string) bool) {
	c.compareSoon(c.guarded(covers))
}

// compareSoon has rooms compared that may have missed something.
func (c *cluster) compareSoon(covers func(room string) bool) {
	c.mu.Lock()
	if covers == nil || len(c.missed) > 1024 {
		c.all, c.missed = true, nil
	} else if !c.all {
		c.missed = append(c.missed, covers)
	}
	c.mu.Unlock()
	work.Notify(c.compare)
}
