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
	c.take1(j)
	s.answer(c, s.srv.dispatch(s.srv.ctx, c))
}

// take fills the command from what the frame says.
func (c *call) take() {
	w, cmd := &c.wire, &c.cmd
	cmd.Type, cmd.Ref, cmd.Room = CommandType(w.Type), w.Ref, w.Room
	cmd.ID, cmd.Content, cmd.Nonce, cmd.ReplyTo, cmd.Thread = w.ID, w.Content, w.Nonce, w.ReplyTo, w.Thread
	cmd.Mentions, cmd.Meta, cmd.Hard, cmd.Active = w.Mentions, w.Meta, w.Hard, w.Active
	if w.Attachments != nil { // none may be as good as said
		cmd.Attachments = make([]Attachment, len(w.Attachments))
		for i, a := range w.Attachments {
			cmd.Attachments[i] = Attachment(a)
		}
	}
	c.limit, c.cursor = w.Limit, w.Cursor
	switch cmd.Type {
	case CmdJoin:
		c.take1(wire.Join{Room: w.Room, User: w.User, Epoch: w.Epoch, History: w.History, After: w.After})
	case CmdHistory:
		c.query = Query{Limit: w.Limit, Before: max(w.Before, 0), Around: max(w.Around, 0), After: max(w.After, 0)}
		switch {
		case w.After == 0 || w.Around == 0:
			c.query.Around = 1 // from the start
		case w.Before == 0:
			c.query.Before = 1 // before everything: nothing
		}
	}
}

// take1 fills a join command.
func (c *call) take1(j wire.Join) {
	c.join = j
	c.cmd.Room = j.Room
	if j.User != "" {
		c.cmd.Peer = j.User
		c.cmd.Room = DirectID(c.cmd.User.ID, j.User)
	}
}

// answer tells the client how its command went. Successes without a ref are
// not answered; errors always are.
func (s *session) answer(c *call, err error) {
	ref, cmd := c.wire.Ref, &c.cmd
	if err != nil {
		e := asError(err)
		s.srv.count.errors.add(e.Code)
		s.send(func(b []byte) []byte {
			return wire.AppendError(b, &wire.Error{
				Ref: ref, Room: cmd.Room, Code: string(e.Code), Message: cut(e.Message, maxSaid), Field: cut(e.Field, maxSaid),
				RetryAfterMS: e.retryAfter(time.Millisecond),
			})
		})
		return
	}
	switch cmd.Type {
	case CmdJoin: // the joined frame had to go out before the room's own
	case CmdMessage, CmdEdit, CmdDelete:
		if ref == "" {
			break
		}
		m := cmd.Result
		if m == nil { // a middleware has kept the command to itself
			s.send(func(b []byte) []byte { return wire.AppendAck(b, &wire.Ack{Ref: ref, Room: cmd.Room, Held: true}) })
			break
		}
		rev := m.Rev
		if cmd.Type == CmdMessage {
			rev = m.FirstRev // of a duplicate, too: the answer is the first one
		}
		s.send(func(b []byte) []byte {
			return wire.AppendAck(b, &wire.Ack{
				Ref: ref, Room: cmd.Room, ID: m.ID, Seq: m.Seq, Rev: rev, CreatedAt: m.CreatedAt, Duplicate: cmd.Duplicate,
			})
		})
	case CmdHistory:
		s.show(c, func(b []byte) []byte { return wire.AppendHistory(b, c.historyPage(s.srv)) })
	case CmdMembers, CmdPresence:
		c.online.Ref = ref
		s.show(c, func(b []byte) []byte { return wire.AppendOnline(b, &c.online) })
	case CmdRooms:
		s.showRooms(c)
	default:
		if ref != "" {
			s.send(func(b []byte) []byte { return wire.AppendAck(b, &wire.Ack{Ref: ref, Room: cmd.Room}) })
		}
	}
}

// historyPage is the answer to a history command.
func (c *call) historyPage(s *Server) *wire.History {
	r := s.acquire(c.cmd.Room)
	defer r.release()
	// What does not fit gives way on the far side of what was asked for.
	keep := int64(toNewest)
	switch {
	case c.query.Around > 0:
		keep = c.query.Around
	case c.query.After > 0:
		keep = toOldest
	}
	msgs, cut, _ := r.wireMessages(s.ctx, c.page.Messages, keep, s.opt.Limits.PageBytes)
	return &wire.History{
		Ref: c.wire.Ref, Room: c.cmd.Room, Messages: msgs, More: c.page.More || cut,
		Epoch: c.page.Head.Epoch, Head: c.page.Head.Rev,
	}
}
