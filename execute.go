package chat

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/gabblehq/chat/internal/wire"
)

// execute is the handler behind all middleware.
func (s *Server) execute(ctx context.Context, cmd *Command) error {
	c := cmd.call
	if c == nil {
		return Errorf(CodeInternal, "middleware passed on a Command of its own making")
	}
	switch cmd.Type {
	case CmdConnect:
		return nil
	case CmdAuth:
		return s.authenticate(c)
	case CmdMessage:
		return s.message(ctx, c)
	case CmdEdit, CmdDelete:
		return s.change(ctx, c)
	case CmdJoin:
		return s.join(ctx, c)
	case CmdLeave:
		return s.leave(c)
	case CmdTyping:
		return s.showTyping(ctx, c)
	case CmdHistory:
		return s.showHistory(ctx, c)
	case CmdMembers, CmdPresence:
		return s.showOnline(ctx, c)
	case CmdRooms:
		return s.listRooms(ctx, c)
	case CmdCreateRoom:
		return s.createRoom(ctx, c)
	case CmdUpdateRoom:
		return s.updateRoom(ctx, c)
	case CmdDeleteRoom:
		return s.deleteRoom(ctx, c)
	}
	return (&Error{Code: CodeInvalid, Message: "unknown type"}).WithField("type")
}

var errNoRoom = &Error{Code: CodeNotFound, Message: "no such room", Field: "room"}

