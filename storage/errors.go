package storage

import "errors"

// What a store can fail with. Each is tested for with [errors.Is].
var (
	// ErrNotFound: no such room.
	ErrNotFound = errors.New("storage: no such room")

	// ErrUnavailable: the backend does not answer, or cannot do it now.
	// Nothing was written.
	ErrUnavailable = errors.New("storage: unavailable")

	// ErrUnknown: nobody can say whether it was written.
	ErrUnknown = errors.New("storage: outcome unknown")

	// ErrLost is ErrNotFound of a room of which known says that it was there,
	// and which nobody has removed: the store has lost it. Stores whose data
	// cannot vanish under running servers have no use for it.
	ErrLost error = &Error{Kind: ErrNotFound, Message: "the store has lost the room"}

	// ErrTooLarge: more than the backend takes at once.
	ErrTooLarge = errors.New("storage: too large")
)

// Error is what the errors of a store are, or wrap, where there is more to say
// than one of the kinds above. Error tells the operator all of it; Message
// alone may be shown to a client.
type Error struct {
	Kind    error  // one of the kinds above
	Message string // one sentence, without anything of the driver's
	Hint    string // what the operator can do about it; "": nothing known
	Cause   error  // what the driver has said; errors.Unwrap does not lead to it
}

// Error returns everything there is to say.
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = e.Kind.Error()
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Is reports whether target is the error's kind.
func (e *Error) Is(target error) bool { return target == e.Kind }
