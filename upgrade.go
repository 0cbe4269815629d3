package chat

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/transport"
)

// upgrade makes a WebSocket session of a request.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	if s.transport.Full() { // before anything is found out about who asks
		refuse(w, handshakeError(errFull))
		return
	}
	u, open, err := s.accept(r)
	if err != nil {
		refuse(w, err.(*transport.HandshakeError))
		return
	}
	if err := s.transport.Upgrade(w, r, u, open); err != nil { // which has been answered
		s.log.Warn("chat: not upgraded", "path", r.URL.Path, "error", err)
	}
}

func refuse(w http.ResponseWriter, e *transport.HandshakeError) {
	for k, v := range e.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.Body)
}

// accept decides about an upgrade before anything is upgraded. Its errors are
// *transport.HandshakeError.
func (s *Server) accept(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
	u := transport.Upgrade{Protocols: []string{wire.Subprotocol}}
	if s.closing.Load() {
		return u, nil, handshakeError(&Error{Code: CodeUnavailable, Message: "the server is shutting down", RetryAfter: time.Second})
	}
	if !strings.HasSuffix(r.URL.Path, "/ws") {
		return u, nil, handshakeError(&Error{Code: CodeNotFound, Message: "no WebSocket at " + clip(r.URL.Path) + ": it is at /ws under the mount"})
	}
	if err := s.checkOrigin(r); err != nil {
		return u, nil, handshakeError(err)
	}
	ip := s.clientIP(r)
	if s.crowded(ip) {
		return u, nil, handshakeError(errFullIP)
	}
	c := newCall(nil)
	defer c.free()
	c.cmd.Type, c.cmd.RemoteIP = CmdConnect, ip
	if err := s.dispatch(r.Context(), c); err != nil {
		return u, nil, handshakeError(err)
	}
	who, err := s.identify(r, ip, true)
	if err != nil {
		return u, nil, handshakeError(err)
	}
	if err := s.seat(&u, ip); err != nil {
		return u, nil, handshakeError(err)
	}
	u.Deflate = who != nil // see Options.Compression
	from := origin{host: clip(r.Host)}
	if peer, _ := netip.ParseAddrPort(r.RemoteAddr); peer.Addr().Unmap() != ip || s.admission.perIP > 0 {
		from.ip = ip // to be known when the connection is gone, too
	}
	return u, func(conn *transport.Conn) transport.Handler { return s.seated(s.openSession(conn, from, who)) }, nil
}

// identify asks the host who sent a request. Nil without an error means that
// an upgrade carries nothing to tell by, and that the first frame has to.
func (s *Server) identify(r *http.Request, ip netip.Addr, upgrade bool) (*User, error) {
	c := newCall(nil)
	defer c.free()
	if name := s.opt.QueryToken; name != "" && r.Header.Get("Authorization") == "" {
		if token := r.URL.Query().Get(name); token != "" {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}
	c.cmd.Type, c.cmd.RemoteIP, c.request = CmdAuth, ip, r
	if upgrade && r.Header.Get("Authorization") == "" && r.Header.Get("Cookie") == "" {
		// Most likely a browser whose first frame will tell. That is no failed
		// attempt, which middleware would have to log; as a connection it has
		// been counted.
		err := s.authenticate(c)
		if errors.Is(err, ErrUnauthenticated) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		who := c.cmd.User
		c.cmd.User, c.who = User{}, &who
	}
	err := s.dispatch(r.Context(), c)
	if err == nil {
		err = c.identified()
	}
	if err != nil {
		if upgrade && errors.Is(err, ErrUnauthenticated) && r.Header.Get("Authorization") == "" {
			return nil, nil
		}
		return nil, err
	}
	who := c.cmd.User
	return &who, nil
}

// openSession makes the session of a connection that has been upgraded.
func (s *Server) openSession(conn *transport.Conn, from origin, who *User) *session {
	sess := &session{srv: s, conn: conn, from: unique.Make(from), id: s.ids.Add(1)}
	s.guests.mu.Lock()
	s.guests.set[sess] = struct{}{}
	s.guests.mu.Unlock()
	if s.closing.Load() {
		// Shutdown may have counted its sessions already.
		conn.Close(wire.CloseRestart, "restart")
		return sess
	}
	if who == nil {
		s.timers.at(time.Now().Add(s.opt.Limits.AuthTimeout), sess)
		return sess
	}
	if sess.adopt(who) == nil {
		sess.welcome("")
	}
	return sess
}

// handshakeError is the answer to a request that is not upgraded.
func handshakeError(err error) *transport.HandshakeError {
	e := asError(err)
	h := http.Header{"Content-Type": {"application/json"}}
	setRetryAfter(h, e)
	return &transport.HandshakeError{
		Status: status(e.Code), Reason: e.Message, Header: h,
		Body: wire.AppendErrorObject(nil, &wire.Error{Code: string(e.Code), Message: e.Message, Field: e.Field, RetryAfterMS: e.RetryAfter.Milliseconds()}),
	}
}

// checkOrigin lets browsers in from the server's own host and from
// Options.Origins. Whoever is not a browser sends no Origin.
func (s *Server) checkOrigin(r *http.Request) error {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return nil
	}
	if len(origins) == 1 && s.originAllowed(origins[0], r.Host) != originRefused {
		return nil
	}
	s.log.Warn("chat: origin refused", "origin", clip(origins[0]), "host", clip(r.Host), "option", "Options.Origins")
	return &Error{Code: CodeForbidden, Message: "origin " + clip(origins[0]) + " is not allowed; see Options.Origins"}
}

// How much an origin is trusted.
const (
	originRefused = iota
	originAnybody // only because everybody is let in
	originNamed   // the server's own, or one that the host has named
)

func (s *Server) originAllowed(origin, host string) int {
	trust := originRefused
	if slices.Contains(s.opt.Origins, "*") {
		trust = originAnybody
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" { // "null", for one
		return trust
	}
	if strings.EqualFold(u.Host, host) || isLoopback(u.Host) && isLoopback(host) {
		return originNamed
	}
	for _, o := range s.opt.Origins {
		if strings.EqualFold(o, origin) {
			return originNamed
		}
		// https://*.example.com covers every host below, not example.com.
		if scheme, rest, ok := strings.Cut(o, "://*."); ok && strings.EqualFold(u.Scheme, scheme) {
			if h := strings.ToLower(u.Host); strings.HasSuffix(h, "."+strings.ToLower(rest)) {
				return originNamed
			}
		}
	}
	return trust
}

// isLoopback tells development on one machine, where the page often comes from
// another port than the chat.
func isLoopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// clientIP is the address of who sent the request: the peer's, or, where that
// is a trusted proxy, the last one in X-Forwarded-For that is none.
func (s *Server) clientIP(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	ip := ap.Addr().Unmap()
	if !s.trusted(ip) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return ip
		}
		if ip = hop.Unmap(); !s.trusted(ip) {
			return ip
		}
	}
	return ip
}

func (s *Server) trusted(ip netip.Addr) bool {
	for _, p := range s.opt.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// clip shortens what comes from outside for messages and logs.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
