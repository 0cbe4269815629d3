package chat

import (
	"bytes"
	"context"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// Frames that are no commands, pings and what is not understood, pass no middleware, and
// neither do REST requests that are not understood. They are a class of their own: held
// to a rate of their own, counted, and logged now and then.

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

const (
	// maxPing is how long a ping is at most that does not depend on what
	// commands wait for, and pongWithin how long it waits for them.
	maxPing    = 256
	pongWithin = 2 * time.Second
)

// pingIn returns the call of a ping, which the caller frees; nil for any other
// payload.
func (s *session) pingIn(payload []byte) *call {
	if len(payload) > maxPing || !bytes.Contains(payload, []byte(`"ping"`)) {
		return nil
	}
	c := newCall(s.srv, s)
	if c.wire.Decode(payload) == nil && c.wire.Type == wire.TypePing {
		return c
	}
	c.free()
	return nil
}

// idle reports whether nothing waits in front of what comes in.
func (s *session) idle() bool {
	if s.conn.Buffered() > replyBytes {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbox.Free()
}

// latePing is a ping that had to wait behind a command. The client takes it for
// a sign that the connection lives, whatever the command waits for.
type latePing struct {
	s       *session
	payload []byte
}

func (l *latePing) Ring(time.Time) {
	s := l.s
	s.mu.Lock()
	found := !s.ended && s.inbox.Remove(l.payload)
	if found {
		s.resume()
	}
	s.mu.Unlock()
	if !found {
		return
	}
	if c := s.pingIn(l.payload); c != nil {
		s.ping(c)
		c.free()
	}
}
