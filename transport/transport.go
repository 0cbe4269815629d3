package transport

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

// Transport serves connections. It starts goroutines only when the first
// connection or listener needs them, and has none left after Shutdown.
type Transport struct {
	opts     Options
	log      *slog.Logger
	start    time.Time
	counters []counters
	turn     atomic.Uint32 // deals connections out to loops
	ping     []byte        // the frame

	closeTicks, pingTicks, deadTicks, stallTicks, frameTicks, shakeTicks uint32

	mu        sync.Mutex
	loops     []*loop // nil until used
	listeners map[stopper]struct{}
	refusing  bool // no new connections
	cutting   bool // no connection may stay
	active    int  // connections, upgrades and what is held that are not over
	held      int  // of those, no connections: listeners and refusals
	turning   int  // of those, refusals that are being read
	idle      chan struct{}
	stopped   chan struct{}

	ctx    context.Context // of the requests shown to accept; ends when all is cut
	cancel context.CancelFunc

	rejected atomic.Int64 // for lack of room
	panics   atomic.Int64

	reports struct { // see report
		sync.Mutex
		of map[string]*reported
	}

	nets    netEngine
	workers pool
	buffers sync.Pool // *[joinBytes]byte, for the goroutine engine
	wg      sync.WaitGroup

	deflaters, inflaters sync.Pool // empty without Options.Deflate
	inflation            inflation
}

// stopper is a listener that is being served.
type stopper interface{ stop() }

// counters belong to one loop. They have cache lines of their own.
type counters struct {
	conns, partial                        atomic.Int64
	bytesIn, bytesOut, messagesIn, writes atomic.Int64
	_                                     [128 - 6*8]byte
}

// Stats are sums since New, except Connections and Partial, which are now.
type Stats struct {
	Connections int64 // open
	BytesIn     int64 // received, with framing, without handshakes
	BytesOut    int64
	MessagesIn  int64 // handed to Handler.Message
	Writes      int64 // write calls that took something
	Partial     int64 // bytes held of incomplete messages
	Rejected    int64 // connections refused for lack of room
	Panics      int64 // of Handlers and other functions of the host, and in parsers
}

// New makes a Transport and starts nothing. The error names every option that
// makes no sense.
func New(o Options) (*Transport, error) {
	o, err := o.settle()
	if err != nil {
		return nil, err
	}
	t := &Transport{
		opts:      o,
		log:       o.Logger,
		start:     time.Now(),
		counters:  make([]counters, o.Loops),
		loops:     make([]*loop, o.Loops),
		listeners: make(map[stopper]struct{}),
		idle:      make(chan struct{}),
		stopped:   make(chan struct{}),
		ping:      AppendHeader(nil, ws.OpPing, 0),

		closeTicks: ticksOf(o.CloseTimeout),
		pingTicks:  ticksOf(o.PingInterval),
		deadTicks:  ticksOf(o.DeadAfter),
		stallTicks: ticksOf(o.StallAfter),
		frameTicks: ticksOf(o.FrameTimeout),
		shakeTicks: ticksOf(o.HandshakeTimeout),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.reports.of = make(map[string]*reported)
	t.guardOptions()
	t.buffers.New = func() any { return new([joinBytes]byte) }
	t.workers.t = t
	t.inflation.init(t)
	return t, nil
}

// Loops is the number of event loops, and of groups into which Conn.Loop divides
// the connections on either engine.
func (t *Transport) Loops() int { return t.opts.Loops }

// Stats sums up the counters. It is cheap.
func (t *Transport) Stats() Stats {
	var s Stats
	for i := range t.counters {
		c := &t.counters[i]
		s.Connections += c.conns.Load()
		s.BytesIn += c.bytesIn.Load()
		s.BytesOut += c.bytesOut.Load()
		s.MessagesIn += c.messagesIn.Load()
		s.Writes += c.writes.Load()
		s.Partial += c.partial.Load()
	}
	s.Rejected, s.Panics = t.rejected.Load(), t.panics.Load()
	return s
}

// nextLoop deals the next connection to a loop.
func (t *Transport) nextLoop() uint8 {
	return uint8(t.turn.Add(1) % uint32(t.opts.Loops))
}

// newConn makes a connection that belongs to nobody yet.
func (t *Transport) newConn(loop uint8) *Conn {
	c := &Conn{t: t, fd: -1, loop: loop}
	now := t.ticks()
	c.heard.Store(now)
	c.taken.Store(now)
	c.pinged = now
	return c
}

// handOut asks the host for the Handler of a connection that has been answered.
func (t *Transport) handOut(c *Conn, open func(*Conn) Handler) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			t.panicked("transport: panic while opening a connection", v)
			ok = false
		}
	}()
	c.h = open(c)
	return c.h != nil
}

