package chat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/directory"
	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/presence"
	"github.com/gabblehq/chat/internal/wire"
)

// connectCommand is what a connection has to pass before it is one, and
// authCommand what says whose it is; both are asked for by more than frames.
var (
	connectCommand = command{typ: CmdConnect, class: ClassConnect, run: func(*call, context.Context, visit) error { return nil }}
	authCommand    = command{typ: CmdAuth, class: ClassAuth, run: func(c *call, _ context.Context, _ visit) error { return c.authenticate() }}
)

// authenticate asks the host who is speaking.
func (c *call) authenticate() error {
	if c.who != nil { // asked already
		c.cmd.User = *c.who
		return nil
	}
	var who User
	err := guard(func() (err error) {
		who, err = c.srv.opt.Authenticate(c.request)
		return err
	})
	if err != nil {
		// Only the host's own trouble and limits are told apart; everything
		// else looks alike from outside.
		if e, ok := errors.AsType[*Error](err); ok && (e.Code == CodeUnavailable || e.Code == CodeRateLimited || e.Code == CodeInternal) {
			return e
		}
		return (&Error{Code: CodeUnauthenticated, Message: "not authenticated"}).WithCause(err)
	}
	if !wire.ValidUserID(who.ID) {
		return (&Error{Code: CodeInternal, Message: "internal error"}).WithCause(
			fmt.Errorf("chat: Authenticate returned the user id %q: 1 to 128 bytes of UTF-8 without control characters are allowed", clip(who.ID)))
	}
	if !who.Expires.IsZero() && !who.Expires.After(time.Now()) {
		return &Error{Code: CodeUnauthenticated, Message: "not authenticated"}
	}
	c.cmd.User = who
	return nil
}

// authTurn is the turn of a session while it is authenticated. The host's lookup
// may hang: those who are in already must not need what waits for it.
type authTurn struct{ *call }

func (a authTurn) Work() {
	c, s := a.call, a.s
	defer func() {
		if s.finish(c) {
			s.turn()
		}
	}()
	_ = s.attempt(c, func(c *call) error { s.handleAuth(c); return nil })
}

// handleAuth authenticates a session by a frame of its own, or shows it a
// fresh token.
func (s *session) handleAuth(c *call) {
	token := c.wire.Token
	c.wire.Token = "" // nothing keeps it, nothing logs it
	c.cmd.Type, c.cmd.Ref = CmdAuth, c.wire.Ref
	c.cmd.Session, c.cmd.RemoteIP = s.name(), s.ip()
	ctx, cancel := context.WithTimeout(s.srv.ctx, s.srv.opt.Limits.AuthTimeout)
	c.request = s.request(ctx, token)
	begun := s.srv.dismissed.begin()
	err := s.srv.dispatch(ctx, c)
	cancel()
	before := s.user()
	if err == nil {
		err = c.identified()
	}
	if err == nil {
		err = s.adopt(&c.cmd.User, begun)
	}
	if err == errGone {
		return
	}
	if err == nil {
		s.mu.Lock()
		s.settled = true // from now on only the same user
		s.mu.Unlock()
		s.welcome(c.wire.Ref)
		return
	}
	s.answer(c, err)
	if before == nil {
		// Nobody yet: there is nothing to go on with. What the client cannot
		// help it may try again.
		code, reason := uint16(wire.CloseUnauthenticated), "not authenticated"
		if c := asError(err).Code; c == CodeUnavailable || c == CodeRateLimited || c == CodeInternal {
			code, reason = wire.CloseRestart, "cannot authenticate now"
		}
		s.conn.Close(code, reason)
	}
}

// identified makes sure that somebody has been named: middleware may have
// answered in place of the handler.
func (c *call) identified() error {
	if !wire.ValidUserID(c.cmd.User.ID) {
		return &Error{Code: CodeUnauthenticated, Message: "not authenticated"}
	}
	return nil
}

// errGone says that the session has ended meanwhile.
var errGone = errors.New("chat: session has ended")

