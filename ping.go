package chat

import (
	"bytes"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

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
