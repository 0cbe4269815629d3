package auth

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gabblehq/chat"
)

// First combines Authenticators: each request is judged by the first one that
// it carries a credential for.
//
//	auth.First(auth.APIKey(keys, nil), auth.JWT(secret), auth.Anonymous())
//
// An Authenticator is passed over only if its error matches [ErrNoCredential].
// Any other error ends the search: an expired token is refused, it does not
// become a guest. So does a lookup that cannot answer. What counts as a
// credential of its kind:
//
//   - [APIKey]: an X-Gabble-User header;
//   - [JWT]: a bearer token of three parts, and with JWTOptions.Issuer one that
//     names no other issuer, so that two issuers can stand side by side;
//   - [Token]: any bearer token that its lookup does not disown;
//   - [Anonymous]: everything, so it goes last.
//
// First panics if there is none, or one is nil.
func First(authenticators ...chat.Authenticator) chat.Authenticator {
	if len(authenticators) == 0 {
		panic("auth: First needs at least one Authenticator")
	}
	list := append([]chat.Authenticator(nil), authenticators...)
	for i, a := range list {
		if a == nil {
			panic(fmt.Sprintf("auth: First: Authenticator %d is nil", i))
		}
	}
	return func(r *http.Request) (chat.User, error) {
		for _, a := range list {
			user, err := a(r)
			if err == nil {
				return user, nil
			}
			if !errors.Is(err, ErrNoCredential) {
				return chat.User{}, err
			}
		}
		return chat.User{}, refused(ErrNoCredential)
	}
}
