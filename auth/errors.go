package auth

import (
	"context"
	"errors"
	"net"

	"github.com/gabblehq/chat"
)

// ErrNoCredential is the cause of an error that says: this request carries
// nothing that this Authenticator is about. It tells [First] to try the next
// one; a credential that is there and wrong never matches it.
var ErrNoCredential = errors.New("auth: no such credential in the request")

// refused makes the error that all failures look like from outside. The cause
// is for the log and must not hold the credential.
func refused(cause error) error {
	return (&chat.Error{Code: chat.CodeUnauthenticated, Message: "not authenticated"}).WithCause(cause)
}

// unanswered tells apart what a host's lookup may fail with: a no, and no
// answer at all. A client that got a no stays away, so an answer that ran out
// of time or never came over the network must not become one.
func unanswered(err error) error {
	if errors.Is(err, chat.ErrUnavailable) {
		return err
	}
	var network net.Error // *url.Error of an HTTP client is one too
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &network) {
		return (&chat.Error{Code: chat.CodeUnavailable, Message: "authentication is not available"}).WithCause(err)
	}
	return refused(err)
}
