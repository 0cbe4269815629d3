package chat

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/door"
	"github.com/gabblehq/chat/internal/rest"
)

// routes is what is under the mount.
func (s *Server) routes() *rest.Mux {
	m := &rest.Mux{}
	m.Handle("GET /ws", s.upgrade)
	for _, typ := range slices.Sorted(maps.Keys(s.commands)) { // the same every time
		k := s.commands[typ]
		for _, at := range k.routes {
			m.Handle(at.pattern, func(w http.ResponseWriter, r *http.Request) { s.serveREST(w, r, k, &at) })
		}
	}
	m.Handle("GET /healthz", s.healthz)
	m.Handle("GET /readyz", s.readyz)
	m.Else(s.notHere)
	return m
}

// route hands a request to what is at its path.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	r = s.edge.Within(w, r)
	if !rest.Clean(r) {
		s.writeError(w, r, errUnclean(r))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// ExactPaths is for around the mux that the chat is mounted on. A [http.ServeMux]
// redirects a path with "//" or dot segments to the clean one, method and body
// included, and so DELETE /chat/rooms/a/../b to another room. ExactPaths answers such
// a request with 404 and not_found instead, as the Server does itself.
func ExactPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rest.Clean(r) {
			err := errUnclean(r)
			body := rest.Refusal(w.Header(), err.said())
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(rest.Status(string(err.Code)))
			_, _ = w.Write(body)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// errUnclean is the answer to a path that is not clean; as a mux does not know where it
// is mounted, to redirect it would lead out of the mount.
func errUnclean(r *http.Request) *Error {
	return &Error{Code: CodeNotFound, Message: "nothing at " + strconv.Quote(clip(r.URL.EscapedPath())) + ": paths are not cleaned up"}
}

// serveREST answers one REST call: by the same authentication, middleware and rules
// as a command over WebSocket.
func (s *Server) serveREST(w http.ResponseWriter, r *http.Request, k *command, at *route) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if !s.inUse.Enter() {
		s.writeError(w, r, asError(ErrServerClosed))
		return
	}
	defer s.inUse.Leave()
	if err := s.cors(w, r); err != nil {
		s.writeError(w, r, err)
		return
	}
	ip := s.admission.proxies.Client(r)
	done, err := s.admission.request(ip)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	defer done()
	who, err := s.identify(r, ip, false)
	if err == nil && who == nil {
		err = &Error{Code: CodeUnauthenticated, Message: "not authenticated"}
	}
	if err == nil {
		if s.admission.requests.EnterUser(who.ID) {
			defer s.admission.requests.LeaveUser(who.ID)
		} else {
			err = errBusyUser
		}
	}
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	c := newCall(s, nil)
	defer c.free()
	c.wire.Ref = ""
	c.cmd.Type, c.cmd.User, c.cmd.RemoteIP, c.cmd.Room = k.typ, *who, ip, r.PathValue("room")
	body, err := c.serve(r, k, at)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	status := at.status
	switch {
	case len(body) == 0:
		status = http.StatusNoContent
	case c.cmd.Duplicate:
		status = http.StatusOK
	}
	s.edge.Answer(w, r, status, body)
}

// serve has a command done as a request says, and returns the body of the answer.
func (c *call) serve(r *http.Request, k *command, at *route) (body []byte, err error) {
	ctx := r.Context()
	if at.read != nil {
		if err := at.read(c, r); err != nil {
			return nil, c.srv.malformed(ctx, c.cmd.User.ID, err)
		}
	}
	if err := c.srv.dispatch(ctx, c); err != nil {
		return nil, err
	}
	how := at.reply
	if how == nil {
		how = k.reply
	}
	for {
		reply, err := c.answer(ctx, how)
		if err != nil {
			return nil, err
		}
		body = reply.AppendObject(nil)
		if k.again == nil || c.current() { // see revocations
			return body, nil
		}
		if err := k.again(c, ctx); err != nil {
			return nil, err
		}
	}
}

// readFrame takes a body by the rules of the frame that does the same.
func (c *call) readFrame(r *http.Request, id string) error {
	raw, err := c.srv.edge.Body(r)
	if err == nil {
		err = c.wire.DecodeBody(string(c.cmd.Type), c.cmd.Room, id, raw)
	}
	if err != nil {
		return wireError(err)
	}
	c.take()
	return nil
}

// readBody reads and validates a body that is no frame.
func (c *call) readBody(r *http.Request, v any) error {
	if err := c.srv.edge.Decode(r, v); err != nil {
		return wireError(err)
	}
	return nil
}

// intParam reads a parameter that is a whole number from 0.
func intParam(r *http.Request, name string) (int, error) {
	n, err := rest.Int(r, name)
	if err != nil {
		return 0, wireError(err)
	}
	return n, nil
}

// healthz says that the process answers.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	s.edge.Answer(w, r, http.StatusOK, []byte(`{"status":"ok"}`))
}

