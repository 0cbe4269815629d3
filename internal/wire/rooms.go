package wire

import (
	"encoding/json"
	"time"
)

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

// ValidRoomID reports whether id may name a room: 1 to 128 of
// [A-Za-z0-9_.~-], and neither "." nor "..", which have a meaning in URLs.
func ValidRoomID(id string) bool {
	if id == "" || len(id) > MaxRoomID || id == "." || id == ".." {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == '~', c == '-':
		default:
			return false
		}
	}
	return true
}

func checkRoom(field, id string) *Error {
	if id == "" {
		return invalid(field, "is required")
	}
	if !ValidRoomID(id) {
		return invalid(field, "must be 1 to %d of A-Z a-z 0-9 _ . ~ -, and not . or ..", MaxRoomID)
	}
	return nil
}

func (c *Command) checkRoom() *Error { return checkRoom("room", c.Room) }

// AppendRoom appends a room frame: the room's settings have changed to these.
func AppendRoom(dst []byte, r *Room) []byte {
	b := optString(open(dst, "room"), "room", r.ID)
	b = appendInt(b, "rev", r.Rev)
	return append(AppendRoomObject(appendKey(b, "state"), r), '}')
}

// AppendRoomObject appends the room by itself, as pages and REST have it.
func AppendRoomObject(dst []byte, r *Room) []byte {
	b := optString(open(dst, ""), "id", r.ID)
	b = optString(b, "kind", r.Kind)
	b = optString(b, "title", r.Title)
	b = optString(b, "topic", r.Topic)
	b = optString(b, "avatar", r.Avatar)
	b = optList(b, "peers", r.Peers, appendUser)
	b = optInt(b, "online", int64(r.Online))
	if r.LastMessage != nil {
		b = AppendMessageObject(appendKey(b, "last_message"), r.LastMessage)
	}
	b = optRaw(b, "meta", r.Meta)
	b = optTime(b, "created_at", r.CreatedAt)
	return append(optInt(b, "rev", r.Rev), '}')
}

// AppendFrame appends a room frame.
func (r *Room) AppendFrame(dst []byte) []byte { return AppendRoom(dst, r) }

// AppendObject appends the room by itself.
func (r *Room) AppendObject(dst []byte) []byte { return AppendRoomObject(dst, r) }

// Rooms is a page of rooms.
type Rooms struct {
	Ref    string
	Rooms  []Room
	More   bool
	Cursor string // for the next page
}

// AppendRooms appends the answer to a rooms command.
func AppendRooms(dst []byte, r *Rooms) []byte { return appendRooms(open(dst, TypeRooms), r) }

// AppendRoomsObject appends the page as the body of a REST answer.
func AppendRoomsObject(dst []byte, r *Rooms) []byte { return appendRooms(open(dst, ""), r) }

// AppendFrame appends the answer to a rooms command.
func (r *Rooms) AppendFrame(dst []byte) []byte { return AppendRooms(dst, r) }

// AppendObject appends the page as the body of a REST answer.
func (r *Rooms) AppendObject(dst []byte) []byte { return AppendRoomsObject(dst, r) }

func appendRooms(b []byte, r *Rooms) []byte {
	b = optString(b, "ref", r.Ref)
	b = appendList(b, "rooms", r.Rooms, AppendRoomObject)
	b = appendBool(b, "more", r.More)
	return append(optString(b, "cursor", r.Cursor), '}')
}

func (c *Command) checkCursor() *Error {
	if !token(c.Cursor, MaxCursor) {
		return invalid("cursor", "is not one of ours")
	}
	return nil
}
