package wire

import (
	"encoding/json"
	"fmt"
	"time"
)

// Message is a whole message in its newest state. Zero fields are left out of
// its encoding.
type Message struct {
	ID          string          `json:"id,omitzero"`
	Room        string          `json:"room,omitzero"`
	Seq         int64           `json:"seq,omitzero"`
	Rev         int64           `json:"rev,omitzero"`
	FirstRev    int64           `json:"first_rev,omitzero"`
	User        User            `json:"user,omitzero"`
	Kind        string          `json:"kind,omitzero"`
	Content     string          `json:"content,omitzero"`
	Nonce       string          `json:"nonce,omitzero"`
	CreatedAt   time.Time       `json:"created_at,omitzero"`
	EditedAt    time.Time       `json:"edited_at,omitzero"`
	DeletedAt   time.Time       `json:"deleted_at,omitzero"`
	ReplyTo     string          `json:"reply_to,omitzero"`
	Thread      string          `json:"thread,omitzero"`
	Mentions    []string        `json:"mentions,omitzero"` // user ids
	Attachments []Attachment    `json:"attachments,omitzero"`
	Meta        json.RawMessage `json:"meta,omitzero"` // nil, or what CompactMeta returned: it is sent as it is
}

// Attachment describes a file that lives elsewhere. Meta is as in [Message].
type Attachment struct {
	URL    string          `json:"url,omitzero"`
	Name   string          `json:"name,omitzero"`
	Type   string          `json:"type,omitzero"` // MIME type
	Size   int64           `json:"size,omitzero"` // bytes
	Width  int             `json:"width,omitzero"`
	Height int             `json:"height,omitzero"`
	Meta   json.RawMessage `json:"meta,omitzero"`
}

func (c *Command) checkMessage() *Error {
	if err := c.checkRoom(); err != nil {
		return err
	}
	if c.Content == "" && len(c.Attachments) == 0 {
		return invalid("content", "is required where nothing is attached")
	}
	if !token(c.Nonce, MaxNonce) {
		return invalid("nonce", "must be printable ASCII of at most %d bytes", MaxNonce)
	}
	return first(checkID("reply_to", c.ReplyTo), checkID("thread", c.Thread), c.checkParts())
}

func (c *Command) checkEdit() *Error {
	if err := first(c.checkRoom(), c.checkGiven()); err != nil {
		return err
	}
	if !c.HasContent {
		return invalid("content", "is required")
	}
	return first(checkID("id", c.ID), c.checkParts())
}

func (c *Command) checkDelete() *Error {
	return first(c.checkRoom(), c.checkGiven(), checkID("id", c.ID), c.checkParts())
}

// checkGiven sees to it that a message is named.
func (c *Command) checkGiven() *Error {
	if c.ID == "" {
		return invalid("id", "is required")
	}
	return nil
}

// CheckParts holds what a message has beside its content to the rules, for
// messages that no client has sent. Meta is not looked into.
func (c *Command) CheckParts() error {
	if !token(c.Nonce, MaxNonce) {
		return invalid("nonce", "must be printable ASCII of at most %d bytes", MaxNonce)
	}
	if err := first(checkID("reply_to", c.ReplyTo), checkID("thread", c.Thread), c.checkParts()); err != nil {
		return err
	}
	return nil
}

// checkParts checks what a message and an edit have beside the content.
func (c *Command) checkParts() *Error {
	if len(c.Mentions) > MaxMentions {
		return invalid("mentions", "are more than %d", MaxMentions)
	}
	for i, id := range c.Mentions {
		if !ValidUserID(id) {
			return invalid(itemField("mentions", i, ""), "must be 1 to %d bytes of UTF-8 without control characters", MaxUserID)
		}
	}
	if len(c.Attachments) > MaxAttachments {
		return invalid("attachments", "are more than %d", MaxAttachments)
	}
	for i := range c.Attachments {
		if err := c.Attachments[i].check(); err != nil {
			err.Field = itemField("attachments", i, err.Field)
			return err
		}
	}
	return checkMetaSize(c.Meta)
}

