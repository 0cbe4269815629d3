package wire

import (
	"time"

	"github.com/go-json-experiment/json"
)

// Event is one frame of the server as clients in Go see it: the fields of all
// types side by side. Those of a message (id, room, seq, rev, user, …) are
// [Message]'s, whatever the type.
//
// The JSON tags of it, and of what is in it, serve the tests as well, which hold
// the hand-written encoders to what encoding/json makes of the same values.
type Event struct {
	Type string `json:"type,omitzero"`
	Ref  string `json:"ref,omitzero"`
	Message

	Epoch    string    `json:"epoch,omitzero"`
	Head     int64     `json:"head,omitzero"`
	Messages []Message `json:"messages,omitzero"`
	More     bool      `json:"more,omitzero"`
	Reset    bool      `json:"reset,omitzero"`
	State    *Room     `json:"state,omitzero"`

	Online int    `json:"online,omitzero"`
	Users  []User `json:"users,omitzero"`
	Join   []User `json:"join,omitzero"`
	Leave  []User `json:"leave,omitzero"`
	Active bool   `json:"active,omitzero"`

	Rooms  []Room `json:"rooms,omitzero"`
	Cursor string `json:"cursor,omitzero"`

	Duplicate    bool   `json:"duplicate,omitzero"`
	Held         bool   `json:"held,omitzero"`
	Code         string `json:"code,omitzero"`
	Text         string `json:"message,omitzero"` // of an error
	Field        string `json:"field,omitzero"`
	RetryAfterMS int64  `json:"retry_after_ms,omitzero"`

	Session     string    `json:"session,omitzero"`
	ExpiresInMS int64     `json:"expires_in_ms,omitzero"`
	HeartbeatMS int64     `json:"heartbeat_ms,omitzero"`
	Limits      *Limits   `json:"limits,omitzero"`
	ServerTime  time.Time `json:"server_time,omitzero"`

	AfterMS int64  `json:"after_ms,omitzero"`
	Reason  string `json:"reason,omitzero"`
}

// Decode reads one frame of a server. The payload is not kept.
func (e *Event) Decode(payload []byte) error {
	*e = Event{}
	return json.Unmarshal(payload, e)
}
