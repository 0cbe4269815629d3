// Package auth holds ready-made answers to the question who sent a request.
// Each function returns a [chat.Authenticator] for Options.Authenticate:
//
//   - [JWT] and [JWTWith] check a signed token,
//   - [Token] asks the host about an opaque one,
//   - [APIKey] lets another server act for the users it names,
//   - [Anonymous] lets everybody in, as guests,
//   - [First] combines several.
//
// A host with sessions of its own needs none of them: an Authenticator is a
// func, and what reads the host's cookie is a good one. Where it is to be
// combined by [First], it answers [ErrNoCredential] if there is no cookie.
//
// # What they have in common
//
// A token is read from "Authorization: Bearer" and from nowhere else: not from
// the URL, which ends up in logs, and not from a cookie, which a browser sends
// on behalf of any page. See [BearerToken].
//
// Who is turned away is told nothing but that: every failure is the same
// [chat.Error] with CodeUnauthenticated. What was wrong is its cause, which
// goes to the log and never holds the token. Only if nobody can tell at the
// moment, because a lookup failed rather than said no, does the error match
// [chat.ErrUnavailable], upon which clients come back instead of giving up.
//
// Every Authenticator of this package may be called concurrently and starts no
// goroutine. Maps, slices and secrets it was made from may be changed or wiped
// afterwards, public keys not.
package auth
