package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gabblehq/chat/internal/wire"
)

// What host code, a middleware, a store or another server hands in, and what
// goes into frames, is held here to what clients are held to by the decoder.

const (
	maxName  = 256         // bytes of a user's name that are shown
	maxTitle = 200         // characters
	maxTopic = 1000        // characters
	maxURL   = wire.MaxURL // bytes of an avatar
	maxSaid  = 1000        // bytes of an error's message
)

// public is what others may see of a user. Names and avatars are only for show:
// what cannot be shown of them is left out, and keeps nobody out.
func public(u *User) wire.User { return shown(wire.User{ID: u.ID, Name: u.Name, Avatar: u.Avatar}) }

func shown(u wire.User) wire.User {
	if u.Name = label(u.Name); !wire.Visible(u.Name) {
		u.Name = ""
	}
	if !wire.ValidURL(u.Avatar) {
		u.Avatar = ""
	}
	return u
}

// label returns what can be shown of a name, on one line.
func label(s string) string {
	if !line(s) {
		s = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, strings.ToValidUTF8(s, "\ufffd"))
	}
	return cut(s, maxName)
}

// line reports whether s is UTF-8 without control characters.
func line(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// cut returns the first n bytes of s, less what of its last character is in.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
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

// wireError is an error of the codec as ours.
func wireError(err error) *Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return &Error{Code: Code(e.Code), Message: e.Message, Field: e.Field}
	}
	return &Error{Code: CodeInvalid, Message: "not valid", cause: err}
}

// validMessageID reports whether a message can have the id.
func validMessageID(id string) bool { return id != "" && len(id) <= wire.MaxID && printable(id) }

// checkRoomTexts holds what is said of a room to what everybody in it can be
// sent.
func checkRoomTexts(title, topic, avatar string) error {
	if err := checkTexts("title", title, "topic", topic, "avatar", avatar); err != nil {
		return err
	}
	switch {
	case utf8.RuneCountInString(title) > maxTitle:
		return &Error{Code: CodeTooLarge, Message: "the title is too long", Field: "title"}
	case utf8.RuneCountInString(topic) > maxTopic:
		return &Error{Code: CodeTooLarge, Message: "the topic is too long", Field: "topic"}
	case len(avatar) > maxURL:
		return &Error{Code: CodeTooLarge, Message: "the avatar is too long", Field: "avatar"}
	}
	return nil
}

// checkTexts holds texts, each after the name of its field, to what can cross
// the wire and lie in every store. What clients send has been held to it by
// the decoder.
func checkTexts(texts ...string) error {
	for i := 0; i < len(texts); i += 2 {
		switch text := texts[i+1]; {
		case strings.IndexByte(text, 0) >= 0:
			return &Error{Code: CodeInvalid, Message: "holds U+0000", Field: texts[i]}
		case !utf8.ValidString(text):
			return &Error{Code: CodeInvalid, Message: "is not UTF-8", Field: texts[i]}
		}
	}
	return nil
}

// compactMeta brings a meta object into the form that is kept. None stays nil,
// and what is empty but not nil, which clears, stays that.
func compactMeta(raw json.RawMessage, field string, limit int) (json.RawMessage, error) {
	if len(raw) == 0 {
		return raw, nil
	}
	m, err := wire.CompactMeta(raw)
	if err != nil {
		return nil, wireError(err).WithField(field)
	}
	if len(m) > limit {
		return nil, &Error{Code: CodeTooLarge, Message: "meta is too large", Field: field}
	}
	return m, nil
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

// cloneInfo returns a copy that shares nothing with what others may change.
func cloneInfo(info *RoomInfo) *RoomInfo {
	c := *info
	c.Peers, c.Meta = slices.Clone(c.Peers), slices.Clone(c.Meta)
	return &c
}

// own returns the page with the room's id in it, to hand out.
func (r *liveRoom) own(p Page) Page {
	p.Past = slices.Clone(p.Past)
	if p.Room != nil {
		p.Room = cloneInfo(p.Room)
		p.Room.ID = r.id
	}
	p.Messages = slices.Clone(p.Messages)
	for i := range p.Messages {
		p.Messages[i] = cloneMessage(p.Messages[i])
		p.Messages[i].Room = r.id
	}
	return p
}

// named returns the entry with the room's id in it: the store may not know it,
// and what it hands out is not ours to change.
func (r *liveRoom) named(e Entry) Entry {
	if e.Message != nil {
		m := cloneMessage(*e.Message)
		m.Room = r.id
		e.Message = &m
	} else {
		e.Room = cloneInfo(e.Room)
		e.Room.ID = r.id
	}
	return e
}

func cloneText(s *string) *string {
	if s == nil {
		return nil
	}
	c := *s
	return &c
}
