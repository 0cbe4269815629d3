package wire

import "time"

// A Reply is what answers a command that has succeeded, in both its halves.
type Reply interface {
	AppendFrame(dst []byte) []byte
	AppendObject(dst []byte) []byte // as the body of a REST answer
}

var _ = [...]Reply{(*Ack)(nil), (*History)(nil), (*Online)(nil), (*Rooms)(nil), (*Room)(nil), (*Message)(nil)}

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

// AppendFrame appends an ack frame.
func (a *Ack) AppendFrame(dst []byte) []byte { return AppendAck(dst, a) }

// AppendObject appends nothing: over REST the status says it.
func (a *Ack) AppendObject(dst []byte) []byte { return dst }

// Error is the error frame, and what decoding returns.
type Error struct {
	Ref          string `json:"ref,omitzero"`
	Room         string `json:"room,omitzero"` // tells the rooms of a join of several apart
	Code         string `json:"code"`
	Message      string `json:"message"`
	Field        string `json:"field,omitzero"` // like content or rooms[3].after
	RetryAfterMS int64  `json:"retry_after_ms,omitzero"`
}

// Error says the code, the field and the message.
func (e *Error) Error() string {
	s := e.Code
	if e.Field != "" {
		s += ": " + e.Field
	}
	return s + ": " + e.Message
}

// refer says which command the error is about. A ref that is too long is part
// of the mistake, and not sent back.
func (e *Error) refer(ref string) {
	if len(ref) <= MaxRef {
		e.Ref = ref
	}
}

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
