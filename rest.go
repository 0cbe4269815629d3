package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// routes is what is under the mount.
func (s *Server) routes() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /ws", s.upgrade)
	m.HandleFunc("GET /healthz", s.healthz)
	m.HandleFunc("GET /readyz", s.readyz)
	rest := func(pattern string, typ CommandType, f restFunc) {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.rest(w, r, typ, f) })
	}
	rest("GET /rooms", CmdRooms, s.getRooms)
	rest("POST /rooms", CmdCreateRoom, s.postRoom)
	rest("POST /direct", CmdCreateRoom, s.postDirect)
	rest("GET /rooms/{room}", CmdPresence, s.getRoom)
	rest("PATCH /rooms/{room}", CmdUpdateRoom, s.patchRoom)
	rest("DELETE /rooms/{room}", CmdDeleteRoom, s.removeRoom)
	rest("GET /rooms/{room}/online", CmdMembers, s.getOnline)
	rest("GET /rooms/{room}/messages", CmdHistory, s.getMessages)
	rest("POST /rooms/{room}/messages", CmdMessage, s.postMessage)
	rest("GET /rooms/{room}/messages/{id}", CmdHistory, s.getMessage)
	rest("PATCH /rooms/{room}/messages/{id}", CmdEdit, s.patchMessage)
	rest("DELETE /rooms/{room}/messages/{id}", CmdDelete, s.deleteMessage)
	m.HandleFunc(catchAll, s.notHere)
	return m
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

// restFunc fills a command from a request, has it done with run, and returns
// the status and the body of the answer.
type restFunc func(r *http.Request, c *call, run func() error) (status int, body []byte, err error)

// rest answers one REST call: by the same authentication, middleware and rules
// as a command over WebSocket.
func (s *Server) rest(w http.ResponseWriter, r *http.Request, typ CommandType, f restFunc) {
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
	c := newCall(nil)
	defer c.free()
	c.cmd.Type, c.cmd.User, c.cmd.RemoteIP, c.cmd.Room = typ, *who, ip, r.PathValue("room")
	c.wire.Ref = ""
	understood := false
	status, body, err := f(r, c, func() error {
		understood = true
		return s.dispatch(r.Context(), c)
	})
	if err != nil && !understood {
		err = s.malformed(r.Context(), who.ID, err)
	}
	if typ == CmdHistory || typ == CmdMembers || typ == CmdPresence {
		for err == nil && !c.current(s) { // see revocations
			live := s.acquire(c.cmd.Room)
			err = s.again(r.Context(), c, live)
			live.release()
		}
	}
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	s.answer(w, r, status, body)
}

func (s *Server) getRooms(r *http.Request, c *call, run func() error) (int, []byte, error) {
	var err error
	c.cursor = r.URL.Query().Get("cursor")
	if c.limit, err = intParam(r, "limit"); err != nil {
		return 0, nil, err
	}
	if err := run(); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, wire.AppendRoomsObject(nil, &c.rooms), nil
}

// roomBody is the body of POST and PATCH /rooms. Pointers tell what is absent.
type roomBody struct {
	ID     string          `json:"id"`
	Kind   RoomKind        `json:"kind" validate:"omitempty,oneof=public"`
	Title  *string         `json:"title" validate:"omitempty,max=200"`
	Topic  *string         `json:"topic" validate:"omitempty,max=1000"`
	Avatar *string         `json:"avatar" validate:"omitempty,max=2048"`
	Meta   json.RawMessage `json:"meta"`
}

func (s *Server) postRoom(r *http.Request, c *call, run func() error) (int, []byte, error) {
	var b roomBody
	if err := s.body(r, &b); err != nil {
		return 0, nil, err
	}
	c.cmd.Room = b.ID
	c.info = RoomInfo{Title: deref(b.Title), Topic: deref(b.Topic), Avatar: deref(b.Avatar), Meta: b.Meta}
	return s.created(r.Context(), c, run)
}

func (s *Server) postDirect(r *http.Request, c *call, run func() error) (int, []byte, error) {
	var b struct {
		User string `json:"user" validate:"required,max=128"`
	}
	if err := s.body(r, &b); err != nil {
		return 0, nil, err
	}
	if !wire.ValidUserID(b.User) {
		return 0, nil, (&Error{Code: CodeInvalid, Message: "not a user id"}).WithField("user")
	}
	c.cmd.Peer, c.cmd.Room = b.User, DirectID(c.cmd.User.ID, b.User)
	return s.created(r.Context(), c, run)
}

func (s *Server) created(ctx context.Context, c *call, run func() error) (int, []byte, error) {
	if err := run(); err != nil {
		return 0, nil, err
	}
	if c.room == nil {
		return http.StatusNoContent, nil, nil
	}
	return http.StatusCreated, s.roomObject(ctx, c.room), nil
}

func (s *Server) roomObject(ctx context.Context, info *RoomInfo) []byte {
	w := s.wireRoom(info, s.names.Many(ctx, info.Peers))
	r := s.acquire(w.ID)
	defer r.release()
	_ = r.attend(ctx) // where that fails, it is who is here
	w.Online, _, _ = r.online(nil, "", 0, 0)
	return wire.AppendRoomObject(nil, &w)
}

func (s *Server) getRoom(r *http.Request, c *call, run func() error) (int, []byte, error) {
	if err := run(); err != nil {
		return 0, nil, err
	}
	if c.online.Room == "" {
		return http.StatusNoContent, nil, nil // nobody has asked whether the user may read it
	}
	live := s.acquire(c.cmd.Room)
	defer live.release()
	info, err := live.infoCopy(r.Context())
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.roomObject(r.Context(), &info), nil
}

