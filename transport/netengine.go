package transport

import (
	"sync"
	"time"
)

// netEngine keeps the connections that have goroutines of their own. One more
// goroutine looks after all of them, while there are any.
type netEngine struct {
	mu    sync.Mutex
	conns map[*Conn]struct{}
	stop  chan struct{}          // closed when the last connection is gone
	early map[*hostConn]struct{} // those whose handshake is not done
	over  bool
}

// guard has a connection cut by cutAll until its handshake is done.
func (e *netEngine) guard(conn hostConn) (done func()) {
	e.mu.Lock()
	over := e.over
	if e.early == nil {
		e.early = make(map[*hostConn]struct{})
	}
	e.early[&conn] = struct{}{}
	e.mu.Unlock()
	if over {
		conn.drop()
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.early, &conn)
	}
}

// add starts a connection.
func (e *netEngine) add(c *Conn, pre []byte) {
	t := c.t
	t.counters[c.loop].conns.Add(1)
	t.wg.Add(1)
	e.mu.Lock()
	if len(e.conns) == 0 {
		e.conns = make(map[*Conn]struct{})
		e.stop = make(chan struct{})
		t.wg.Add(1)
		go e.sweepLoop(t, e.stop)
	}
	e.conns[c] = struct{}{}
	e.mu.Unlock()
	if t.isCutting() {
		c.Abort()
	}
	go c.readLoop(pre)
}

func (e *netEngine) remove(c *Conn) {
	c.t.counters[c.loop].conns.Add(-1)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
	if len(e.conns) == 0 {
		close(e.stop)
	}
}

// sweepLoop beats all hearts until there are none left.
func (e *netEngine) sweepLoop(t *Transport, stop chan struct{}) {
	defer t.wg.Done()
	period := min(t.fastSweep(), t.slowSweep())
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	last, excused := t.ticks(), false
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		now := t.ticks()
		excused = !excused && age(now, last) > 4*ticksOf(period)
		last = now
		if excused {
			continue // the process stood still: let the readers catch up first
		}
		for _, c := range e.all() {
			c.sweepNet(now)
		}
	}
}

func (c *Conn) sweepNet(now uint32) {
	defer c.rescue()
	if c.beat(now, c.net.partialAt.Load(), c.net.partial.Load()) == overdue {
		c.Abort()
	}
}

func (e *netEngine) all() []*Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*Conn, 0, len(e.conns))
	for c := range e.conns {
		all = append(all, c)
	}
	return all
}

func (e *netEngine) cutAll() {
	e.cutEarly()
	for _, c := range e.all() {
		c.Signal(appendClose(nil, codeGoingAway, ""))
		c.Abort()
	}
}

// shed closes a connection whose message has been incomplete for longest: what it
// holds belongs to its reader and cannot be seen from here.
func (e *netEngine) shed(loop uint8) {
	var oldest *Conn
	for _, c := range e.all() {
		if c.loop != loop || !c.net.partial.Load() || c.is(isClosing) {
			continue
		}
		if oldest == nil || age(oldest.net.partialAt.Load(), c.net.partialAt.Load()) > 0 {
			oldest = c
		}
	}
	if oldest != nil {
		oldest.shed()
	}
}

// cutEarly cuts the connections that are still being greeted.
func (e *netEngine) cutEarly() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	for conn := range e.early {
		hasten := func() { _ = conn.SetDeadline(time.Now()) }
		if conn.quick() {
			hasten()
		} else {
			go hasten()
		}
	}
}
