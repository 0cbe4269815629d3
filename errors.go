package chat

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// Code says what kind of failure an [Error] is. The same strings cross the
// wire.
type Code string

// The closed set of codes.
const (
	CodeInvalid         Code = "invalid"         // the request itself is wrong; sending it again will not help
	CodeUnauthenticated Code = "unauthenticated" // who is speaking is not known
	CodeForbidden       Code = "forbidden"       // known, and not allowed
	CodeNotFound        Code = "not_found"       // no such room or message, or not for this user to know
	CodeConflict        Code = "conflict"        // it exists already, or changed meanwhile
	CodeTooLarge        Code = "too_large"       // over a limit of size
	CodeRateLimited     Code = "rate_limited"    // too often; RetryAfter says when to come back
	CodeUnsupported     Code = "unsupported"     // this store or server cannot do it
	CodeUnavailable     Code = "unavailable"     // the store does not answer; safe to retry with the same nonce
	CodeInternal        Code = "internal"        // a fault of ours or of the host's code; details are in the log
)

// Error is the one error type of the package. Only Code, Message, Field and
// RetryAfter reach clients; the cause is for logs and errors.As.
//
// Two Errors match under [errors.Is] when their codes are equal, so a caller
// tests with errors.Is(err, chat.ErrNotFound).
type Error struct {
	Code       Code
	Message    string        // one sentence, safe to show to the client
	Field      string        // the offending field, where there is one
	RetryAfter time.Duration // for CodeRateLimited and CodeUnavailable; zero: unknown
	cause      error
}

// Errorf makes an Error whose message is formatted. A %w verb sets the cause,
// which then is part of the message too: keep secrets out of it.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// WithCause returns a copy of e that wraps cause. The cause never reaches a
// client.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// maxRetry is the longest that a client is told to wait: timers of browsers that
// are set to more go off at once.
const maxRetry = math.MaxInt32 * time.Millisecond

// retryAfter is RetryAfter in milliseconds, 0 where it says nothing. Rounded down,
// clients would come back a moment too soon.
func (e *Error) retryAfter() int64 {
	d := min(max(e.RetryAfter, 0), maxRetry)
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// WithField returns a copy of e that names the offending field.
func (e *Error) WithField(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// Error returns the message together with the code and the cause.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.cause != nil && e.cause.Error() != e.Message {
		s += " (" + e.cause.Error() + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an Error of the same code. An Error with
// CodeUnsupported also matches [errors.ErrUnsupported].
func (e *Error) Is(target error) bool {
	if t, ok := target.(*Error); ok {
		return t.Code == e.Code && (t.Message == "" || t.Message == e.Message)
	}
	return e.Code == CodeUnsupported && target == errors.ErrUnsupported
}

// said is what clients are told of the error.
func (e *Error) said() *wire.Error {
	return &wire.Error{Code: string(e.Code), Message: cut(e.Message, maxSaid), Field: cut(e.Field, maxSaid), RetryAfterMS: e.retryAfter()}
}

// One sentinel for each code, for errors.Is.
var (
	ErrInvalid         error = &Error{Code: CodeInvalid}
	ErrUnauthenticated error = &Error{Code: CodeUnauthenticated}
	ErrForbidden       error = &Error{Code: CodeForbidden}
	ErrNotFound        error = &Error{Code: CodeNotFound}
	ErrConflict        error = &Error{Code: CodeConflict}
	ErrTooLarge        error = &Error{Code: CodeTooLarge}
	ErrRateLimited     error = &Error{Code: CodeRateLimited}
	ErrUnsupported     error = &Error{Code: CodeUnsupported}
	ErrUnavailable     error = &Error{Code: CodeUnavailable}
	ErrInternal        error = &Error{Code: CodeInternal}
)

// Errors that say more than a code.
var (
	// ErrServerClosed is returned by everything that is asked of a Server
	// after Shutdown or Close.
	ErrServerClosed = errors.New("chat: server closed")

	// ErrReset ends a [Room.Changes] loop whose position cannot be continued:
	// the log was trimmed or replaced. Start over from the room's history.
	ErrReset = errors.New("chat: position cannot be continued, start over")

	// ErrUnknown is what a Store's Append returns (wrapped or not) when it
	// cannot say whether the changes were written. Retrying with the same
	// nonces is safe.
	ErrUnknown = errors.New("chat: outcome unknown")
)

// CodeOf returns the code by which clients are told of the error, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return asError(err).Code
}

// asError turns any error into one that may cross the wire: an Error as it
// is, anything foreign as internal with a fixed text.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e == nil { // which would panic when it is asked for more
			return &Error{Code: CodeInternal, Message: "internal error"}
		}
		return e
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeUnavailable, Message: "not done in time", cause: err}
	case errors.Is(err, ErrServerClosed):
		return &Error{Code: CodeUnavailable, Message: "the server is shutting down", cause: err}
	case errors.Is(err, ErrUnknown):
		return &Error{Code: CodeUnavailable, Message: "the outcome is not known; retry with the same nonce", cause: err}
	}
	return &Error{Code: CodeInternal, Message: "internal error", cause: err}
}

// codes are all there are, in the order in which errorCounts counts them.
var codes = [...]Code{
	CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeConflict,
	CodeTooLarge, CodeRateLimited, CodeUnsupported, CodeUnavailable, CodeInternal,
}

// errorCounts counts the errors that clients were answered with, by code.
type errorCounts [len(codes)]atomic.Int64

func (n *errorCounts) add(code Code) {
	for i, c := range codes {
		if c == code {
			n[i].Add(1)
			return
		}
	}
}

func (n *errorCounts) all() map[Code]int64 {
	m := make(map[Code]int64, len(codes))
	for i, c := range codes {
		if v := n[i].Load(); v > 0 {
			m[c] = v
		}
	}
	return m
}
