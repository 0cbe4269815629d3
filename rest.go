package chat

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// routes is what is under the mount, and by which methods.
func (s *Server) routes() (m *http.ServeMux, methods []string) {
	m = http.NewServeMux()
	handle := func(pattern string, f http.HandlerFunc) {
		m.HandleFunc(pattern, f)
		method, _, _ := strings.Cut(pattern, " ")
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	handle("GET /ws", s.upgrade)
	handle("GET /healthz", s.healthz)
	handle("GET /readyz", s.readyz)
	for _, k := range s.commands {
		for _, at := range k.routes {
			handle(at.pattern, func(w http.ResponseWriter, r *http.Request) { s.rest(w, r, k, &at) })
		}
	}
	m.HandleFunc(catchAll, s.notHere)
	slices.Sort(methods)
	return m, slices.Compact(methods)
}

// catchAll is the pattern of what nothing else is there for.
const catchAll = "/"

// route hands a request to what is at its path.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	r = s.within(w, r)
	if err := unclean(r); err != nil {
		s.writeError(w, r, err)
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
		if err := unclean(r); err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status(err.Code))
			_, _ = w.Write(wire.AppendErrorObject(nil, &wire.Error{Code: string(err.Code), Message: err.Message}))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// unclean is the answer to a path that a mux would redirect; as it does not know where
// it is mounted, out of the mount. Nil if it would not.
func unclean(r *http.Request) *Error {
	p := r.URL.EscapedPath()
	clean := path.Clean("/" + p)
	if clean != "/" && strings.HasSuffix(p, "/") {
		clean += "/"
	}
	if p == clean {
		return nil
	}
	return &Error{Code: CodeNotFound, Message: "nothing at " + strconv.Quote(clip(p)) + ": paths are not cleaned up"}
}

// rest answers one REST call: by the same authentication, middleware and rules
// as a command over WebSocket.
func (s *Server) rest(w http.ResponseWriter, r *http.Request, k *command, at *route) {
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
	s.answer(w, r, status, body)
}

// serve has a command done as a request says, and returns the body of the answer.
func (c *call) serve(r *http.Request, k *command, at *route) (body []byte, err error) {
	ctx := r.Context()
	if at.read != nil {
		if err := at.read(c, r); err != nil {
			return nil, err
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
	raw, err := c.srv.read(r)
	if err != nil {
		return err
	}
	if err := c.wire.DecodeBody(string(c.cmd.Type), c.cmd.Room, id, raw); err != nil {
		return decodeError(c, err)
	}
	c.take()
	return nil
}

// read returns a request's body, bounded.
func (s *Server) read(r *http.Request) ([]byte, error) {
	if ct, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); ct != "application/json" {
		return nil, (&Error{Code: CodeInvalid, Message: "the body must be application/json"}).WithField("Content-Type")
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, int64(s.opt.Limits.MessageBytes)+1))
	if err != nil {
		return nil, &Error{Code: CodeInvalid, Message: "the body could not be read", cause: err}
	}
	if len(raw) > s.opt.Limits.MessageBytes {
		return nil, &Error{Code: CodeTooLarge, Message: "the body is too large"}
	}
	return raw, nil
}

// readBody reads and validates a body of a rare kind.
func (c *call) readBody(r *http.Request, v any) error {
	raw, err := c.srv.read(r)
	if err != nil {
		return err
	}
	return decodeStrict(raw, v)
}

func intParam(r *http.Request, name string) (int, error) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, (&Error{Code: CodeInvalid, Message: "not a whole number from 0"}).WithField(name)
	}
	return n, nil
}

// healthz says that the process answers.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, http.StatusOK, []byte(`{"status":"ok"}`))
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
		s.answer(w, r, http.StatusOK, []byte(`{"status":"ready"}`))
		return
	}
	s.answer(w, r, http.StatusServiceUnavailable, fmt.Appendf(nil, `{"status":"not ready","reason":%q}`, reason))
}

// allowed are the methods that the path has something for.
func (s *Server) allowed(r *http.Request) (list []string) {
	probe := r.WithContext(r.Context())
	for _, m := range s.methods {
		probe.Method = m
		if _, pattern := s.mux.Handler(probe); pattern != catchAll {
			list = append(list, m)
		}
	}
	return list
}

// notHere tells somebody whose mount is wrong what was seen and what to do.
func (s *Server) notHere(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		if err := s.cors(w, r); err != nil {
			s.writeError(w, r, err)
			return
		}
		s.answer(w, r, http.StatusNoContent, nil)
		return
	}
	if r.Method == http.MethodConnect && len(r.Header[":protocol"]) > 0 {
		s.writeError(w, r, &Error{Code: CodeUnsupported, Message: "a WebSocket over HTTP/2 or HTTP/3 (extended CONNECT, RFC 8441) is not supported: open it over HTTP/1.1"})
		return
	}
	if allow := s.allowed(r); len(allow) > 0 {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		s.writeStatus(w, r, http.StatusMethodNotAllowed, &Error{Code: CodeInvalid, Message: "not by " + clip(r.Method)})
		return
	}
	msg := "nothing at " + clip(r.Method+" "+r.URL.Path) + " under the mount; there are /ws, /rooms, /direct, /healthz and /readyz"
	for _, known := range []string{"/ws", "/rooms", "/direct", "/healthz", "/readyz"} {
		if i := strings.Index(r.URL.Path, known); i > 0 {
			msg = "the chat was asked for " + clip(r.URL.Path) + ": mount it with http.StripPrefix(" + strconv.Quote(clip(r.URL.Path[:i])) + ", srv)"
		}
	}
	s.writeError(w, r, &Error{Code: CodeNotFound, Message: msg})
}
