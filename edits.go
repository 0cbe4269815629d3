package chat

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/gabblehq/chat/internal/wire"
)

// editing is the command that edits a message.
var editing = command{
	typ: CmdEdit, class: ClassWrite, action: ActionWrite,
	take: (*call).takeEdit, foresee: (*call).foresee, run: (*call).edit, reply: (*call).changed,
	routes: []route{{
		pattern: "PATCH /rooms/{room}/messages/{id}", status: http.StatusOK,
		read: func(c *call, r *http.Request) error { return c.readFrame(r, r.PathValue("id")) },
	}},
}

// deleting is the command that deletes a message.
var deleting = command{
	typ: CmdDelete, class: ClassWrite, action: ActionWrite,
	take: (*call).takeDelete, run: (*call).delete, reply: (*call).changed,
	routes: []route{{pattern: "DELETE /rooms/{room}/messages/{id}", status: http.StatusOK, read: (*call).readDelete}},
}

func (c *call) takeEdit() {
	c.cmd.ID = c.wire.ID
	c.takeParts()
}

func (c *call) takeDelete() { c.cmd.ID, c.cmd.Hard = c.wire.ID, c.wire.Hard }

func (c *call) readDelete(r *http.Request) error {
	c.cmd.ID = r.PathValue("id")
	switch hard := r.URL.Query().Get("hard"); hard {
	case "true":
		c.cmd.Hard = true
	case "", "false":
	default:
		return (&Error{Code: CodeInvalid, Message: "neither true nor false"}).WithField("hard")
	}
	return nil
}

// foresee completes an edit: middleware sees the message as the edit leaves it,
// not only what the edit is about.
func (c *call) foresee(ctx context.Context) error {
	cmd, s := &c.cmd, c.srv
	if !ValidRoomID(cmd.Room) || cmd.Room == controlRoom {
		return nil // refused in its turn
	}
	// It is a read of the store, before any limit of the host's.
	if wait, err := s.looks.Allow(ctx, "edit/"+cmd.User.ID, editsPerUser); err == nil && wait > 0 {
		return &Error{Code: CodeRateLimited, Message: "too many edits", RetryAfter: wait}
	}
	r := s.acquire(cmd.Room)
	defer r.release()
	before, err := r.find(ctx, cmd.ID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil || before.Deleted() {
		return err
	}
	c.before = before
	c.gave = gave{cmd.Mentions != nil, cmd.Attachments != nil, cmd.Meta != nil}
	was := cloneMessage(*before)
	cmd.ReplyTo, cmd.Thread = was.ReplyTo, was.Thread
	if !c.gave.mentions {
		cmd.Mentions = was.Mentions
	}
	if !c.gave.attachments {
		cmd.Attachments = was.Attachments
	}
	if !c.gave.meta {
		cmd.Meta = was.Meta
	}
	return nil
}

// editsPerUser bounds how often foresee asks the store.
var editsPerUser = Rate{PerSecond: 20, Burst: 200}

// gave tells which parts an edit itself is about.
type gave struct{ mentions, attachments, meta bool }

// edited is what an edit changes, after middleware has seen it: what is as it
// was is left to what others may do to it meanwhile.
func (c *call) edited() Message {
	cmd, was := &c.cmd, c.before
	m := Message{ID: cmd.ID, Content: cmd.Content, Mentions: cmd.Mentions, Attachments: cmd.Attachments, Meta: cmd.Meta}
	if was == nil {
		return m
	}
	switch {
	case !c.gave.mentions && slices.Equal(m.Mentions, was.Mentions):
		m.Mentions = nil
	case m.Mentions == nil:
		m.Mentions = []string{}
	}
	switch {
	case !c.gave.attachments && slices.EqualFunc(m.Attachments, was.Attachments, sameAttachment):
		m.Attachments = nil
	case m.Attachments == nil:
		m.Attachments = []Attachment{}
	}
	switch {
	case !c.gave.meta && bytes.Equal(m.Meta, was.Meta):
		m.Meta = nil
	case m.Meta == nil:
		m.Meta = []byte{}
	}
	return m
}

func (c *call) edit(ctx context.Context, in visit) error {
	before, err := c.target(ctx, in)
	if err != nil {
		return err
	}
	if before.Deleted() {
		return errNoMessage
	}
	if err := c.mayChange(ctx, in, before); err != nil {
		return err
	}
	to := cloneMessage(c.edited())
	m, err := in.room.edit(ctx, &to, before, c.cmd.TraceID)
	if err != nil {
		return err
	}
	return c.commit(ctx, in.room, m)
}

func (c *call) delete(ctx context.Context, in visit) error {
	before, err := c.target(ctx, in)
	if err != nil {
		return err
	}
	if err := c.mayChange(ctx, in, before); err != nil {
		return err
	}
	return c.commit(ctx, in.room, &commit{
		change: Change{Kind: ChangeDelete, Hard: c.cmd.Hard, Message: Message{ID: c.cmd.ID}},
		author: c.srv.names.One(ctx, before.User),
		trace:  c.cmd.TraceID,
	})
}

// target returns the message that an edit or a delete is about.
func (c *call) target(ctx context.Context, in visit) (*Message, error) {
	if c.before != nil && c.before.ID == c.cmd.ID {
		return c.before, nil
	}
	return in.room.find(ctx, c.cmd.ID)
}

// mayChange reports whether the user may change a message: their own, or that of
// another as a moderator.
func (c *call) mayChange(ctx context.Context, in visit, m *Message) error {
	if m.User == c.cmd.User.ID && m.User != "" {
		return nil
	}
	if err := c.srv.may(ctx, c.cmd.User, ActionModerate, in.info); err != nil {
		return (&Error{Code: CodeForbidden, Message: "not your message"}).WithField("id").WithCause(err)
	}
	return nil
}

// changed answers an edit or a delete.
func (c *call) changed(ctx context.Context) (wire.Reply, error) {
	if m := c.cmd.Result; m != nil {
		return c.wrote(ctx, m.Rev)
	}
	return c.held()
}