// adopt makes the session the user's. A session that is somebody already can
// only become the same again, unless nothing has been done with it yet: then
// the first frame outranks what the upgrade happened to carry. begun is from
// before the host was asked.
func (s *session) adopt(u *User, begun uint64) error {
	who := s.srv.identity(u)
	s.mu.Lock()
	before, ended := s.who.Load(), s.ended
	if before != nil && before.ID() != who.ID() && s.settled {
		s.mu.Unlock()
		return &Error{Code: CodeForbidden, Message: "the token is another user's", Field: "token"}
	}
	s.mu.Unlock()
	if ended {
		return errGone
	}
	users := s.srv.users
	if before != nil && before.ID() == who.ID() {
		s.who.Store(who)
		s.expire(who, time.Now())
		s.recheckAll(true) // it may say less than the one before
		return nil
	}
	if before != nil {
		users.Remove(s, before.ID())
	}
	s.who.Store(who)
	if surplus := users.Add(s, s.srv.opt.Limits.Sessions); surplus != nil {
		surplus.conn.Close(wire.CloseReplaced, "too many sessions")
	}
	guests := &s.srv.guests
	guests.mu.Lock()
	delete(guests.set, s)
	guests.mu.Unlock()
	// The end of the connection may have come by before the directory knew of
	// the session.
	s.mu.Lock()
	ended = s.ended
	s.mu.Unlock()
	if ended {
		users.Remove(s, who.ID())
		return errGone
	}
	s.expire(who, time.Now())
	if d := s.srv.dismissed.since(who.ID(), begun); d.code != 0 {
		// Sent away when nobody knew yet that this is them.
		s.conn.Close(d.code, d.reason)
		return errGone
	}
	return nil
}

// remove forgets a session that has ended.
func (s *Server) remove(sess *session, who *names.Identity) {
	if who != nil {
		s.users.Remove(sess, who.ID())
		return
	}
	s.guests.mu.Lock()
	delete(s.guests.set, sess)
	s.guests.mu.Unlock()
}

// welcome answers an auth.
func (s *session) welcome(ref string) {
	who, l := s.user(), &s.srv.opt.Limits
	w := wire.Welcome{
		Ref: ref, Session: s.name(), User: who.Public(), HeartbeatMS: l.Ping.Milliseconds(), ServerTime: time.Now(),
		Limits: wire.Limits{
			Content: l.Content, MessageBytes: l.MessageBytes, MetaBytes: l.Meta, Rooms: l.Rooms, History: l.MaxHistory,
			Resume: l.Resume, NonceTTLMS: NonceTTL.Milliseconds(),
			TypingMS: presence.TypingEvery.Milliseconds(), TypingTTLMS: l.TypingExpiry.Milliseconds(),
		},
	}
	if at, ok := s.srv.expires(who); ok {
		w.ExpiresInMS = max(time.Until(at).Milliseconds(), 1)
	}
	s.send(func(b []byte) []byte { return wire.AppendWelcome(b, &w) })
}

// identify asks the host who sent a request. Nil without an error means that
// an upgrade carries nothing to tell by, and that the first frame has to.
func (s *Server) identify(r *http.Request, ip netip.Addr, upgrade bool) (*User, error) {
	c := newCall(s, nil)
	defer c.free()
	// A site may stand behind basic authentication of its own: what a browser sends for
	// that is no token of ours. It is up to Authenticate whether it counts.
	bearer := bearsToken(r)
	if name := s.opt.QueryToken; name != "" && !bearer {
		if token := r.URL.Query().Get(name); token != "" {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+token)
			bearer = true
		}
	}
	c.cmd.Type, c.cmd.RemoteIP, c.request = CmdAuth, ip, r
	if upgrade && r.Header.Get("Authorization") == "" && r.Header.Get("Cookie") == "" {
		// Most likely a browser whose first frame will tell. That is no failed
		// attempt, which middleware would have to log; as a connection it has
		// been counted.
		err := c.authenticate()
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
		if upgrade && errors.Is(err, ErrUnauthenticated) && !bearer {
			return nil, nil
		}
		return nil, err
	}
	who := c.cmd.User
	return &who, nil
}

// bearsToken reports whether a request has a header that must be meant for us.
func bearsToken(r *http.Request) bool {
	for _, v := range r.Header["Authorization"] {
		if scheme, _, _ := strings.Cut(v, " "); strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	return false
}

// A token lasts for hours, and a timer for each session until then would cost
// more than the rest of it. So an expirySweep looks at a part of the sessions
// every second, and only what ends before it comes by again gets a timer.
const (
	expirySweepEvery = time.Second
	expiryRound      = directory.Shards * expirySweepEvery
)

// expirySweep visits one shard of the directory after the other.
type expirySweep struct {
	srv  *Server
	next int
}

func (e *expirySweep) Ring(now time.Time) {
	defer e.srv.timers.At(now.Add(expirySweepEvery), e) // whatever happens
	users := e.srv.users
	for _, s := range users.Shard(e.next) {
		if who := s.who.Load(); who != nil {
			s.expire(who, now)
		}
	}
	e.next = (e.next + 1) % directory.Shards
}

// expire has ring called when who expires, unless that is so late that the
// sweep comes by before.
func (s *session) expire(who *names.Identity, now time.Time) {
	// Twice the round: a machine that was held up must not miss it.
	if at, ok := s.srv.expires(who); ok && at.Before(now.Add(2*expiryRound)) {
		s.srv.timers.At(at, s)
	}
}
