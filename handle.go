package chat

import (
	"errors"
	"time"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// handle decodes one frame, has it done and answers it, unless it returns what
// has become of the call: see errEntered.
func (s *session) handle(c *call, payload []byte) error {
	if payload == nil {
		s.refuse(c, &Error{Code: CodeTooLarge, Message: "the frame is too large"})
		return nil
	}
	if err := c.wire.Decode(payload); err != nil {
		s.refuse(c, decodeError(c, err))
		return nil
	}
	if c.wire.Type == wire.TypePing {
		s.ping(c)
		return nil
	}
	if c.wire.Type == wire.TypeAuth {
		s.srv.workers.auths.Run(authTurn{c})
		return errMoved
	}
	if !s.speaks(c) {
		return nil
	}
	if c.wire.Type == wire.TypeJoin && len(c.wire.Rooms) > 0 {
		s.joinMany(c)
		return nil
	}
	c.take()
	err := s.srv.dispatch(s.srv.ctx, c)
	if err == errEntered || err == errPassed {
		return err
	}
	s.answer(c, err)
	return nil
}

// decodeError turns the codec's error into ours; the ref is kept for the
// answer.
func decodeError(c *call, err error) *Error {
	w, ok := errors.AsType[*wire.Error](err)
	if !ok {
		return &Error{Code: CodeInvalid, Message: "not understood", cause: err}
	}
	c.wire.Ref = w.Ref
	return &Error{Code: Code(w.Code), Message: w.Message, Field: w.Field}
}

// fill sets what is the same for all commands of the session.
func (s *session) fill(cmd *Command, who *names.Identity) {
	cmd.User = s.srv.user(who)
	cmd.Session = s.name()
	if len(s.srv.opt.Middleware) > 0 { // nobody else looks at it
		cmd.RemoteIP = s.ip()
	}
}

func (s *session) name() string { return s.srv.name("s", s.id) }

// speaks fills in who asks, or refuses the command of somebody who may not.
func (s *session) speaks(c *call) bool {
	s.mu.Lock()
	who := s.who.Load()
	s.settled = s.settled || who != nil
	s.mu.Unlock()
	switch {
	case who == nil:
		s.refuse(c, &Error{Code: CodeUnauthenticated, Message: "the first frame must be auth"})
		return false
	case s.srv.expired(who, time.Now()):
		s.conn.Close(wire.CloseExpired, "token expired")
		return false
	}
	s.fill(&c.cmd, who)
	return true
}

// take fills the command from what the frame says.
func (c *call) take() {
	c.cmd.Type, c.cmd.Ref, c.cmd.Room = CommandType(c.wire.Type), c.wire.Ref, c.wire.Room
	if k := c.srv.kind(c.cmd.Type); k.take != nil {
		k.take(c)
	}
}

// answer tells the client how its command went. Successes without a ref are
// not answered; errors always are.
func (s *session) answer(c *call, err error) {
	if err == nil {
		switch k := s.srv.kind(c.cmd.Type); {
		case k.silent:
		case k.again != nil && c.checked:
			s.show(c, k)
		case c.wire.Ref != "":
			var reply wire.Reply
			if reply, err = c.answer(s.srv.ctx, k.reply); err == nil {
				s.send(reply.AppendFrame)
			}
		}
	}
	if err == nil {
		return
	}
	e := asError(err)
	s.srv.count.errors.add(e.Code)
	said := e.said()
	said.Ref, said.Room = c.wire.Ref, c.cmd.Room
	s.send(func(b []byte) []byte { return wire.AppendError(b, said) })
}
