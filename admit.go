package chat

import (
	"math"
	"net/netip"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/transport"
)

// retryFull is what clients are told to whom a full server says no.
const retryFull = 2 * time.Second

var (
	errFull   = &Error{Code: CodeUnavailable, Message: "the server is full", RetryAfter: retryFull}
	errFullIP = &Error{Code: CodeUnavailable, Message: "too many connections from this address", RetryAfter: retryFull}
)

// admission decides whether there is room for another connection. The transport
// counts them in all; this counts them by address, where that is bounded, and looks
// at the memory.
type admission struct {
	perIP    int
	rejected atomic.Int64 // for their address, after their request

	mu   sync.Mutex
	byIP map[netip.Addr]int // only who has connections

	memory memoryGauge
}

func (a *admission) init(l *Limits) {
	a.perIP, a.memory.most, a.memory.start = l.ConnectionsPerIP, uint64(l.MemoryBytes), time.Now()
	if a.perIP > 0 {
		a.byIP = make(map[netip.Addr]int)
	}
}

// admit tells the transport whom to let in.
func (s *Server) admit(o *transport.Options) {
	o.MaxConnections, o.Full = s.opt.Limits.Connections, handshakeError(errFull)
	if s.admission.memory.most > 0 {
		o.Overloaded = s.admission.memory.over
	}
	if s.admission.perIP > 0 {
		o.Arrived = s.arrived
	}
}

// arrived counts a connection whose request is not in under its peer. Through a
// trusted proxy everybody comes: whose it is only the request tells.
func (s *Server) arrived(peer netip.Addr) (gone func(), ok bool) {
	if s.trusted(peer) {
		return nil, true
	}
	if !s.admission.take(peer) {
		return nil, false
	}
	return func() { s.admission.give(peer) }, true
}

// crowded reports whether an address has its connections already, so that nothing
// has to be found out about who asks. A request that is refused for it counts.
func (s *Server) crowded(ip netip.Addr) bool {
	a := &s.admission
	if ip = network(ip); a.perIP == 0 || !ip.IsValid() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byIP[ip] < a.perIP {
		return false
	}
	a.rejected.Add(1)
	return true
}

// seat counts a connection in under its client's address. It is counted out when
// nothing comes of the upgrade, or when its session ends.
func (s *Server) seat(u *transport.Upgrade, ip netip.Addr) error {
	a := &s.admission
	if a.perIP == 0 {
		return nil
	}
	if !a.take(ip) {
		a.rejected.Add(1)
		return errFullIP
	}
	u.Dropped = func() { a.give(ip) }
	return nil
}

// seated is the Handler of a session that may be counted by its address.
func (s *Server) seated(sess *session) transport.Handler {
	if s.admission.perIP == 0 {
		return sess
	}
	return seatedSession{sess}
}

// seatedSession is one pointer, so that it takes no memory of its own.
type seatedSession struct{ *session }

func (s seatedSession) Closed(c *transport.Conn, code uint16, err error) {
	defer s.srv.admission.give(s.from.Value().ip)
	s.session.Closed(c, code, err)
}

// take counts one in. A peer without an address, as on a Unix socket, is not counted.
func (a *admission) take(ip netip.Addr) bool {
	ip = network(ip)
	if !ip.IsValid() {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.byIP[ip]
	if n >= a.perIP {
		return false
	}
	a.byIP[ip] = n + 1
	return true
}

// give goes with a take that succeeded.
func (a *admission) give(ip netip.Addr) {
	ip = network(ip)
	if !ip.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byIP[ip]--; a.byIP[ip] <= 0 {
		delete(a.byIP, ip)
	}
}

// network is what counts as one client: an IPv4 address, or the /64 that a
// subscriber of IPv6 has.
func network(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if !ip.Is6() {
		return ip
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}

// memoryGauge tells whether the Go runtime holds more than it should.
type memoryGauge struct {
	most  uint64
	start time.Time
	next  atomic.Int64 // when to look again, in nanoseconds since the start
	above atomic.Bool
}

const lookEvery = 100 * time.Millisecond

func (g *memoryGauge) over() bool {
	now, next := int64(time.Since(g.start)), g.next.Load()
	if now >= next && g.next.CompareAndSwap(next, now+int64(lookEvery)) {
		g.above.Store(heldMemory() > g.most)
	}
	return g.above.Load()
}

// heldMemory is what the Go runtime has of the system and has not given back, which
// is what GOMEMLIMIT bounds.
func heldMemory() uint64 {
	m := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64() - m[1].Value.Uint64()
}

// memoryRoom is the default of Limits.MemoryBytes.
func memoryRoom() int64 {
	most := debug.SetMemoryLimit(-1)
	if most == math.MaxInt64 {
		return 0
	}
	return most / 10 * 9
}

// roomIn is what a limit of open files leaves to connections.
func roomIn(files uint64) int {
	if files >= math.MaxInt32 {
		return 0
	}
	n := int(files)
	return max(n-max(64, n/50), n/2, 1)
}

// requestRoom is the default of Limits.Requests.
func requestRoom() int {
	files := openFiles()
	if conns := roomIn(files); conns > 0 {
		return max((int(files)-conns)/2, 16)
	}
	return 1024
}

// fileRoom is the default of Limits.Connections.
func fileRoom() int { return roomIn(openFiles()) }
