package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabblehq/chat"
)

// JWTOptions say which tokens [JWTWith] accepts. Either Key or Keys is
// required; the zero value of everything else means the default given with it.
type JWTOptions struct {
	// Key verifies every token, whatever kid it names: []byte for HMAC, or a
	// *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey.
	Key any

	// Keys verify tokens by the kid in their header, which each token then
	// must have: the way to exchange keys without signing anybody out. A kid
	// is a name in this map and nothing else.
	Keys map[string]any

	// Methods are the algorithms to accept, each of which must suit a key.
	// Default: the usual one of each key's kind, which is HS256, RS256, EdDSA,
	// and ES256, ES384 or ES512 by the curve.
	Methods []string

	// Issuer is the iss that tokens must have. Default: any.
	Issuer string

	// Audience is what the aud of tokens must list. Default: any. Set it if
	// the issuer also signs tokens for other services, which otherwise would
	// all open this one.
	Audience string

	// Leeway is how far clocks may be apart, at most a minute. A session ends
	// that much later than the token's exp. Default: 30 s; negative: none.
	Leeway time.Duration

	// Claims makes a user of a token's claims, after everything else has been
	// checked; numbers are json.Number. It is called for each request, so it
	// may also turn away whom the host has banned, and fails like the lookup
	// of [Token]. It may shorten the session by Expires, but not lengthen it.
	// Default: ID from sub, Name from name, Avatar from picture if it is an
	// http or https URL, Roles from roles, which is an array of strings.
	Claims func(ctx context.Context, claims map[string]any) (chat.User, error)
}

// settle fills in the defaults and returns the keys, or all that is wrong.
func (o *JWTOptions) settle() (*jwtKeys, error) {
	keys, errs := newJWTKeys(o.Key, o.Keys, o.Methods)
	switch {
	case o.Leeway == 0:
		o.Leeway = 30 * time.Second
	case o.Leeway < 0:
		o.Leeway = 0
	case o.Leeway > time.Minute:
		errs = append(errs, fmt.Errorf("auth: JWTOptions.Leeway: %v is more than a minute", o.Leeway))
	}
	if o.Claims == nil {
		o.Claims = standardClaims
	}
	return keys, errors.Join(errs...)
}