// serve runs a connection whose handshake is done, on the engine that fits. It
// owns conn from here. pre are bytes that came with the handshake.
func (t *Transport) serve(conn net.Conn, pre []byte, open func(*Conn) Handler) {
	c := t.newConn(t.nextLoop())
	if t.adopt(c, conn) {
		t.run(c, pre, open)
		return
	}
	settled := false
	defer func() {
		if !settled { // code of the host's has made this goroutine exit
			hostConn{conn, t}.drop()
			t.leave()
		}
	}()
	c.net = newNetConn(c, hostConn{conn, t})
	// What open sends gets a writer at once, which must not call a Handler yet.
	c.net.calls.Lock()
	ok := t.handOut(c, open)
	if !ok {
		c.mu.Lock()
		c.set(isClosed)
		c.out = nil
		c.mu.Unlock()
	}
	c.net.calls.Unlock()
	settled = true
	if !ok {
		c.closeNet()
		t.leave()
		return
	}
	t.nets.add(c, pre)
}

// CloseListeners closes what Serve listens on, and makes those calls return.
// Connections stay, and Upgrade goes on.
func (t *Transport) CloseListeners() {
	t.mu.Lock()
	var all []stopper
	for l := range t.listeners {
		all = append(all, l)
	}
	t.mu.Unlock()
	for _, l := range all {
		l.stop()
	}
}

// Shutdown closes the listeners, refuses upgrades with 503 and waits until all
// connections are gone. It does not close them: their owner says goodbye and the
// peers, or PingInterval and the like, do the rest. When ctx ends first, what is
// left is cut, and the error is ctx's.
//
// Afterwards no goroutine and no descriptor of the Transport is left, but what a
// net.Conn of the host's does not return from when it is closed. Shutdown may
// be called again, also while another call waits, but not from a Handler.
func (t *Transport) Shutdown(ctx context.Context) error {
	first := t.refuseAll()
	t.CloseListeners()
	t.nets.cutEarly()
	var err error
	select {
	case <-t.idle:
	default:
		select {
		case <-t.idle:
		case <-ctx.Done():
			err = ctx.Err()
			t.cutAll()
			<-t.idle
		}
	}
	if !first {
		<-t.stopped
		return err
	}
	for _, l := range t.loops {
		if l != nil {
			l.close()
		}
	}
	t.inflation.stop()
	t.wg.Wait()
	t.cancel()
	close(t.stopped)
	return err
}

// Close is Shutdown without patience: every connection is cut at once.
func (t *Transport) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := t.Shutdown(ctx); err != context.Canceled {
		return err
	}
	return nil
}

// refuseAll lets no connection in any more. It tells whether this is the first call.
func (t *Transport) refuseAll() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusing {
		return false
	}
	t.refusing = true
	if t.active == 0 {
		close(t.idle)
	}
	return true
}

// cutAll cuts every connection, and those whose upgrade ends from now on.
func (t *Transport) cutAll() {
	t.mu.Lock()
	t.cutting = true
	t.cancel()
	loops := append([]*loop(nil), t.loops...)
	t.mu.Unlock()
	for _, l := range loops {
		if l != nil {
			l.cutAll()
		}
	}
	t.nets.cutAll()
}

func (t *Transport) isCutting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cutting
}

func (t *Transport) isRefusing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refusing
}

// keep notes a listener, unless the Transport is shutting down.
func (t *Transport) keep(l stopper) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusing {
		return false
	}
	t.listeners[l] = struct{}{}
	return true
}

func (t *Transport) forget(l stopper) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.listeners, l)
}