func (a *Attachment) check() *Error {
	switch {
	case a.URL == "":
		return invalid("url", "is required")
	case !ValidURL(a.URL):
		return invalid("url", "must be an http or https URL, or a path from /, of at most %d bytes", MaxURL)
	case len(a.Name) > MaxName || !OneLine(a.Name):
		return invalid("name", "must be at most %d bytes without control characters", MaxName)
	case !token(a.Type, MaxName):
		return invalid("type", "must be a MIME type of at most %d bytes", MaxName)
	case a.Size < 0 || a.Size > MaxNumber:
		return invalid("size", "must be an integer from 0 to %d", int64(MaxNumber))
	case a.Width < 0 || a.Width > MaxCount || a.Height < 0 || a.Height > MaxCount:
		return invalid("width", "width and height must be integers from 0 to %d", MaxCount)
	}
	return checkMetaSize(a.Meta)
}

func checkMetaSize(meta []byte) *Error {
	if len(meta) > MaxMeta {
		return &Error{Code: CodeTooLarge, Field: "meta", Message: fmt.Sprintf("is larger than %d bytes", MaxMeta)}
	}
	return nil
}

// nonce refuses an empty one, which would stand for no nonce at all: that is
// a mistake better heard of before the first message comes twice.
func (p *parser) nonce() string {
	s, ok := p.optString("nonce")
	if ok && s == "" {
		p.fail("nonce", "is empty")
	}
	return s
}

func (p *parser) mention() string { return p.string("") }

func (p *parser) attachment() Attachment {
	var a Attachment
	if !p.isObject() {
		return a
	}
	for name := range p.names {
		switch string(name) {
		case "url":
			a.URL = p.string("url")
		case "name":
			a.Name = p.string("name")
		case "type":
			a.Type = p.string("type")
		case "size":
			a.Size = p.position("size", 0)
		case "width":
			a.Width = p.count("width", 0)
		case "height":
			a.Height = p.count("height", 0)
		case "meta":
			a.Meta = p.meta("meta")
		default:
			p.value()
		}
	}
	return a
}

// AppendMessage appends the frame of the given type (message, edit or delete)
// that carries the whole message.
func AppendMessage(dst []byte, typ string, m *Message) []byte {
	return append(messageFields(open(dst, typ), m), '}')
}

// AppendMessageObject appends the message by itself, as pages and REST have it.
func AppendMessageObject(dst []byte, m *Message) []byte {
	return append(messageFields(open(dst, ""), m), '}')
}

// AppendFrame appends a message frame.
func (m *Message) AppendFrame(dst []byte) []byte { return AppendMessage(dst, TypeMessage, m) }

// AppendObject appends the message by itself.
func (m *Message) AppendObject(dst []byte) []byte { return AppendMessageObject(dst, m) }

func messageFields(b []byte, m *Message) []byte {
	b = optString(b, "id", m.ID)
	b = optString(b, "room", m.Room)
	b = optInt(b, "seq", m.Seq)
	b = optInt(b, "rev", m.Rev)
	b = optInt(b, "first_rev", m.FirstRev)
	b = optUser(b, "user", &m.User)
	b = optString(b, "kind", m.Kind)
	b = optString(b, "content", m.Content)
	b = optString(b, "nonce", m.Nonce)
	b = optTime(b, "created_at", m.CreatedAt)
	b = optTime(b, "edited_at", m.EditedAt)
	b = optTime(b, "deleted_at", m.DeletedAt)
	b = optString(b, "reply_to", m.ReplyTo)
	b = optString(b, "thread", m.Thread)
	b = optStrings(b, "mentions", m.Mentions)
	b = optList(b, "attachments", m.Attachments, appendAttachment)
	return optRaw(b, "meta", m.Meta)
}

func appendAttachment(b []byte, a *Attachment) []byte {
	b = optString(open(b, ""), "url", a.URL)
	b = optString(b, "name", a.Name)
	b = optString(b, "type", a.Type)
	b = optInt(b, "size", a.Size)
	b = optInt(b, "width", int64(a.Width))
	b = optInt(b, "height", int64(a.Height))
	return append(optRaw(b, "meta", a.Meta), '}')
}