// readyz says whether the server takes clients: not while it drains, and not
// while the store does not answer.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	reason := ""
	if s.closing.Load() {
		reason = "draining"
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), max(time.Second, s.health.Patience()))
		defer cancel()
		if s.askStore(ctx) != nil || s.checkStore(ctx) != nil {
			reason = "store"
		}
	}
	if reason == "" {
		s.edge.Answer(w, r, http.StatusOK, []byte(`{"status":"ready"}`))
		return
	}
	s.edge.Answer(w, r, http.StatusServiceUnavailable, fmt.Appendf(nil, `{"status":"not ready","reason":%q}`, reason))
}

// notHere tells somebody whose mount is wrong what was seen and what to do.
func (s *Server) notHere(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		if err := s.cors(w, r); err != nil {
			s.writeError(w, r, err)
			return
		}
		s.edge.Answer(w, r, http.StatusNoContent, nil)
		return
	}
	if r.Method == http.MethodConnect && len(r.Header[":protocol"]) > 0 {
		s.writeError(w, r, &Error{Code: CodeUnsupported, Message: "a WebSocket over HTTP/2 or HTTP/3 (extended CONNECT, RFC 8441) is not supported: open it over HTTP/1.1"})
		return
	}
	if allow := s.mux.Allowed(r); len(allow) > 0 {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		s.writeStatus(w, r, http.StatusMethodNotAllowed, &Error{Code: CodeInvalid, Message: "not by " + clip(r.Method)})
		return
	}
	roots := s.mux.Roots()
	msg := "nothing at " + clip(r.Method+" "+r.URL.Path) + " under the mount; there are " + strings.Join(roots[:len(roots)-1], ", ") + " and " + roots[len(roots)-1]
	for _, known := range roots {
		if i := strings.Index(r.URL.Path, known); i > 0 {
			msg = "the chat was asked for " + clip(r.URL.Path) + ": mount it with http.StripPrefix(" + strconv.Quote(clip(r.URL.Path[:i])) + ", srv)"
		}
	}
	s.writeError(w, r, &Error{Code: CodeNotFound, Message: msg})
}

func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	s.writeStatus(w, r, rest.Status(string(e.Code)), e)
}

func (s *Server) writeStatus(w http.ResponseWriter, r *http.Request, status int, e *Error) {
	s.count.errors.add(e.Code)
	body := rest.Refusal(w.Header(), e.said())
	s.edge.Answer(w, r, status, body)
}

// cors lets the pages of allowed origins read the answers, and nobody else's
// page do anything: a browser sends cookies along with whatever page asks.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) error {
	if len(r.Header["Origin"]) == 0 {
		if door.CrossSite(r) {
			return &Error{Code: CodeForbidden, Message: "a request of another site"}
		}
		return nil
	}
	w.Header().Add("Vary", "Origin")
	trust, err := s.checkOrigin(r)
	if err == nil {
		door.Share(w.Header(), r, trust)
	}
	return err
}
