package chat

import (
	"errors"
	"fmt"
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

// joinMany has the rooms of one frame joined, each by a command of its own to
// the middleware, and answered by itself. The frame keeps the turn until all
// are joined, and each waits until the answer before it has gone out: what one
// frame leads to is made as fast as the client reads.
func (s *session) joinMany(c *call) {
	seen := make(map[string]struct{}, len(c.wire.Rooms))
	for i, j := range c.wire.Rooms {
		room, field := j.Room, "room"
		if j.User != "" {
			room, field = DirectID(c.cmd.User.ID, j.User), "user"
		}
		if _, twice := seen[room]; twice {
			s.refuse(c, &Error{Code: CodeInvalid, Message: "the same room twice", Field: fmt.Sprintf("rooms[%d].%s", i, field)})
			return
		}
		seen[room] = struct{}{}
	}
	s.mu.Lock()
	s.inbox.SetRest(&joins{c.wire.Ref, c.wire.Rooms})
	s.mu.Unlock()
	c.wire.Rooms = nil
}

// joinNext joins the next room of a frame.
func (s *session) joinNext(c *call, f *joins) {
	j := f.rest[0]
	s.mu.Lock()
	if f.rest = f.rest[1:]; len(f.rest) == 0 {
		s.inbox.SetRest(nil)
	}
	s.mu.Unlock()
	c.wire = wire.NewCommand(wire.TypeJoin)
	c.wire.Ref = f.ref
	c.cmd.Type, c.cmd.Ref = CmdJoin, f.ref
	if !s.speaks(c) {
		return
	}
	c.takeJoin(j)
	s.answer(c, s.srv.dispatch(s.srv.ctx, c))
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
		case k.again != nil:
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
	s.send(func(b []byte) []byte {
		return wire.AppendError(b, &wire.Error{
			Ref: c.wire.Ref, Room: c.cmd.Room, Code: string(e.Code), Message: cut(e.Message, maxSaid), Field: cut(e.Field, maxSaid),
			RetryAfterMS: int64((e.RetryAfter + time.Millisecond - 1) / time.Millisecond),
		})
	})
}
