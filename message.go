package chat

import (
	"encoding/json"
	"time"
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
