package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gabblehq/chat/internal/wire"
)

// MessageKind says what a message is.
type MessageKind string

// The kinds of messages.
const (
	KindRegular MessageKind = "regular" // written by a user; the default
	KindSystem  MessageKind = "system"  // written by the host: "alice renamed the room"
)

// Message is one entry of a room's conversation in its newest state.
//
// To send one, fill in User and Content and, where wanted, Kind, Nonce,
// ReplyTo, Thread, Mentions, Attachments and Meta; the rest is assigned. A
// system message needs no User.
type Message struct {
	ID       string // a ULID, assigned when sent
	Room     string
	Seq      int64 // place in the room from 1, dense, never changes: the order that everyone sees
	Rev      int64 // log position of the last change to this message
	FirstRev int64 // log position of its creation

	User    string // id of the author; empty in a hard-deleted message, and where the host gave none
	Kind    MessageKind
	Content string
	Nonce   string // the sender's own id of this send: the same nonce again gets the first answer

	CreatedAt time.Time
	EditedAt  time.Time // zero: never
	DeletedAt time.Time // zero: not deleted

	ReplyTo     string // id of the message that this one quotes
	Thread      string // id of the message whose thread this one belongs to
	Mentions    []string
	Attachments []Attachment
	Meta        json.RawMessage // a JSON object, opaque to the server; nil: none
}

// Deleted reports whether the message has been deleted. A deleted message
// keeps its place in the room and has no content.
func (m *Message) Deleted() bool { return !m.DeletedAt.IsZero() }

// Attachment describes a file that lives elsewhere; only this description
// passes through the chat.
type Attachment struct {
	URL    string          `json:"url"`
	Name   string          `json:"name,omitempty"`
	Type   string          `json:"type,omitempty"` // MIME type
	Size   int64           `json:"size,omitempty"` // bytes
	Width  int             `json:"width,omitempty"`
	Height int             `json:"height,omitempty"`
	Meta   json.RawMessage `json:"meta,omitempty"`
}

// Send stores a message and gets it on its way to everybody in the room. Of m
// the fields User, Kind, Content, Nonce, ReplyTo, Thread, Mentions,
// Attachments and Meta count. User is required, but for a KindSystem. With a
// Nonce that this user has used in this room before, the first message is
// returned and nothing is stored.
//
// When Send returns nil, the message is in the store. ctx ends the waiting,
// not the sending: after an error of ErrUnavailable the message may still
// arrive, and a retry with the same nonce is safe.
func (r *Room) Send(ctx context.Context, m Message) (Message, error) {
	live, done, err := r.use()
	if err != nil {
		return Message{}, err
	}
	defer done()
	switch m.Kind {
	case "":
		m.Kind = KindRegular
	case KindRegular, KindSystem:
	default:
		return Message{}, (&Error{Code: CodeInvalid, Message: "neither regular nor system"}).WithField("kind")
	}
	if !wire.ValidUserID(m.User) && (m.User != "" || m.Kind != KindSystem) {
		return Message{}, (&Error{Code: CodeInvalid, Message: "a message needs the id of its user"}).WithField("user")
	}
	m = cloneMessage(m) // ctx ends the waiting, and then the slices are the host's again
	if err := r.srv.opt.Limits.checkWhole(&m); err != nil {
		return Message{}, err
	}
	res, err := live.commit(ctx, &commit{
		change: Change{Kind: ChangeCreate, Message: Message{
			ID: newID(time.Now()), User: m.User, Kind: m.Kind, Content: m.Content, Nonce: m.Nonce, ReplyTo: m.ReplyTo,
			Thread: m.Thread, Mentions: m.Mentions, Attachments: m.Attachments, Meta: m.Meta,
		}},
		author: r.srv.names.One(ctx, m.User),
	})
	return cloneMessage(res.Message), err
}

