package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/golang-jwt/jwt/v5"
)

// jwtKey is a key together with the methods it may be used by. They are never
// apart: which method is right is the key's to say, not the token's.
type jwtKey struct {
	material any
	methods  []string
}

type jwtKeys struct {
	one   *jwtKey            // whatever the kid
	byKid map[string]*jwtKey // nil if there is one
}

func newJWTKeys(one any, byKid map[string]any, methods []string) (*jwtKeys, []error) {
	var errs []error
	k := &jwtKeys{}
	add := func(field string, material any) *jwtKey {
		key, err := newJWTKey(material, methods)
		if err != nil {
			errs = append(errs, fmt.Errorf("auth: JWTOptions.%s: %w", field, err))
		}
		return key
	}
	switch {
	case one == nil && len(byKid) == 0:
		errs = append(errs, errors.New("auth: JWTOptions.Key: is required, or Keys"))
	case one != nil && len(byKid) > 0:
		errs = append(errs, errors.New("auth: JWTOptions.Keys: there is a Key as well; use one of the two"))
	case one != nil:
		k.one = add("Key", one)
	default:
		k.byKid = make(map[string]*jwtKey, len(byKid))
		kids := make([]string, 0, len(byKid))
		for kid := range byKid {
			kids = append(kids, kid)
		}
		sort.Strings(kids)
		for _, kid := range kids {
			k.byKid[kid] = add(fmt.Sprintf("Keys[%q]", kid), byKid[kid])
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	for _, m := range methods {
		if !slices.Contains(k.methods(), m) {
			errs = append(errs, fmt.Errorf("auth: JWTOptions.Methods: %q suits none of the keys", m))
		}
	}
	return k, errs
}

// newJWTKey says what is wrong with a key, or which methods it is for: those
// of the wanted that suit it, by default the usual one of its kind.
func newJWTKey(material any, wanted []string) (*jwtKey, error) {
	var suited []string // the usual one first
	switch m := material.(type) {
	case []byte:
		suited = []string{"HS256", "HS384", "HS512"}
		least := 32
		if slices.Contains(wanted, "HS512") {
			least = 64
		} else if slices.Contains(wanted, "HS384") {
			least = 48
		}
		if err := checkSecret(m, least); err != nil {
			return nil, err
		}
		material = bytes.Clone(m)
	case *rsa.PublicKey:
		suited = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		if m == nil || m.N == nil || m.N.BitLen() < 2048 {
			return nil, errors.New("an RSA key has at least 2,048 bits")
		}
	case *ecdsa.PublicKey:
		if m == nil || m.Curve == nil {
			return nil, errors.New("the ECDSA key is empty")
		}
		switch m.Curve.Params().Name {
		case "P-256":
			suited = []string{"ES256"}
		case "P-384":
			suited = []string{"ES384"}
		case "P-521":
			suited = []string{"ES512"}
		default:
			return nil, fmt.Errorf("there is no method for the curve %s", m.Curve.Params().Name)
		}
	case ed25519.PublicKey:
		suited = []string{"EdDSA"}
		if len(m) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("an Ed25519 key has %d bytes, not %d", ed25519.PublicKeySize, len(m))
		}
		material = ed25519.PublicKey(bytes.Clone(m))
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return nil, fmt.Errorf("%T signs tokens; verifying takes its public key, and is all that a server should be able to do", m)
	case string:
		return nil, errors.New("a string is ambiguous: a secret is a []byte, a public key one of crypto/rsa, ecdsa or ed25519")
	default:
		return nil, fmt.Errorf("%T verifies nothing: want []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey", m)
	}
	key := &jwtKey{material: material, methods: suited[:1]}
	if len(wanted) > 0 {
		key.methods = slices.DeleteFunc(suited, func(m string) bool { return !slices.Contains(wanted, m) })
		if len(key.methods) == 0 {
			return nil, fmt.Errorf("none of the Methods %q suits %T", wanted, material)
		}
	}
	return key, nil
}

// checkSecret refuses what is too short to be a secret, and what is no secret
// at all: with a public key taken for one, everybody could sign.
func checkSecret(secret []byte, least int) error {
	if len(secret) < least {
		return fmt.Errorf("the secret has %d bytes, not the %d that keep it from being guessed", len(secret), least)
	}
	if encodedKey(secret) {
		return errors.New("the secret is an encoded key; parse it, for instance with x509.ParsePKIXPublicKey, and pass the result")
	}
	if len(bytes.Trim(secret, "\x00")) == 0 {
		return errors.New("the secret is all zero")
	}
	return nil
}

// encodedKey recognises PEM, SSH, JWK and DER. Random bytes are none of them.
func encodedKey(b []byte) bool {
	b = bytes.TrimSpace(b)
	for _, prefix := range []string{"-----BEGIN", "ssh-", "ecdsa-sha2-"} {
		if bytes.HasPrefix(b, []byte(prefix)) {
			return true
		}
	}
	if bytes.HasPrefix(b, []byte("{")) && json.Valid(b) {
		return true
	}
	if _, err := x509.ParsePKIXPublicKey(b); err == nil {
		return true
	}
	_, err := x509.ParsePKCS1PublicKey(b)
	return err == nil
}

// find is the jwt.Keyfunc.
func (k *jwtKeys) find(t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("auth: the token has a crit header")
	}
	key := k.one
	if key == nil {
		kid, _ := t.Header["kid"].(string)
		if key = k.byKid[kid]; key == nil {
			return nil, fmt.Errorf("auth: unknown kid %.64q", kid)
		}
	}
	if !slices.Contains(key.methods, t.Method.Alg()) {
		return nil, fmt.Errorf("auth: %s is not a method of this key", t.Method.Alg())
	}
	return key.material, nil
}

// methods returns those of all keys.
func (k *jwtKeys) methods() []string {
	var all []string
	for _, key := range k.all() {
		all = append(all, key.methods...)
	}
	return all
}

// costly reports whether a verification takes longer than remembering one.
func (k *jwtKeys) costly() bool {
	for _, key := range k.all() {
		if _, secret := key.material.([]byte); !secret {
			return true
		}
	}
	return false
}

func (k *jwtKeys) all() []*jwtKey {
	if k.one != nil {
		return []*jwtKey{k.one}
	}
	all := make([]*jwtKey, 0, len(k.byKid))
	for _, key := range k.byKid {
		all = append(all, key)
	}
	return all
}
