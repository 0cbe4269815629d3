package chat

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/internal/door"
	"github.com/gabblehq/chat/transport"
)

// retryFull is what clients are told to whom a full server says no.
const retryFull = 2 * time.Second

var (
	errFull   = &Error{Code: CodeUnavailable, Message: "the server is full", RetryAfter: retryFull}
	errFullIP = &Error{Code: CodeUnavailable, Message: "too many connections from this address", RetryAfter: retryFull}
)

// admission decides who may have a connection, or make a request. The transport
// counts connections in all; this counts them by address, where that is bounded,
// and looks at the memory, and at the page of a browser.
type admission struct {
	limits    *Limits
	addresses *door.Addresses
	requests  *door.Requests
	rejected  atomic.Int64 // connections for their address, after their request, and requests
	origins   *door.Origins
	proxies   door.Proxies
}

func (a *admission) init(o *Options) {
	a.limits = &o.Limits
	a.addresses = door.NewAddresses(o.Limits.ConnectionsPerIP)
	a.requests = door.NewRequests(door.RequestLimits{
		All: o.Limits.Requests, PerAddress: o.Limits.ConnectionsPerIP, PerUser: max(o.Limits.Requests/4, 4),
	})
	a.origins = door.ReadOrigins(o.Origins, nil) // settle has complained
	a.proxies = door.Proxies{Trusted: o.TrustedProxies, Header: o.ProxyHeader}
}

// admit tells the transport whom to let in.
func (a *admission) admit(o *transport.Options) {
	o.MaxConnections, o.Full = a.limits.Connections, handshakeError(errFull)
	if a.limits.MemoryBytes > 0 {
		o.Overloaded = door.NewMemory(uint64(a.limits.MemoryBytes)).Over
	}
	if a.limits.ConnectionsPerIP > 0 {
		o.Arrived = a.arrived
	}
}

// arrived counts a connection whose request is not in under its peer. Through a
// trusted proxy everybody comes: whose it is only the request tells.
func (a *admission) arrived(peer netip.Addr) (gone func(), ok bool) {
	if a.proxies.Trusts(peer) {
		return nil, true
	}
	if !a.addresses.Enter(peer) {
		return nil, false
	}
	return func() { a.addresses.Leave(peer) }, true
}

// full reports whether an address has its connections already, so that nothing
// has to be found out about who asks. A request that is refused for it counts.
func (a *admission) full(ip netip.Addr) bool {
	full := a.addresses.Full(ip)
	if full {
		a.rejected.Add(1)
	}
	return full
}

// enter counts a connection in under its client's address. It is counted out when
// nothing comes of the upgrade, or when its session ends.
func (a *admission) enter(u *transport.Upgrade, ip netip.Addr) error {
	if a.limits.ConnectionsPerIP == 0 {
		return nil
	}
	if !a.addresses.Enter(ip) {
		a.rejected.Add(1)
		return errFullIP
	}
	u.Dropped = func() { a.addresses.Leave(ip) }
	return nil
}

// handler is the Handler of a session that may be counted by its address.
func (a *admission) handler(s *session) transport.Handler {
	if a.limits.ConnectionsPerIP == 0 {
		return s
	}
	return countedSession{s}
}

// countedSession is one pointer, so that it takes no memory of its own.
type countedSession struct{ *session }

func (s countedSession) Closed(c *transport.Conn, code uint16, err error) {
	defer s.srv.admission.addresses.Leave(s.from.Value().ip)
	s.session.Closed(c, code, err)
}

// checkOrigin lets browsers in from the server's own host and from
// Options.Origins.
func (s *Server) checkOrigin(r *http.Request) (door.Trust, error) {
	secure := s.admission.proxies.Secure(r)
	if trust := s.admission.origins.Check(r, secure); trust != door.Refused {
		return trust, nil
	}
	origin, own := clip(r.Header["Origin"][0]), r.Host
	if secure {
		own = "https://" + own
	}
	own = clip(own)
	s.strangers.Warn(s.log, "chat: origin refused", "origin", origin, "host", own, "option", "Options.Origins")
	return door.Refused, &Error{Code: CodeForbidden, Message: fmt.Sprintf("the page is of %q, and this request was sent to %q: they must be alike, or Options.Origins names the page's; "+
		"a proxy has to pass the Host header on (nginx: proxy_set_header Host $http_host)", origin, own)}
}

var (
	errBusy     = &Error{Code: CodeUnavailable, Message: "too many requests under way", RetryAfter: retryFull}
	errBusyUser = &Error{Code: CodeRateLimited, Message: "too many requests under way", RetryAfter: retryFull}
)

// request counts a REST call in; done goes with it where there is no error.
func (a *admission) request(ip netip.Addr) (done func(), err error) {
	switch a.requests.Enter(ip) {
	case door.AllFull:
		err = errBusy
	case door.AddressFull:
		err = errFullIP
	default:
		return func() { a.requests.Leave(ip) }, nil
	}
	a.rejected.Add(1)
	return nil, err
}