// may asks the host whether the user may do something in a room. Who may not
// read the room learns nothing of it, not even that it is there.
func (s *Server) may(ctx context.Context, user User, action Action, info *RoomInfo) error {
	room := *info
	if s.judged { // by the host, who may do with it what it likes
		room.Peers, room.Meta = slices.Clone(room.Peers), slices.Clone(room.Meta)
	}
	err := guard(func() error { return s.opt.Authorize(ctx, user, action, room) })
	if err == nil {
		return nil
	}
	if e := asError(err); e.Code == CodeInternal || e.Code == CodeUnavailable {
		if _, ok := errors.AsType[*Error](err); ok {
			return err
		}
	}
	if action == ActionRead || action == ActionCreate {
		return errNoRoom.WithCause(err)
	}
	if s.may(ctx, user, ActionRead, info) != nil {
		return errNoRoom.WithCause(err)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return (&Error{Code: CodeForbidden, Message: "not allowed in this room"}).WithCause(err)
}

// open returns the room of a command if the user may do the action there. The
// caller releases it.
func (s *Server) open(ctx context.Context, c *call, action Action) (*liveRoom, *RoomInfo, error) {
	if c.cmd.Room == controlRoom {
		return nil, nil, errNoRoom
	}
	if !ValidRoomID(c.cmd.Room) {
		return nil, nil, (&Error{Code: CodeInvalid, Message: "not a room id"}).WithField("room")
	}
	r := s.acquire(c.cmd.Room)
	c.permitted(s)
	info, err := r.settings(ctx)
	if err == nil {
		if err = s.may(ctx, c.cmd.User, action, info); err != nil {
			s.refused(ctx, c.cmd.User.ID, r, err)
		}
	} else if errors.Is(err, ErrNotFound) {
		err = errNoRoom
	}
	if err != nil {
		r.release()
		return nil, nil, err
	}
	return r, info, nil
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

// message sends a message.
func (s *Server) message(ctx context.Context, c *call) error {
	cmd := &c.cmd
	m := Message{
		ID: newID(now()), User: cmd.User.ID, Kind: KindRegular, Content: cmd.Content, Nonce: cmd.Nonce,
		ReplyTo: cmd.ReplyTo, Thread: cmd.Thread, Mentions: cmd.Mentions, Attachments: cmd.Attachments, Meta: cmd.Meta,
	}
	if err := s.checkSent(&m); err != nil {
		return err
	}
	r, _, err := s.open(ctx, c, ActionWrite)
	if err != nil {
		return err
	}
	given := false
	defer func() {
		if !given {
			r.release()
		}
	}()
	if c.s != nil {
		// Before the message: behind it, a connection that is still busy with
		// it would miss the signal.
		r.shows(public(&cmd.User), false)
	}
	given = true
	return c.commit(ctx, r, &commit{
		change: Change{Kind: ChangeCreate, Message: m},
		author: public(&cmd.User),
		trace:  cmd.TraceID,
	})
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

// checkSent holds a message to the limits and, where a middleware may have
// touched it, to all that the decoder has held it to.
func (s *Server) checkSent(m *Message) error {
	if len(s.opt.Middleware) == 0 {
		return s.opt.Limits.check(m.Content, len(m.Attachments), m.Meta)
	}
	if !wire.ValidUserID(m.User) {
		return &Error{Code: CodeInternal, Message: "internal error", cause: errors.New("chat: a middleware has set a user id that is none")}
	}
	*m = cloneMessage(*m)
	return s.opt.Limits.checkWhole(m)
}

// foresee completes an edit: middleware sees the message as the edit leaves it,
// not only what the edit is about.
func (s *Server) foresee(ctx context.Context, c *call) error {
	cmd := &c.cmd
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

// change edits or deletes a message.
func (s *Server) change(ctx context.Context, c *call) error {
	r, info, err := s.open(ctx, c, ActionWrite)
	if err != nil {
		return err
	}
	given := false
	defer func() {
		if !given {
			r.release()
		}
	}()
	m, err := s.changing(ctx, c, r, info)
	if err != nil {
		return err
	}
	given = true
	judged := m.change.Seen != nil && c.before != nil
	err = c.commit(ctx, r, m)
	if judged && errors.Is(err, ErrConflict) {
		c.overtaken = true
	}
	return err
}

// changing is the commit of an edit or a delete, if the user may make it.
func (s *Server) changing(ctx context.Context, c *call, r *liveRoom, info *RoomInfo) (*commit, error) {
	cmd := &c.cmd
	before := c.before
	if before == nil || before.ID != cmd.ID {
		var err error
		if before, err = r.find(ctx, cmd.ID); err != nil {
			return nil, err
		}
	}
	if cmd.Type == CmdEdit && before.Deleted() {
		return nil, errNoMessage
	}
	if author := before.User; author != cmd.User.ID || author == "" {
		if err := s.may(ctx, cmd.User, ActionModerate, info); err != nil {
			return nil, (&Error{Code: CodeForbidden, Message: "not your message"}).WithField("id").WithCause(err)
		}
	}
	if cmd.Type == CmdEdit {
		m := cloneMessage(c.edited())
		return r.edit(ctx, &m, before, c.before != nil, cmd.TraceID)
	}
	author := s.names.One(ctx, before.User)
	ch := Change{Kind: ChangeDelete, Hard: cmd.Hard, Message: Message{ID: cmd.ID}}
	return &commit{change: ch, author: author, trace: cmd.TraceID}, nil
}

// showTyping tells others that the user is typing.
func (s *Server) showTyping(ctx context.Context, c *call) error {
	r, _, err := s.open(ctx, c, ActionWrite)
	if err != nil {
		return err
	}
	defer r.release()
	if r.Topic.Len() > 0 {
		r.shows(public(&c.cmd.User), c.cmd.Active)
	}
	return nil
}

// showHistory reads a page of messages.
func (s *Server) showHistory(ctx context.Context, c *call) error {
	r, _, err := s.open(ctx, c, ActionRead)
	if err != nil {
		return err
	}
	defer r.release()
	if c.cmd.Thread != "" {
		return (&Error{Code: CodeUnsupported, Message: "threads cannot be read by themselves yet"}).WithField("thread")
	}
	q := c.query
	if q.Limit == 0 {
		q.Limit = s.opt.Limits.History
	}
	q.Limit = min(q.Limit, s.opt.Limits.MaxHistory)
	c.page, err = r.messages(ctx, q)
	return err
}

// showOnline lists who is in a room.
func (s *Server) showOnline(ctx context.Context, c *call) error {
	r, _, err := s.open(ctx, c, ActionRead)
	if err != nil {
		return err
	}
	defer r.release()
	limit := c.limit
	if limit == 0 {
		limit = s.opt.Limits.Presence
	}
	if err := r.attend(ctx); err != nil {
		return err
	}
	after, ok := readCursor(c.cursor)
	if !ok {
		return errCursor
	}
	o := wire.Online{Type: string(c.cmd.Type), Room: r.id}
	o.Online, o.Users, o.More = r.online(nil, after, min(limit, s.opt.Limits.Presence), s.opt.Limits.PageBytes)
	if n := len(o.Users); o.More && n > 0 {
		o.Cursor = makeCursor(o.Users[n-1].ID)
	}
	c.online = o
	return nil
}
