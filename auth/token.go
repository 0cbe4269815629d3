package auth

import (
	"context"
	"net/http"

	"github.com/gabblehq/chat"
)

// Token authenticates by opaque bearer tokens: lookup says whose a token is.
//
// Any error of lookup turns the client away for good, unless it is a failure
// to answer: one that matches [chat.ErrUnavailable], the end of a context or a
// [net.Error] makes it come back later. An error that matches
// [ErrNoCredential] says that the token is of another kind; see [First].
//
// lookup is called for every connection, every refresh and every REST call,
// concurrently, with the request's context; a client may send any token, so
// look it up by a hash rather than compare it. Token panics if lookup is nil.
func Token(lookup func(ctx context.Context, token string) (chat.User, error)) chat.Authenticator {
	if lookup == nil {
		panic("auth: Token needs a lookup func")
	}
	return func(r *http.Request) (chat.User, error) {
		token, err := bearer(r)
		if err != nil {
			return chat.User{}, refused(err)
		}
		user, err := lookup(r.Context(), token)
		if err != nil {
			return chat.User{}, unanswered(err)
		}
		return admitted(user)
	}
}
