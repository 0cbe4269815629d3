package chat

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// Frames that are no commands, pings and what is not understood, pass no middleware, and
// neither do REST requests that are not understood. They are a class of their own: held to a rate of their own, counted, and logged now
// and then.

// maxNoise is how many of them over the rate in a row end the connection: a client that
// does not listen costs an answer each.
const maxNoise = 500

// noisy takes a frame that is no command off its user's budget, a stranger's off that
// of their session. If there is nothing left it answers and returns true.
func (s *session) noisy(c *call) bool {
	key := "session/" + s.name()
	if who := s.who.Load(); who != nil {
		key = "user/" + who.ID()
	}
	wait, err := s.srv.noise.Allow(context.Background(), key, s.srv.opt.Limits.Noise)
	s.mu.Lock()
	if err != nil || wait <= 0 {
		s.noise = 0
		s.mu.Unlock()
		return false
	}
	s.noise++
	over := s.noise > maxNoise
	s.mu.Unlock()
	if over {
		s.conn.Close(wire.CloseProtocol, "too many frames that are no commands")
		return true
	}
	s.answer(c, &Error{Code: CodeRateLimited, Message: "too many frames that are no commands", RetryAfter: wait})
	return true
}

// refuse answers a frame that did not become a command.
func (s *session) refuse(c *call, err *Error) {
	if s.noisy(c) {
		return
	}
	s.srv.count.refused.Add(1)
	user := ""
	if who := s.who.Load(); who != nil {
		user = who.ID()
	}
	// What it says may quote the client.
	s.srv.strangers.Warn(s.srv.log, "chat: frame refused", "code", err.Code, "field", clip(err.Field), "user", user, "session", s.name())
	s.answer(c, err)
}

// malformed takes a REST request that did not become a command off its user's budget,
// and returns what it is answered. Who is not known has been refused before.
func (s *Server) malformed(ctx context.Context, user string, why error) error {
	wait, err := s.noise.Allow(ctx, "user/"+user, s.opt.Limits.Noise)
	if err == nil && wait > 0 {
		return &Error{Code: CodeRateLimited, Message: "too many requests that are no commands", RetryAfter: wait}
	}
	s.count.refused.Add(1)
	e := asError(why)
	s.strangers.Warn(s.log, "chat: request refused", "code", e.Code, "field", clip(e.Field), "user", user)
	return why
}

// ping answers a ping.
func (s *session) ping(c *call) {
	if s.noisy(c) {
		return
	}
	s.srv.count.pings.Add(1)
	s.send(func(b []byte) []byte { return wire.AppendPong(b, c.wire.Ref, time.Now()) })
}

// codes are all there are, in the order in which errorCounts counts them.
var codes = [...]Code{
	CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeConflict,
	CodeTooLarge, CodeRateLimited, CodeUnsupported, CodeUnavailable, CodeInternal,
}

// errorCounts counts the errors that clients were answered with, by code.
type errorCounts [len(codes)]atomic.Int64

func (n *errorCounts) add(code Code) {
	for i, c := range codes {
		if c == code {
			n[i].Add(1)
			return
		}
	}
}

func (n *errorCounts) all() map[Code]int64 {
	m := make(map[Code]int64, len(codes))
	for i, c := range codes {
		if v := n[i].Load(); v > 0 {
			m[c] = v
		}
	}
	return m
}
