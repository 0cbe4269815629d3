package chat

import (
	"context"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/gabblehq/chat/internal/wire"
)

// sending is the command that sends a message.
var sending = command{
	typ: CmdMessage, class: ClassWrite, action: ActionWrite, once: true,
	take: (*call).takeMessage, check: (*call).checkMessage, run: (*call).send, reply: (*call).sent,
	routes: []route{{
		pattern: "POST /rooms/{room}/messages", status: http.StatusCreated,
		read: func(c *call, r *http.Request) error { return c.readFrame(r, "") },
	}},
}

func (c *call) takeMessage() {
	cmd, w := &c.cmd, &c.wire
	cmd.Nonce, cmd.ReplyTo, cmd.Thread = w.Nonce, w.ReplyTo, w.Thread
	c.takeParts()
}

// takeParts takes what a message and an edit have in common.
func (c *call) takeParts() {
	cmd, w := &c.cmd, &c.wire
	cmd.Content, cmd.Mentions, cmd.Meta = w.Content, w.Mentions, w.Meta
	if w.Attachments != nil { // none may be as good as said
		cmd.Attachments = make([]Attachment, len(w.Attachments))
		for i, a := range w.Attachments {
			cmd.Attachments[i] = Attachment(a)
		}
	}
}

// checkMessage holds a message to the limits and, where a middleware may have
// touched it, to all that the decoder has held it to.
func (c *call) checkMessage() error {
	cmd, opt, m := &c.cmd, c.srv.opt, &c.message
	*m = Message{
		ID: newID(now()), User: cmd.User.ID, Kind: KindRegular, Content: cmd.Content, Nonce: cmd.Nonce,
		ReplyTo: cmd.ReplyTo, Thread: cmd.Thread, Mentions: cmd.Mentions, Attachments: cmd.Attachments, Meta: cmd.Meta,
	}
	if len(opt.Middleware) == 0 {
		return opt.Limits.check(m.Content, len(m.Attachments), m.Meta)
	}
	if !wire.ValidUserID(m.User) {
		return &Error{Code: CodeInternal, Message: "internal error", cause: errors.New("chat: a middleware has set a user id that is none")}
	}
	*m = cloneMessage(*m)
	return opt.Limits.checkWhole(m)
}

// check holds a message to the limits.
func (l *Limits) check(content string, attachments int, meta []byte) error {
	if n := utf8.RuneCountInString(content); n > l.Content {
		return (&Error{Code: CodeTooLarge, Message: "the content is too long"}).WithField("content")
	}
	if len(meta) > l.Meta {
		return (&Error{Code: CodeTooLarge, Message: "meta is too large"}).WithField("meta")
	}
	if attachments == 0 && !wire.Visible(content) {
		return (&Error{Code: CodeInvalid, Message: "there is nothing to be seen of the content"}).WithField("content")
	}
	return nil
}

func (c *call) send(ctx context.Context, in visit) error {
	author := public(&c.cmd.User)
	if c.s != nil {
		// Before the message: behind it, a connection that is still busy with
		// it would miss the signal.
		in.room.shows(author, false)
	}
	return c.commit(ctx, in.room, &commit{
		change: Change{Kind: ChangeCreate, Message: c.message},
		author: author,
		trace:  c.cmd.TraceID,
	})
}

// sent answers with the place in the log that the message was given first,
// which for a duplicate is the first answer again.
func (c *call) sent(ctx context.Context) (wire.Reply, error) {
	if m := c.cmd.Result; m != nil {
		return c.wrote(ctx, m.FirstRev)
	}
	return c.held()
}

// wrote answers a command that has led to a message: the sender knows what is
// in it, but who asks over REST need not.
func (c *call) wrote(ctx context.Context, rev int64) (wire.Reply, error) {
	m := c.cmd.Result
	if c.s == nil {
		return c.whole(ctx, m), nil
	}
	c.ack = wire.Ack{
		Ref: c.wire.Ref, Room: c.cmd.Room, ID: m.ID, Seq: m.Seq, Rev: rev, CreatedAt: m.CreatedAt, Duplicate: c.cmd.Duplicate,
	}
	return &c.ack, nil
}

// whole answers with a message of the command's room.
func (c *call) whole(ctx context.Context, m *Message) wire.Reply {
	w := wireMessage(m, c.srv.names.One(ctx, m.User))
	w.Room = c.cmd.Room
	return &w
}

// outcome is the message that a command has led to, which is a middleware's to
// change, where there is one.
func (s *Server) outcome(res *Result) *Message {
	if len(s.opt.Middleware) == 0 {
		return &res.Message
	}
	m := cloneMessage(res.Message)
	return &m
}

// looksPerUser bounds how often firstAnswer asks the store.
var looksPerUser = Rate{PerSecond: 5, Burst: 100}

// firstAnswer reports whether a message that was turned away has been stored
// before, under the same nonce: then the answer is the first one, whatever
// limits and permissions say now. It is asked only when they say no, so that a
// new message costs no further read.
func (s *Server) firstAnswer(ctx context.Context, c *call, err error) bool {
	if !c.mayBeAnswered(err) {
		return false
	}
	// Each look is a read of the store: a flood of refused messages must not
	// become a flood of reads.
	if wait, err := s.looks.Allow(ctx, c.cmd.User.ID, looksPerUser); wait > 0 || err != nil {
		return false
	}
	r := s.acquire(c.cmd.Room)
	defer r.release()
	page, err := r.history(ctx, Query{User: c.cmd.User.ID, Nonce: c.cmd.Nonce, Limit: 1})
	if err != nil || len(page.Messages) == 0 {
		return false
	}
	m := page.Messages[0]
	m.Room = c.cmd.Room
	c.cmd.Result, c.cmd.Duplicate = &m, true
	return true
}

// mayBeAnswered reports whether a message that was turned away may have been
// stored before.
func (c *call) mayBeAnswered(err error) bool {
	if !c.srv.kind(c.cmd.Type).once || c.cmd.Nonce == "" {
		return false
	}
	switch asError(err).Code {
	case CodeRateLimited, CodeForbidden, CodeNotFound, CodeTooLarge, CodeInvalid:
		return true
	}
	return false
}
