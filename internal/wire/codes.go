package wire

// Subprotocol is the name under which client and server agree on this codec.
const Subprotocol = "gabble.v1.json"

// The codes of errors, on the wire and everywhere else.
const (
	CodeInvalid         = "invalid"
	CodeUnauthenticated = "unauthenticated"
	CodeForbidden       = "forbidden"
	CodeNotFound        = "not_found"
	CodeConflict        = "conflict"
	CodeTooLarge        = "too_large"
	CodeRateLimited     = "rate_limited"
	CodeUnsupported     = "unsupported"
	CodeUnavailable     = "unavailable"
	CodeInternal        = "internal"
)

// The close codes of the protocol's own. Up to 4499 the client comes back by
// itself, from 4500 on it stays away.
const (
	CloseRestart         = 4000
	CloseLagging         = 4001
	CloseIdle            = 4002
	CloseExpired         = 4003
	CloseUnauthenticated = 4500
	CloseBanned          = 4501
	CloseProtocol        = 4502
	CloseReplaced        = 4503
)

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