func (s *Server) patchRoom(r *http.Request, c *call, run func() error) (int, []byte, error) {
	var b roomBody
	if err := s.body(r, &b); err != nil {
		return 0, nil, err
	}
	c.update = RoomUpdate{Title: b.Title, Topic: b.Topic, Avatar: b.Avatar, Meta: b.Meta}
	if err := run(); err != nil {
		return 0, nil, err
	}
	if c.room == nil {
		return http.StatusNoContent, nil, nil
	}
	return http.StatusOK, s.roomObject(r.Context(), c.room), nil
}

func (s *Server) removeRoom(_ *http.Request, _ *call, run func() error) (int, []byte, error) {
	return http.StatusNoContent, nil, run()
}

func (s *Server) getOnline(r *http.Request, c *call, run func() error) (int, []byte, error) {
	var err error
	c.cursor = r.URL.Query().Get("cursor")
	if c.limit, err = intParam(r, "limit"); err != nil {
		return 0, nil, err
	}
	if err := run(); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, wire.AppendOnlineObject(nil, &c.online), nil
}

func (s *Server) getMessages(r *http.Request, c *call, run func() error) (int, []byte, error) {
	given := 0
	for _, p := range []string{"before", "after", "around"} {
		n, err := intParam(r, p)
		if err != nil {
			return 0, nil, err
		}
		if r.URL.Query().Get(p) == "" {
			continue
		}
		if given++; given > 1 {
			return 0, nil, (&Error{Code: CodeInvalid, Message: "only one of before, after and around"}).WithField(p)
		}
		switch {
		case p == "before":
			c.query.Before = max(int64(n), 1) // below the first there is nothing
		case p == "around" || n == 0:
			c.query.Around = max(int64(n), 1)
		default:
			c.query.After = int64(n)
		}
	}
	var err error
	if c.query.Limit, err = intParam(r, "limit"); err != nil {
		return 0, nil, err
	}
	c.cmd.Thread = r.URL.Query().Get("thread")
	if err := run(); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, wire.AppendHistoryObject(nil, c.historyPage(s)), nil
}

func (s *Server) getMessage(r *http.Request, c *call, run func() error) (int, []byte, error) {
	c.query = Query{ID: r.PathValue("id"), Limit: 1}
	if err := run(); err != nil {
		return 0, nil, err
	}
	if len(c.page.Messages) == 0 {
		return 0, nil, (&Error{Code: CodeNotFound, Message: "no such message"}).WithField("id")
	}
	return http.StatusOK, s.messageObject(r.Context(), c.cmd.Room, &c.page.Messages[0]), nil
}

func (s *Server) messageObject(ctx context.Context, room string, m *Message) []byte {
	w := wireMessage(m, s.names.One(ctx, m.User))
	w.Room = room
	return wire.AppendMessageObject(nil, &w)
}

// result is the answer to a command that has led to a message. There is none
// where a middleware has kept the command to itself.
func (s *Server) result(r *http.Request, c *call, status int) (int, []byte, error) {
	if c.cmd.Result == nil {
		return http.StatusNoContent, nil, nil
	}
	return status, s.messageObject(r.Context(), c.cmd.Room, c.cmd.Result), nil
}

func (s *Server) postMessage(r *http.Request, c *call, run func() error) (int, []byte, error) {
	if err := s.frameBody(r, c, wire.TypeMessage, ""); err != nil {
		return 0, nil, err
	}
	if err := run(); err != nil {
		return 0, nil, err
	}
	status := http.StatusCreated
	if c.cmd.Duplicate {
		status = http.StatusOK
	}
	return s.result(r, c, status)
}

func (s *Server) patchMessage(r *http.Request, c *call, run func() error) (int, []byte, error) {
	if err := s.frameBody(r, c, wire.TypeEdit, r.PathValue("id")); err != nil {
		return 0, nil, err
	}
	if err := run(); err != nil {
		return 0, nil, err
	}
	return s.result(r, c, http.StatusOK)
}

func (s *Server) deleteMessage(r *http.Request, c *call, run func() error) (int, []byte, error) {
	c.cmd.ID = r.PathValue("id")
	switch hard := r.URL.Query().Get("hard"); hard {
	case "true":
		c.cmd.Hard = true
	case "", "false":
	default:
		return 0, nil, (&Error{Code: CodeInvalid, Message: "neither true nor false"}).WithField("hard")
	}
	if err := run(); err != nil {
		return 0, nil, err
	}
	return s.result(r, c, http.StatusOK)
}

// frameBody reads a body by the rules of the frame that does the same.
func (s *Server) frameBody(r *http.Request, c *call, typ, id string) error {
	raw, err := s.read(r)
	if err != nil {
		return err
	}
	if err := c.wire.DecodeBody(typ, c.cmd.Room, id, raw); err != nil {
		e := decodeError(c, err)
		c.wire.Ref = ""
		return e
	}
	user, ip, t := c.cmd.User, c.cmd.RemoteIP, c.cmd.Type
	c.take()
	c.cmd.User, c.cmd.RemoteIP, c.cmd.Type = user, ip, t
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

// body reads and validates a body of a rare kind.
func (s *Server) body(r *http.Request, v any) error {
	raw, err := s.read(r)
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

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
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

// methods are those that the path has something for.
func (s *Server) methods(r *http.Request) (list []string) {
	probe := r.WithContext(r.Context())
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete} {
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
	if allow := s.methods(r); len(allow) > 0 {
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