// messageCommand sends a message.
var messageCommand = command{
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

// checkWhole holds a message as it would be stored to the rules, wherever it
// comes from, and brings its metas into the form that is kept. It changes none
// of the slices of m, but puts others in their place.
func (l *Limits) checkWhole(m *Message) (err error) {
	if m.User != "" && !wire.ValidUserID(m.User) {
		return &Error{Code: CodeInvalid, Message: "not a user id", Field: "user"}
	}
	if err := checkTexts("content", m.Content); err != nil {
		return err
	}
	if m.Meta, err = compactMeta(m.Meta, "meta", l.Meta); err != nil {
		return err
	}
	w := wire.NewCommand(wire.TypeMessage)
	w.Nonce, w.ReplyTo, w.Thread, w.Mentions = m.Nonce, m.ReplyTo, m.Thread, m.Mentions
	if len(m.Attachments) > 0 {
		m.Attachments = slices.Clone(m.Attachments)
		w.Attachments = make([]wire.Attachment, len(m.Attachments))
	}
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if a.Meta, err = compactMeta(a.Meta, fmt.Sprintf("attachments[%d].meta", i), l.Meta); err != nil {
			return err
		}
		w.Attachments[i] = wire.Attachment(*a)
	}
	if err := w.CheckParts(); err != nil {
		return wireError(err)
	}
	return l.check(m.Content, len(m.Attachments), m.Meta)
}

// validMessageID reports whether a message can have the id.
func validMessageID(id string) bool { return id != "" && len(id) <= wire.MaxID && printable(id) }

func (c *call) send(ctx context.Context, in visit) error {
	author := public(&c.cmd.User)
	if c.s != nil {
		// Before the message: behind it, a connection that is still busy with
		// it would miss the signal.
		in.room.presence.SetTyping(author, false)
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

// wireMessage is the message as it crosses the wire.
func wireMessage(m *Message, author wire.User) wire.Message {
	w := wire.Message{
		ID: m.ID, Room: m.Room, Seq: m.Seq, Rev: m.Rev, FirstRev: m.FirstRev,
		User: author, Kind: string(m.Kind), Content: m.Content, Nonce: m.Nonce,
		CreatedAt: m.CreatedAt, EditedAt: m.EditedAt, DeletedAt: m.DeletedAt,
		ReplyTo: m.ReplyTo, Thread: m.Thread, Mentions: m.Mentions, Meta: m.Meta,
	}
	if len(m.Attachments) > 0 {
		w.Attachments = make([]wire.Attachment, len(m.Attachments))
		for i, a := range m.Attachments {
			w.Attachments[i] = wire.Attachment(a)
		}
	}
	return w
}

func (r *liveRoom) messageFrame(typ string, m *Message, author wire.User) []byte {
	w := wireMessage(m, author)
	w.Room = r.id
	return wire.Seal(wire.AppendMessage(wire.NewFrame(messageSize(m)), typ, &w))
}

// MarshalJSON writes the message as it crosses the wire, see docs/protocol.md; of the
// author, whom the host knows more of, it knows the id.
func (m Message) MarshalJSON() ([]byte, error) {
	w := wireMessage(&m, wire.User{ID: m.User})
	w.Room = m.Room
	return wire.AppendMessageObject(make([]byte, 0, 512+len(m.Content)), &w), nil
}

// UnmarshalJSON reads what MarshalJSON has written, and messages of frames and REST.
func (m *Message) UnmarshalJSON(b []byte) error {
	var w wire.Message
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("chat: message: %w", err)
	}
	*m = Message{
		ID: w.ID, Room: w.Room, Seq: w.Seq, Rev: w.Rev, FirstRev: w.FirstRev, User: w.User.ID,
		Kind: MessageKind(w.Kind), Content: w.Content, Nonce: w.Nonce,
		CreatedAt: w.CreatedAt, EditedAt: w.EditedAt, DeletedAt: w.DeletedAt,
		ReplyTo: w.ReplyTo, Thread: w.Thread, Mentions: w.Mentions, Meta: w.Meta,
	}
	for _, a := range w.Attachments {
		m.Attachments = append(m.Attachments, Attachment(a))
	}
	return nil
}

// What is handed out shares no memory with what the server or a store keeps.

func cloneMessage(m Message) Message {
	m.Mentions, m.Attachments, m.Meta = slices.Clone(m.Mentions), cloneAttachments(m.Attachments), slices.Clone(m.Meta)
	return m
}

func cloneAttachments(list []Attachment) []Attachment {
	list = slices.Clone(list)
	for i := range list {
		list[i].Meta = slices.Clone(list[i].Meta)
	}
	return list
}
