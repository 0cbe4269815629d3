package chat

import (
	"errors"

	"github.com/gabblehq/chat/internal/turn"
	"github.com/gabblehq/chat/internal/work"
)

// inboxBytes bounds the commands that wait, beside one of any size.
const inboxBytes = 64 << 10

// replyBytes is how much output may wait before the next command is taken up.
const replyBytes = 64 << 10

func (s *session) enqueue(payload []byte) {
	s.mu.Lock()
	if s.inbox == nil {
		s.inbox = turn.New[joins](&s.srv.outstanding)
	}
	if s.inbox.Push(payload) {
		s.conn.Pause()
	}
	start := s.inbox.Start()
	s.mu.Unlock()
	if start {
		s.turn()
	}
}

// turn has somebody take up the session's commands; the caller has taken the
// turn. Who is nobody yet can only say who they are.
func (s *session) turn() {
	p := s.srv.workers.turns
	if s.who.Load() == nil {
		p = s.srv.workers.auths
	}
	p.Run(s)
}

// Work takes up the session's commands one by one; it has the turn. A command
// that has entered its room's queue is answered by who commits it, and the next
// is taken up; one inside a middleware gives the turn away.
func (s *session) Work() {
	for {
		payload, join, ok := s.take()
		if !ok {
			return
		}
		c := newCall(s.srv, s)
		switch s.attempt(c, func(c *call) error {
			if join != nil {
				s.joinNext(c, join)
				return nil
			}
			return s.handle(c, payload)
		}) {
		case errEntered:
		case errMoved:
			return
		case errPassed:
			if !s.again() {
				return
			}
		default:
			if !s.finish(c) {
				return
			}
		}
	}
}

// attempt handles a command. Where it panics, outside of the host's code, the
// command has failed, but nothing else.
func (s *session) attempt(c *call, handle func(*call) error) (where error) {
	defer func() {
		if v := recover(); v != nil {
			work.LogPanic(s.srv.log, "a command", v)
			s.refuse(c, &Error{Code: CodeInternal, Message: "internal error"})
		}
	}()
	return handle(c)
}

// What becomes of a command that is not answered when its handler returns: the
// call is somebody else's then.
var (
	errEntered = errors.New("chat: has entered its room's queue")                 // the session's turn is still held
	errPassed  = errors.New("chat: has been committed, and the turn given away")  // before that
	errMoved   = errors.New("chat: goes on elsewhere, and the turn goes with it") // to another pool
)

// take returns the next command: the payload of a frame, or a join that is
// left of the one before. Where there is none, it gives the turn away.
func (s *session) take() (payload []byte, join *joins, ok bool) {
	buffered := s.conn.Buffered() > 0
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.inbox
	if s.ended {
		in.Clear()
	}
	room := replyBytes
	if in.Rest() != nil {
		room = 0 // the next part of one answer is begun when the last has gone out
	}
	if buffered && s.conn.Buffered() > room {
		// The client does not read its answers: no more of them until it does.
		// Writable goes on from here.
		in.Block()
	}
	payload, join, ok = in.Take()
	if ok {
		s.resume()
	} else {
		s.tidy()
	}
	return payload, join, ok
}

// resume has the connection read from again where there is room. The lock is held.
func (s *session) resume() {
	if s.inbox.Resume() {
		s.conn.Resume()
	}
}

// restart takes the turn if there is something to do. The lock is held.
func (s *session) restart() bool {
	if s.inbox.Start() {
		return true
	}
	s.tidy()
	return false
}

// tidy lets go of the inbox of a session that has nothing to do, so that an
// idle one does not pay for it. The lock is held.
func (s *session) tidy() {
	if s.inbox.Empty() {
		s.inbox = nil
	}
}

// finish counts a command as done and reports whether the caller has the turn.
func (s *session) finish(c *call) bool {
	passed := c.passed
	c.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inbox.Done()
	return !passed || s.restart()
}

// again reports whether the caller, who has given the turn away, has it again.
func (s *session) again() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restart()
}

// done counts a command as done that had entered its room's queue.
func (s *session) done(c *call) {
	c.free()
	s.mu.Lock()
	s.inbox.Done()
	start := s.restart()
	s.mu.Unlock()
	if start {
		s.turn()
	}
}

// yield gives the turn away where there is nothing more to do in it.
func (s *session) yield() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbox.StopIdle()
}

// pass gives the turn to the session's next command, once.
func (s *session) pass(c *call) {
	if c.passed {
		return
	}
	c.passed = true
	s.mu.Lock()
	s.inbox.Stop()
	start := s.inbox.Start()
	s.mu.Unlock()
	if start {
		s.turn()
	}
}
