package chat

import (
	"encoding/json"
	"fmt"

	"github.com/gabblehq/chat/internal/wire"
)

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

// roomObject is a room as it crosses the wire, with what only the host is told.
type roomObject struct {
	wire.Room
	CreatedBy string `json:"created_by,omitzero"`
}

// MarshalJSON writes the settings as the room crosses the wire, see docs/protocol.md,
// the peers by their ids, and beside that created_by, which clients are not told.
func (r RoomInfo) MarshalJSON() ([]byte, error) {
	w := roomObject{CreatedBy: r.CreatedBy, Room: wire.Room{
		ID: r.ID, Kind: string(r.Kind), Title: r.Title, Topic: r.Topic, Avatar: r.Avatar, Meta: r.Meta, CreatedAt: r.CreatedAt, Rev: r.Rev,
	}}
	for _, p := range r.Peers {
		w.Peers = append(w.Peers, wire.User{ID: p})
	}
	b := wire.AppendRoomObject(nil, &w.Room)
	if r.CreatedBy == "" {
		return b, nil
	}
	by, err := json.Marshal(r.CreatedBy)
	if err != nil {
		return nil, err
	}
	sep := ","
	if len(b) == len("{}") {
		sep = ""
	}
	return fmt.Appendf(b[:len(b)-1], `%s"created_by":%s}`, sep, by), nil
}

// UnmarshalJSON reads what MarshalJSON has written, and rooms of frames and REST.
func (r *RoomInfo) UnmarshalJSON(b []byte) error {
	var w roomObject
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("chat: room: %w", err)
	}
	*r = RoomInfo{
		ID: w.ID, Kind: RoomKind(w.Kind), Title: w.Title, Topic: w.Topic, Avatar: w.Avatar,
		Meta: w.Meta, CreatedBy: w.CreatedBy, CreatedAt: w.CreatedAt, Rev: w.Rev,
	}
	for _, p := range w.Peers {
		r.Peers = append(r.Peers, p.ID)
	}
	return nil
}
