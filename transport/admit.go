package transport

import (
	"net"
	"net/netip"
	"time"
)

// entry is what becomes of a connection that comes.
type entry uint8

const (
	entered   entry = iota // counted in; leave goes with it
	entryNot               // the Transport is shutting down
	entryFull              // there is no room
)

// mostTurned is how many refusals wait at a time for their peers to read them.
// They are not connections, but have descriptors; what comes beyond is answered and
// closed at once.
const mostTurned = 32

// enter counts a connection in from its first byte.
func (t *Transport) enter() entry {
	over := t.opts.Overloaded != nil && t.opts.Overloaded()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch most := t.opts.MaxConnections; {
	case t.refusing:
		return entryNot
	case over || most > 0 && t.active-t.held >= most:
		t.rejected.Add(1)
		return entryFull
	}
	t.active++
	return entered
}

// Full reports whether there is no room for another connection, so that nothing has
// to be found out about one that would be refused. A request that is refused for it
// counts as rejected.
func (t *Transport) Full() bool {
	over := t.opts.Overloaded != nil && t.opts.Overloaded()
	t.mu.Lock()
	defer t.mu.Unlock()
	most := t.opts.MaxConnections
	if full := over || most > 0 && t.active-t.held >= most; !full || t.refusing {
		return false
	}
	t.rejected.Add(1)
	return true
}

// guardOptions has the host's functions answer even if they panic: nobody is let in
// whom they might have refused.
func (t *Transport) guardOptions() {
	if over := t.opts.Overloaded; over != nil {
		t.opts.Overloaded = func() (yes bool) {
			yes = true
			defer t.rescue("Options.Overloaded")
			return over()
		}
	}
	if arrived := t.opts.Arrived; arrived != nil {
		t.opts.Arrived = func(peer netip.Addr) (gone func(), ok bool) {
			defer t.rescue("Options.Arrived")
			return arrived(peer)
		}
	}
}

// arrive lets the host count who is under way. left is never nil.
func (t *Transport) arrive(peer netip.Addr) (left func(), ok bool) {
	ok = true
	if t.opts.Arrived != nil {
		left, ok = t.opts.Arrived(peer)
	}
	if !ok {
		t.rejected.Add(1)
	}
	return t.guarded("what Options.Arrived returned", left), ok
}

// addrOf is the address of a connection's peer, if it has one.
func addrOf(conn hostConn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// leave counts it out, after its Handler has heard of the end.
func (t *Transport) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over()
}

// over is called with the lock held.
func (t *Transport) over() {
	if t.active--; t.active == 0 && t.refusing {
		close(t.idle)
	}
}

// hold keeps the Transport from being over, for what is no connection. It fails
// during shutdown.
func (t *Transport) hold() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusing {
		return false
	}
	t.active++
	t.held++
	return true
}

// unhold goes with hold.
func (t *Transport) unhold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held--
	t.over()
}

// holdRefusal is hold for a refusal. It also fails when there are many.
func (t *Transport) holdRefusal() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusing || t.turning >= mostTurned {
		return false
	}
	t.active++
	t.held++
	t.turning++
	return true
}

// unholdRefusal goes with holdRefusal.
func (t *Transport) unholdRefusal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turning--
	t.held--
	t.over()
}

// turnAway answers a connection for which there is no room. It owns conn.
func (t *Transport) turnAway(conn hostConn) {
	if !t.holdRefusal() {
		conn.drop()
		return
	}
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		defer t.unholdRefusal()
		defer t.rescue("a refusal")
		defer t.nets.guard(conn)()
		_ = conn.SetDeadline(time.Now().Add(t.opts.CloseTimeout))
		_, err := conn.Write(refusal(t.opts.Full))
		linger(conn, t.opts.CloseTimeout, err == nil)
	}()
}

// settleDropped has u.Dropped called if open makes no Handler.
func (t *Transport) settleDropped(u *Upgrade, open *func(*Conn) Handler) {
	inner, dropped := *open, t.guarded("Upgrade.Dropped", u.Dropped)
	u.Dropped = dropped
	*open = func(c *Conn) (h Handler) {
		defer func() {
			if h == nil {
				dropped()
			}
		}()
		return inner(c)
	}
}
