package wire

import "time"

// Ack says that a command has been carried out. Fields that mean nothing for
// the command are left zero, and out of the frame.
type Ack struct {
	Ref, Room string
	ID        string // of the message, and so on
	Seq, Rev  int64
	CreatedAt time.Time
	Duplicate bool // the nonce was known: this is the first answer again
	Held      bool // a middleware has kept the command to itself: nothing has happened yet
}

// AppendAck appends an ack frame.
func AppendAck(dst []byte, a *Ack) []byte {
	b := optString(open(dst, "ack"), "ref", a.Ref)
	b = optString(b, "room", a.Room)
	b = optString(b, "id", a.ID)
	b = optInt(b, "seq", a.Seq)
	b = optInt(b, "rev", a.Rev)
	b = optTime(b, "created_at", a.CreatedAt)
	b = optTrue(b, "duplicate", a.Duplicate)
	return append(optTrue(b, "held", a.Held), '}')
}

// A Reply is what answers a command that has succeeded, in both its halves.
type Reply interface {
	AppendFrame(dst []byte) []byte
	AppendObject(dst []byte) []byte // as the body of a REST answer
}

var _ = [...]Reply{(*Ack)(nil), (*History)(nil), (*Online)(nil), (*Rooms)(nil), (*Room)(nil), (*Message)(nil)}

// AppendFrame appends an ack frame.
func (a *Ack) AppendFrame(dst []byte) []byte { return AppendAck(dst, a) }

// AppendObject appends nothing: over REST the status says it.
func (a *Ack) AppendObject(dst []byte) []byte { return dst }

// AppendFrame appends the answer to a history command.
func (h *History) AppendFrame(dst []byte) []byte { return AppendHistory(dst, h) }

// AppendObject appends the page as the body of a REST answer.
func (h *History) AppendObject(dst []byte) []byte { return AppendHistoryObject(dst, h) }

// AppendFrame appends the answer to a presence or members command.
func (o *Online) AppendFrame(dst []byte) []byte { return AppendOnline(dst, o) }

// AppendObject appends the page as the body of a REST answer.
func (o *Online) AppendObject(dst []byte) []byte { return AppendOnlineObject(dst, o) }

// AppendFrame appends the answer to a rooms command.
func (r *Rooms) AppendFrame(dst []byte) []byte { return AppendRooms(dst, r) }

// AppendObject appends the page as the body of a REST answer.
func (r *Rooms) AppendObject(dst []byte) []byte { return AppendRoomsObject(dst, r) }

// AppendFrame appends a room frame.
func (r *Room) AppendFrame(dst []byte) []byte { return AppendRoom(dst, r) }

// AppendObject appends the room by itself.
func (r *Room) AppendObject(dst []byte) []byte { return AppendRoomObject(dst, r) }

// AppendFrame appends a message frame.
func (m *Message) AppendFrame(dst []byte) []byte { return AppendMessage(dst, TypeMessage, m) }

// AppendObject appends the message by itself.
func (m *Message) AppendObject(dst []byte) []byte { return AppendMessageObject(dst, m) }

// AppendError appends an error frame.
func AppendError(dst []byte, e *Error) []byte { return appendError(open(dst, "error"), e) }

// AppendErrorObject appends the error as the body of a REST answer.
func AppendErrorObject(dst []byte, e *Error) []byte { return appendError(open(dst, ""), e) }

func appendError(b []byte, e *Error) []byte {
	b = optString(b, "ref", e.Ref)
	b = optString(b, "room", e.Room)
	b = appendString(b, "code", e.Code)
	b = appendString(b, "message", e.Message)
	b = optString(b, "field", e.Field)
	return append(optInt(b, "retry_after_ms", e.RetryAfterMS), '}')
}

// History is a page of messages, by seq upwards.
type History struct {
	Ref, Room string
	Messages  []Message
	More      bool // there are further messages in the direction that was asked for
	Epoch     string
	Head      int64
}

// AppendHistory appends the answer to a history command.
func AppendHistory(dst []byte, h *History) []byte { return appendHistory(open(dst, TypeHistory), h) }

// AppendHistoryObject appends the page as the body of a REST answer.
func AppendHistoryObject(dst []byte, h *History) []byte { return appendHistory(open(dst, ""), h) }

func appendHistory(b []byte, h *History) []byte {
	b = optString(b, "ref", h.Ref)
	b = optString(b, "room", h.Room)
	b = appendList(b, "messages", h.Messages, AppendMessageObject)
	b = appendBool(b, "more", h.More)
	b = optString(b, "epoch", h.Epoch)
	return append(appendInt(b, "head", h.Head), '}')
}

// Online is a page of the users who are in a room.
type Online struct {
	Type      string // of the command that is answered, presence or members
	Ref, Room string
	Online    int // how many there are in all
	Users     []User
	More      bool
	Cursor    string // for the next page
}

// AppendOnline appends the answer to a presence or members command.
func AppendOnline(dst []byte, o *Online) []byte { return appendOnline(open(dst, o.Type), o) }

// AppendOnlineObject appends the page as the body of a REST answer.
func AppendOnlineObject(dst []byte, o *Online) []byte { return appendOnline(open(dst, ""), o) }

func appendOnline(b []byte, o *Online) []byte {
	b = optString(b, "ref", o.Ref)
	b = optString(b, "room", o.Room)
	b = appendInt(b, "online", int64(o.Online))
	b = appendList(b, "users", o.Users, appendUser)
	b = appendBool(b, "more", o.More)
	return append(optString(b, "cursor", o.Cursor), '}')
}

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

func appendRooms(b []byte, r *Rooms) []byte {
	b = optString(b, "ref", r.Ref)
	b = appendList(b, "rooms", r.Rooms, AppendRoomObject)
	b = appendBool(b, "more", r.More)
	return append(optString(b, "cursor", r.Cursor), '}')
}

// AppendPong appends the answer to a ping.
func AppendPong(dst []byte, ref string, serverTime time.Time) []byte {
	b := optString(open(dst, "pong"), "ref", ref)
	return append(optTime(b, "server_time", serverTime), '}')
}
