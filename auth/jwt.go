package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gabblehq/chat"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// JWT authenticates by JSON Web Tokens signed with one key: []byte for HMAC,
// or a *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. A token must have
// sub, the user's id, and exp; name, picture and roles are used if present.
// See [JWTOptions] for the defaults that hold, and [Sign] for making tokens.
//
// JWT panics if no token can be verified safely with the key, for instance if
// a secret is shorter than 32 bytes: like a bad pattern for
// regexp.MustCompile, that is a mistake of the program. Where the key comes
// from outside, use [JWTWith].
func JWT(key any) chat.Authenticator {
	a, err := JWTWith(JWTOptions{Key: key})
	if err != nil {
		panic(err.Error())
	}
	return a
}

// JWTWith authenticates by JSON Web Tokens. It returns all that is wrong with
// the options at once, each mistake with its field.
//
// Always: the signature is checked by a method that suits the key, so "none" or
// a public key used as HMAC secret gets nobody in; exp is required; nbf and iat
// are honoured if present; jku, x5u, jwk and whatever else a token says about
// its own key is ignored; a token with a crit header is refused. Which public
// key signatures were good is remembered by the tokens' hashes, bounded, so
// that reconnecting clients do not cost a verification each; everything else
// is checked every time.
func JWTWith(o JWTOptions) (chat.Authenticator, error) {
	keys, err := o.settle()
	if err != nil {
		return nil, err
	}
	rules := []jwt.ParserOption{
		jwt.WithValidMethods(keys.methods()), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(o.Leeway), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
	}
	if o.Issuer != "" {
		rules = append(rules, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		rules = append(rules, jwt.WithAudience(o.Audience))
	}
	v := &verifier{JWTOptions: o, keys: keys, parser: jwt.NewParser(rules...), rules: jwt.NewValidator(rules...)}
	if keys.costly() {
		v.verdicts = newVerdicts()
	}
	return v.authenticate, nil
}

type verifier struct {
	JWTOptions
	keys     *jwtKeys
	parser   *jwt.Parser
	rules    *jwt.Validator
	verdicts *verdicts // nil: not worth it
}

func (v *verifier) authenticate(r *http.Request) (chat.User, error) {
	token, err := bearer(r)
	if err != nil {
		return chat.User{}, refused(err)
	}
	if strings.Count(token, ".") != 2 {
		return chat.User{}, refused(fmt.Errorf("the bearer token is not a JWT: %w", ErrNoCredential))
	}
	claims, err := v.verify(token)
	if err != nil {
		return chat.User{}, refused(err)
	}
	exp, err := claims.GetExpirationTime()
	if err != nil || exp == nil || exp.Year() > 9999 || exp.Year() < 1970 {
		return chat.User{}, refused(errors.New("auth: exp is not a date"))
	}
	user, err := v.Claims(r.Context(), claims)
	if err != nil {
		return chat.User{}, unanswered(err)
	}
	// A token that is good within the leeway must not make a session that is
	// over before it began.
	if end := exp.Add(v.Leeway); user.Expires.IsZero() || user.Expires.After(end) {
		user.Expires = end
	}
	return admitted(user)
}

// checkObjects holds the header and the claims to RFC 7515, section 4, and RFC 7519,
// section 7.2: one JSON object each in UTF-8 and no name twice. A lenient reader would
// mend half a surrogate or a stray byte, and make one user of two.
func checkObjects(token string) error {
	for part := range strings.SplitSeq(token[:strings.LastIndexByte(token, '.')], ".") {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return fmt.Errorf("auth: a part of the token is not base64url: %w", err)
		}
		if v := jsontext.Value(raw); v.Kind() != '{' || !v.IsValid() {
			return errors.New("auth: a part of the token is not one strict JSON object")
		}
	}
	return nil
}

// verify returns the claims of a token that is good now.
func (v *verifier) verify(token string) (jwt.MapClaims, error) {
	if err := checkObjects(token); err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{}
	var hash verdict
	if v.verdicts != nil {
		hash = verdictOf(token)
		if v.verdicts.has(hash) {
			// The signature of these very bytes has been checked. Time passes,
			// so the claims have to be, again.
			if _, _, err := v.parser.ParseUnverified(token, claims); err != nil {
				return nil, err
			}
			return claims, v.rules.Validate(claims)
		}
	}
	if _, err := v.parser.ParseWithClaims(token, claims, v.keys.find); err != nil {
		if iss, ok := claims["iss"].(string); ok && v.Issuer != "" && iss != v.Issuer {
			return nil, fmt.Errorf("the token is of another issuer: %w", ErrNoCredential)
		}
		return nil, err
	}
	if v.verdicts != nil {
		v.verdicts.add(hash)
	}
	return claims, nil
}
