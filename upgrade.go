package chat

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unique"

	"github.com/gabblehq/chat/internal/rest"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/transport"
)

// upgrade makes a WebSocket session of a request.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	if s.transport.Full() { // before anything is found out about who asks
		s.refuse(w, r, handshakeError(errFull))
		return
	}
	u, open, err := s.accept(r)
	if err != nil {
		s.refuse(w, r, err.(*transport.HandshakeError))
		return
	}
	err = s.transport.Upgrade(w, r, u, open)
	switch e, known := errors.AsType[*transport.HandshakeError](err); {
	case err == nil: // else it has been answered
	case known && e.Status < http.StatusInternalServerError: // anybody can do that, at any rate
		s.strangers.Warn(s.log, "chat: not upgraded", "path", clip(r.URL.Path), "error", err)
	case known: // how the chat is mounted
		s.strangers.Warn(s.log, "chat: cannot upgrade", "path", clip(r.URL.Path), "error", err)
	default:
		s.strangers.Warn(s.log, "chat: upgrade cut off", "path", clip(r.URL.Path), "error", err)
	}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e *transport.HandshakeError) {
	for k, v := range e.Header {
		w.Header()[k] = v
	}
	s.edge.Answer(w, r, e.Status, e.Body)
}

// accept decides about an upgrade before anything is upgraded. Its errors are
// *transport.HandshakeError.
func (s *Server) accept(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
	u, open, err := s.judge(r)
	if err == nil {
		return u, open, nil
	}
	s.count.errors.add(asError(err).Code)
	return u, nil, handshakeError(err)
}

func (s *Server) judge(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
	u := transport.Upgrade{Protocols: []string{wire.Subprotocol}}
	if s.closing.Load() {
		return u, nil, &Error{Code: CodeUnavailable, Message: "the server is shutting down", RetryAfter: time.Second}
	}
	if !strings.HasSuffix(r.URL.Path, "/ws") {
		return u, nil, &Error{Code: CodeNotFound, Message: "no WebSocket at " + clip(r.URL.Path) + ": it is at /ws under the mount"}
	}
	if _, err := s.checkOrigin(r); err != nil {
		return u, nil, err
	}
	ip := s.admission.proxies.Client(r)
	if s.admission.full(ip) {
		return u, nil, errFullIP
	}
	c := newCall(s, nil)
	defer c.free()
	c.cmd.Type, c.cmd.RemoteIP = CmdConnect, ip
	if err := s.dispatch(r.Context(), c); err != nil {
		return u, nil, err
	}
	begun := s.dismissed.begin()
	who, err := s.identify(r, ip, true)
	if err != nil {
		return u, nil, err
	}
	if err := s.admission.enter(&u, ip); err != nil {
		return u, nil, err
	}
	u.Deflate = who != nil // see Options.Compression
	from := origin{host: clip(r.Host)}
	if peer, _ := netip.ParseAddrPort(r.RemoteAddr); peer.Addr().Unmap() != ip || s.opt.Limits.ConnectionsPerIP > 0 {
		from.ip = ip // to be known when the connection is gone, too
	}
	return u, func(conn *transport.Conn) transport.Handler {
		return s.admission.handler(s.openSession(conn, from, who, begun))
	}, nil
}

// openSession makes the session of a connection that has been upgraded. begun
// is from before the host was asked who it is.
func (s *Server) openSession(conn *transport.Conn, from origin, who *User, begun uint64) *session {
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
		s.timers.At(time.Now().Add(s.opt.Limits.AuthTimeout), sess)
		return sess
	}
	if sess.adopt(who, begun) == nil {
		sess.welcome("")
	}
	return sess
}

// handshakeError is the answer to a request that is not upgraded.
func handshakeError(err error) *transport.HandshakeError {
	e := asError(err)
	h := http.Header{"Content-Type": {"application/json"}}
	body := rest.Refusal(h, e.said())
	return &transport.HandshakeError{Status: rest.Status(string(e.Code)), Reason: e.Message, Header: h, Body: body}
}

// clip shortens what comes from outside for messages and logs.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
