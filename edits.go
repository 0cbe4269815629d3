package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/gabblehq/chat/internal/wire"
)

// Edit replaces the content of the message with m.ID, and of Mentions,
// Attachments and Meta those that are not nil; what is empty but not nil is
// taken away. The message must keep the limits as the edit leaves it: its
// content may be empty as long as something is attached; where that has changed
// meanwhile, it is ErrConflict.
func (r *Room) Edit(ctx context.Context, m Message) (Message, error) {
	live, done, err := r.use()
	if err != nil {
		return Message{}, err
	}
	defer done()
	before, err := live.find(ctx, m.ID)
	if err != nil {
		return Message{}, err
	}
	m = cloneMessage(m)
	c, err := live.edit(ctx, &m, before, false, "")
	if err != nil {
		return Message{}, err
	}
	res, err := live.commit(ctx, c)
	return cloneMessage(res.Message), err
}

// Delete empties the message; with hard, of its author too. It keeps its place
// in the room.
func (r *Room) Delete(ctx context.Context, id string, hard bool) (Message, error) {
	live, done, err := r.use()
	if err != nil {
		return Message{}, err
	}
	defer done()
	m, err := live.find(ctx, id)
	if err != nil {
		return Message{}, err
	}
	author := r.srv.names.One(ctx, m.User)
	res, err := live.commit(ctx, &commit{author: author, change: Change{Kind: ChangeDelete, Hard: hard, Message: Message{ID: id}}})
	return cloneMessage(res.Message), err
}

// editCommand edits a message.
var editCommand = command{
	typ: CmdEdit, class: ClassWrite, action: ActionWrite,
	take: (*call).takeEdit, foresee: (*call).foresee, run: (*call).edit, reply: (*call).changed,
	routes: []route{{
		pattern: "PATCH /rooms/{room}/messages/{id}", status: http.StatusOK,
		read: func(c *call, r *http.Request) error { return c.readFrame(r, r.PathValue("id")) },
	}},
}

// deleteCommand deletes a message.
var deleteCommand = command{
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

// editAttempts bounds how often an edit is looked at that others overtake.
const editAttempts = 3

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
	m, err := in.room.edit(ctx, &to, before, c.before != nil, c.cmd.TraceID)
	if err != nil {
		return err
	}
	judged := m.change.Seen != nil && c.before != nil // the call may be gone afterwards
	err = c.commit(ctx, in.room, m)
	if judged && errors.Is(err, ErrConflict) {
		c.overtaken = true
	}
	return err
}

// edit is the commit that changes a message to what of to is not nil. judged: a
// middleware has let the edit pass by what before is.
func (r *liveRoom) edit(ctx context.Context, to, before *Message, judged bool, trace string) (*commit, error) {
	if before.Deleted() {
		return nil, errNoMessage
	}
	m := Message{ID: before.ID, Content: to.Content, Mentions: to.Mentions, Attachments: to.Attachments, Meta: to.Meta}
	after, _, _ := (&Change{Message: m}).Edit(*before)
	after.Nonce, after.ReplyTo, after.Thread = "", "", "" // not what is edited
	if err := r.srv.opt.Limits.checkWhole(&after); err != nil {
		return nil, err
	}
	// As they have been checked, and none stays none, which is not left alone.
	if m.Attachments != nil {
		m.Attachments = append([]Attachment{}, after.Attachments...)
	}
	if m.Meta != nil {
		m.Meta = append(json.RawMessage{}, after.Meta...)
	}
	c := &commit{change: Change{Kind: ChangeEdit, Message: m}, author: r.srv.names.One(ctx, before.User), trace: trace}
	if judged || m.Attachments == nil && !wire.Visible(m.Content) {
		// Of more than what the edit sets: an attachment may make up for the content.
		c.change.Seen = before
	}
	return c, nil
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

// What changes do to what is stored is the same in every store; these methods
// are for their authors. What they return shares memory with their arguments
// and with the change.

// Edit returns the message as the change, a ChangeEdit, leaves it, and whether
// that is any different. Rev is the caller's to set. A deleted message is not
// to be edited. The error, Result.Err then, is ErrConflict where what
// Change.Seen was decided on is not there any more.
func (c *Change) Edit(m Message) (Message, bool, error) {
	to := &c.Message
	if c.overtaken(&m) {
		return m, false, errOvertaken
	}
	changed := set(&m.Content, &to.Content)
	if to.Mentions != nil && !slices.Equal(to.Mentions, m.Mentions) {
		m.Mentions, changed = to.Mentions, true
	}
	if to.Attachments != nil && !slices.EqualFunc(to.Attachments, m.Attachments, sameAttachment) {
		m.Attachments, changed = to.Attachments, true
	}
	if to.Meta != nil && !bytes.Equal(to.Meta, m.Meta) {
		m.Meta, changed = to.Meta, true
	}
	if changed {
		m.EditedAt = stamp(c.At)
	}
	return m, changed, nil
}

var errOvertaken = &Error{Code: CodeConflict, Message: "the message has been edited meanwhile"}

// overtaken reports whether what the edit leaves alone is other than it was when the
// edit was looked at.
func (c *Change) overtaken(m *Message) bool {
	to, seen := &c.Message, c.Seen
	return seen != nil &&
		(to.Mentions == nil && !slices.Equal(m.Mentions, seen.Mentions) ||
			to.Attachments == nil && !slices.EqualFunc(m.Attachments, seen.Attachments, sameAttachment) ||
			to.Meta == nil && !bytes.Equal(m.Meta, seen.Meta))
}

// Delete returns the message as the change, a ChangeDelete, leaves it, and
// whether that is any different. Rev is the caller's to set.
func (c *Change) Delete(m Message) (Message, bool) {
	d := Message{
		ID: m.ID, Room: m.Room, Seq: m.Seq, Rev: m.Rev, FirstRev: m.FirstRev,
		User: m.User, Kind: m.Kind, Nonce: m.Nonce,
		CreatedAt: m.CreatedAt, EditedAt: m.EditedAt, DeletedAt: m.DeletedAt,
	}
	if c.Hard {
		d.User, d.Nonce = "", ""
	}
	if m.Deleted() && d.User == m.User && d.Nonce == m.Nonce {
		return m, false
	}
	if !m.Deleted() {
		d.DeletedAt = stamp(c.At)
	}
	return d, true
}

func set(to, from *string) bool {
	if from == nil || *from == *to {
		return false
	}
	*to = *from
	return true
}

func sameAttachment(a, b Attachment) bool {
	return a.URL == b.URL && a.Name == b.Name && a.Type == b.Type && a.Size == b.Size &&
		a.Width == b.Width && a.Height == b.Height && bytes.Equal(a.Meta, b.Meta)
}
