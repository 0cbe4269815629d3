package wire

import (
	"encoding/json"
	"time"
)

// The JSON tags below serve [Event] and the tests, which hold the hand-written
// encoders to what encoding/json makes of the same values.

// User is a user as others see them.
type User struct {
	ID     string `json:"id,omitzero"`
	Name   string `json:"name,omitzero"`
	Avatar string `json:"avatar,omitzero"`
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

// Room is a room as its readers see it. Zero fields are left out of its
// encoding.
type Room struct {
	ID          string          `json:"id,omitzero"`
	Kind        string          `json:"kind,omitzero"`
	Title       string          `json:"title,omitzero"`
	Topic       string          `json:"topic,omitzero"`
	Avatar      string          `json:"avatar,omitzero"`
	Peers       []User          `json:"peers,omitzero"` // the two users of a direct room
	Online      int             `json:"online,omitzero"`
	LastMessage *Message        `json:"last_message,omitzero"`
	Meta        json.RawMessage `json:"meta,omitzero"` // as in Message
	CreatedAt   time.Time       `json:"created_at,omitzero"`
	Rev         int64           `json:"rev,omitzero"`
}
