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
