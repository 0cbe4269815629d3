package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

var secret = []byte("a secret of at least thirty-two bytes")

// The keys are made once: RSA keys take their time.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type headers map[string]any

func signed(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims, extra ...headers) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for _, h := range extra {
		for k, v := range h {
			token.Header[k] = v
		}
	}
	s, err := token.SignedString(key)
	require.NoError(t, err)
	return s
}

func soon() int64 { return time.Now().Add(time.Hour).Unix() }

// alice returns claims that are good as they are, with the given changes.
func alice(change jwt.MapClaims) jwt.MapClaims {
	claims := jwt.MapClaims{"sub": "alice", "exp": soon()}
	for k, v := range change {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	return claims
}

func TestJWTKinds(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))

	kinds := []struct {
		method          jwt.SigningMethod
		private, public any
	}{
		{jwt.SigningMethodHS256, secret, secret},
		{jwt.SigningMethodRS256, rsaKey(), &rsaKey().PublicKey},
		{jwt.SigningMethodES256, p256, &p256.PublicKey},
		{jwt.SigningMethodES384, p384, &p384.PublicKey},
		{jwt.SigningMethodES512, p521, &p521.PublicKey},
		{jwt.SigningMethodEdDSA, edKey, edKey.Public()},
	}
	for i, kind := range kinds {
		a := auth.JWT(kind.public)
		for j, other := range kinds {
			token := signed(t, other.method, other.private, alice(nil))
			for range 2 { // the second time from the cache
				user, err := a(bearing(token))
				if i == j {
					require.NoError(t, err)
					require.Equal(t, "alice", user.ID)
				} else {
					requireRefused(t, user, err)
				}
			}
		}
	}
}

func TestJWTAttacks(t *testing.T) {
	public := &rsaKey().PublicKey
	der := must(x509.MarshalPKIXPublicKey(public))
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	pkcs1 := x509.MarshalPKCS1PublicKey(public)
	evil := must(rsa.GenerateKey(rand.Reader, 2048))
	jwk := map[string]any{"kty": "RSA", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(evil.N.Bytes())}

	good := signed(t, jwt.SigningMethodRS256, rsaKey(), alice(nil))
	part := strings.Split(good, ".")
	enc := func(v any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))) }
	rs := func(change jwt.MapClaims, h ...headers) string {
		return signed(t, jwt.SigningMethodRS256, rsaKey(), alice(change), h...)
	}
	now := time.Now()

	a := auth.JWT(public)
	strict, err := auth.JWTWith(auth.JWTOptions{Key: public, Issuer: "us", Audience: "chat"})
	require.NoError(t, err)
	byKid, err := auth.JWTWith(auth.JWTOptions{Keys: map[string]any{"2026-11": public}})
	require.NoError(t, err)

	// What is attacked works as it should, or the attacks would prove nothing.
	for name, c := range map[string]struct {
		a     chat.Authenticator
		token string
	}{
		"plain":        {a, good},
		"strict":       {strict, rs(jwt.MapClaims{"iss": "us", "aud": "chat"})},
		"audiences":    {strict, rs(jwt.MapClaims{"iss": "us", "aud": []string{"shop", "chat"}})},
		"by kid":       {byKid, rs(nil, headers{"kid": "2026-11"})},
		"kid ignored":  {a, rs(nil, headers{"kid": "../../etc/passwd"})},
		"key material": {a, rs(nil, headers{"jku": "http://evil", "x5u": "http://evil", "jwk": jwk})},
	} {
		user, err := c.a(bearing(c.token))
		require.NoError(t, err, name)
		require.Equal(t, "alice", user.ID, name)
	}

	for name, c := range map[string]struct {
		a     chat.Authenticator
		token string
	}{
		"alg none":                   {a, signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, alice(nil))},
		"alg None":                   {a, enc(headers{"alg": "None", "typ": "JWT"}) + "." + part[1] + "."},
		"alg NONE, old signature":    {a, enc(headers{"alg": "NONE"}) + "." + part[1] + "." + part[2]},
		"alg empty":                  {a, enc(headers{"alg": ""}) + "." + part[1] + "." + part[2]},
		"alg missing":                {a, enc(headers{"typ": "JWT"}) + "." + part[1] + "." + part[2]},
		"alg a number":               {a, enc(headers{"alg": 256}) + "." + part[1] + "." + part[2]},
		"alg twice":                  {a, base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","alg":"none"}`)) + "." + part[1] + "."},
		"HS256 with the PEM key":     {a, signed(t, jwt.SigningMethodHS256, pemKey, alice(nil))},
		"HS256 with the DER key":     {a, signed(t, jwt.SigningMethodHS256, der, alice(nil))},
		"HS256 with the PKCS1 key":   {a, signed(t, jwt.SigningMethodHS256, pkcs1, alice(nil))},
		"HS256 with the modulus":     {a, signed(t, jwt.SigningMethodHS256, public.N.Bytes(), alice(nil))},
		"HS256 with nothing":         {a, signed(t, jwt.SigningMethodHS256, []byte{}, alice(nil))},
		"RS512 where RS256 is meant": {a, signed(t, jwt.SigningMethodRS512, rsaKey(), alice(nil))},
		"PS256 where RS256 is meant": {a, signed(t, jwt.SigningMethodPS256, rsaKey(), alice(nil))},
		"signed by another":          {a, signed(t, jwt.SigningMethodRS256, evil, alice(nil))},
		"with its key in jwk":        {a, signed(t, jwt.SigningMethodRS256, evil, alice(nil), headers{"jwk": jwk})},
		"with its key at jku":        {a, signed(t, jwt.SigningMethodRS256, evil, alice(nil), headers{"jku": "http://127.0.0.1:1/keys"})},
		"with its key at x5u":        {a, signed(t, jwt.SigningMethodRS256, evil, alice(nil), headers{"x5u": "http://127.0.0.1:1/cert"})},
		"claims exchanged":           {a, part[0] + "." + enc(alice(jwt.MapClaims{"sub": "admin"})) + "." + part[2]},
		"signature missing":          {a, part[0] + "." + part[1] + "."},
		"signature cut":              {a, good[:len(good)-8]},
		"signature padded":           {a, good + "=="},
		"two parts":                  {a, part[0] + "." + part[1]},
		"four parts":                 {a, good + ".x"},
		"five parts":                 {a, good + "..x"},
		"dots":                       {a, ".."},
		"crit":                       {a, rs(nil, headers{"crit": []string{"b64"}, "b64": false})},
		"too big":                    {a, rs(jwt.MapClaims{"x": strings.Repeat("x", 8192)})},
		"many dots":                  {a, strings.Repeat(".", 8000)},

		"expired":          {a, rs(jwt.MapClaims{"exp": now.Add(-31 * time.Second).Unix()})},
		"exp missing":      {a, rs(jwt.MapClaims{"exp": nil})},
		"exp null":         {a, signed(t, jwt.SigningMethodRS256, rsaKey(), jwt.MapClaims{"sub": "alice", "exp": nil})},
		"exp zero":         {a, rs(jwt.MapClaims{"exp": 0})},
		"exp negative":     {a, rs(jwt.MapClaims{"exp": -soon()})},
		"exp a string":     {a, rs(jwt.MapClaims{"exp": fmt.Sprint(soon())})},
		"exp out of range": {a, rs(jwt.MapClaims{"exp": json.Number("1e300")})},
		"exp no number":    {a, rs(jwt.MapClaims{"exp": json.Number("1e999")})},
		"exp in millis":    {a, rs(jwt.MapClaims{"exp": now.Add(time.Hour).UnixMilli()})},
		"not yet":          {a, rs(jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()})},
		"nbf a string":     {a, rs(jwt.MapClaims{"nbf": "tomorrow"})},
		"of the future":    {a, rs(jwt.MapClaims{"iat": now.Add(time.Minute).Unix()})},

		"iss missing":     {strict, rs(jwt.MapClaims{"aud": "chat"})},
		"iss another":     {strict, rs(jwt.MapClaims{"iss": "them", "aud": "chat"})},
		"iss as list":     {strict, rs(jwt.MapClaims{"iss": []string{"us"}, "aud": "chat"})},
		"aud missing":     {strict, rs(jwt.MapClaims{"iss": "us"})},
		"aud another":     {strict, rs(jwt.MapClaims{"iss": "us", "aud": "shop"})},
		"aud empty":       {strict, rs(jwt.MapClaims{"iss": "us", "aud": ""})},
		"aud no strings":  {strict, rs(jwt.MapClaims{"iss": "us", "aud": []any{1, "chat"}})},
		"aud as a prefix": {strict, rs(jwt.MapClaims{"iss": "us", "aud": "cha"})},

		"kid missing":   {byKid, rs(nil)},
		"kid unknown":   {byKid, rs(nil, headers{"kid": "2026-10"})},
		"kid empty":     {byKid, rs(nil, headers{"kid": ""})},
		"kid a path":    {byKid, rs(nil, headers{"kid": "../../../../dev/null"})},
		"kid as SQL":    {byKid, rs(nil, headers{"kid": "x' UNION SELECT 'key"})},
		"kid a list":    {byKid, rs(nil, headers{"kid": []string{"2026-11"}})},
		"kid of others": {byKid, signed(t, jwt.SigningMethodRS256, evil, alice(nil), headers{"kid": "2026-11"})},
		"kid and HMAC":  {byKid, signed(t, jwt.SigningMethodHS256, pemKey, alice(nil), headers{"kid": "2026-11"})},

		"sub missing":  {a, rs(jwt.MapClaims{"sub": nil})},
		"sub empty":    {a, rs(jwt.MapClaims{"sub": ""})},
		"sub a number": {a, rs(jwt.MapClaims{"sub": 7})},
		"sub long":     {a, rs(jwt.MapClaims{"sub": strings.Repeat("a", 129)})},
		"sub control":  {a, rs(jwt.MapClaims{"sub": "a\u0000b"})},
		"name a list":  {a, rs(jwt.MapClaims{"name": []string{"Alice"}})},
		"roles a text": {a, rs(jwt.MapClaims{"roles": "admin"})},
		"roles mixed":  {a, rs(jwt.MapClaims{"roles": []any{"admin", 1}})},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second must fare no better
				user, err := c.a(bearing(c.token))
				requireRefused(t, user, err)
				if len(c.token) > 20 {
					require.NotContains(t, err.Error(), c.token)
				}
			}
		})
	}

	// What was good before does not help a forgery that resembles it.
	for _, forged := range []string{
		part[0] + "." + enc(alice(jwt.MapClaims{"sub": "admin"})) + "." + part[2],
		enc(headers{"alg": "none"}) + "." + part[1] + ".",
		part[0] + "." + part[1] + "." + part[2][:len(part[2])-2] + "AA",
	} {
		user, err := a(bearing(forged))
		requireRefused(t, user, err)
	}
	user, err := a(request("Bearer "+good, "Bearer "+good))
	requireRefused(t, user, err)
}

func TestJWTDefaultClaims(t *testing.T) {
	a := auth.JWT(secret)
	user, err := a(bearing(signed(t, jwt.SigningMethodHS256, secret, alice(jwt.MapClaims{
		"name": "Alice", "picture": "https://example.com/a.png", "roles": []string{"admin"}, "other": 1,
	}))))
	require.NoError(t, err)
	require.Equal(t, "Alice", user.Name)
	require.Equal(t, "https://example.com/a.png", user.Avatar)
	require.Equal(t, []string{"admin"}, user.Roles)
	require.Nil(t, user.Meta)

	for _, picture := range []string{"javascript:alert(1)", "data:text/html,x", "//evil", "JAVASCRIPT:x"} {
		user, err := a(bearing(signed(t, jwt.SigningMethodHS256, secret, alice(jwt.MapClaims{"picture": picture}))))
		require.NoError(t, err)
		require.Empty(t, user.Avatar)
	}
}

func TestJWTTime(t *testing.T) {
	for name, key := range map[string][2]any{"secret": {secret, secret}, "RSA": {rsaKey(), &rsaKey().PublicKey}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				method := jwt.SigningMethod(jwt.SigningMethodHS256)
				if name == "RSA" {
					method = jwt.SigningMethodRS256
				}
				a := auth.JWT(key[1])
				start := time.Now().Truncate(time.Second)
				time.Sleep(time.Until(start.Add(time.Second)))
				now := time.Now()
				token := signed(t, method, key[0], jwt.MapClaims{
					"sub": "alice", "exp": now.Add(time.Hour).Unix(), "nbf": now.Add(time.Minute).Unix(), "iat": now.Unix(),
				})

				user, err := a(bearing(token))
				requireRefused(t, user, err) // not yet

				time.Sleep(30 * time.Second) // within the leeway
				user, err = a(bearing(token))
				require.NoError(t, err)
				require.Equal(t, now.Add(time.Hour+30*time.Second).Unix(), user.Expires.Unix())

				time.Sleep(time.Hour - time.Second) // exp has passed, the leeway not
				user, err = a(bearing(token))
				require.NoError(t, err)
				require.True(t, user.Expires.After(time.Now()), "a session must not be over before it begins")

				time.Sleep(time.Second)
				user, err = a(bearing(token))
				requireRefused(t, user, err) // although its signature is remembered
				require.ErrorIs(t, err, jwt.ErrTokenExpired)
			})
		})
	}
}

func TestJWTWithoutLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := auth.JWTWith(auth.JWTOptions{Key: secret, Leeway: -1})
		require.NoError(t, err)
		token := signed(t, jwt.SigningMethodHS256, secret, alice(nil))
		_, err = a(bearing(token))
		require.NoError(t, err)
		time.Sleep(time.Hour)
		user, err := a(bearing(token))
		requireRefused(t, user, err)
	})
}

func TestJWTClaimsFunc(t *testing.T) {
	var banned error
	type key struct{}
	a, err := auth.JWTWith(auth.JWTOptions{
		Key: &rsaKey().PublicKey,
		Claims: func(ctx context.Context, claims map[string]any) (chat.User, error) {
			require.Equal(t, "here", ctx.Value(key{}))
			user := chat.User{ID: "u" + claims["uid"].(json.Number).String()}
			if s, ok := claims["until"].(json.Number); ok {
				user.Expires = time.Unix(must(s.Int64()), 0)
			}
			return user, banned
		},
	})
	require.NoError(t, err)
	ask := func(change jwt.MapClaims) (chat.User, error) {
		r := bearing(signed(t, jwt.SigningMethodRS256, rsaKey(), alice(change)))
		return a(r.WithContext(context.WithValue(r.Context(), key{}, "here")))
	}

	// Two ids that are the same float64 are not the same user.
	for _, id := range []string{"9007199254740992", "9007199254740993"} {
		user, err := ask(jwt.MapClaims{"uid": json.Number(id)})
		require.NoError(t, err)
		require.Equal(t, "u"+id, user.ID)
	}
	exp := soon()
	user, err := ask(jwt.MapClaims{"uid": 7, "exp": exp, "until": exp - 600})
	require.NoError(t, err)
	require.Equal(t, exp-600, user.Expires.Unix(), "may be sooner")
	user, err = ask(jwt.MapClaims{"uid": 7, "exp": exp, "until": exp + 600})
	require.NoError(t, err)
	require.Equal(t, exp+30, user.Expires.Unix(), "but not later")

	// It is asked each time, of tokens that were good before as well.
	claims := jwt.MapClaims{"uid": 7, "exp": exp}
	_, err = ask(claims)
	require.NoError(t, err)
	banned = errors.New("banned")
	user, err = ask(claims)
	requireRefused(t, user, err)
	banned = chat.ErrUnavailable
	_, err = ask(claims)
	require.ErrorIs(t, err, chat.ErrUnavailable)
}

func TestJWTKeyRotation(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	keys := map[string]any{"old": &rsaKey().PublicKey, "new": edKey.Public(), "hmac": secret}
	a, err := auth.JWTWith(auth.JWTOptions{Keys: keys})
	require.NoError(t, err)
	delete(keys, "old") // kept by copy

	for kid, token := range map[string]string{
		"old":  signed(t, jwt.SigningMethodRS256, rsaKey(), alice(nil), headers{"kid": "old"}),
		"new":  signed(t, jwt.SigningMethodEdDSA, edKey, alice(nil), headers{"kid": "new"}),
		"hmac": signed(t, jwt.SigningMethodHS256, secret, alice(nil), headers{"kid": "hmac"}),
	} {
		_, err := a(bearing(token))
		require.NoError(t, err, kid)
	}
	// Each method is allowed, but not with each key.
	for _, token := range []string{
		signed(t, jwt.SigningMethodHS256, []byte(edKey.Public().(ed25519.PublicKey)), alice(nil), headers{"kid": "new"}),
		signed(t, jwt.SigningMethodHS256, secret, alice(nil), headers{"kid": "old"}),
		signed(t, jwt.SigningMethodRS256, rsaKey(), alice(nil), headers{"kid": "hmac"}),
		signed(t, jwt.SigningMethodRS256, rsaKey(), alice(nil), headers{"kid": "new"}),
	} {
		user, err := a(bearing(token))
		requireRefused(t, user, err)
	}
}

// A signature by a method that is another key's: r and s of a P-256 key, over
// the hash and in the length of ES384.
func TestJWTMethodsBelongToKeys(t *testing.T) {
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	a, err := auth.JWTWith(auth.JWTOptions{Keys: map[string]any{"256": &p256.PublicKey, "384": &p384.PublicKey}})
	require.NoError(t, err)
	_, err = a(bearing(signed(t, jwt.SigningMethodES384, p384, alice(nil), headers{"kid": "384"})))
	require.NoError(t, err)

	token := jwt.NewWithClaims(jwt.SigningMethodES384, alice(nil))
	token.Header["kid"] = "256"
	text, err := token.SigningString()
	require.NoError(t, err)
	sum := sha512.Sum384([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, p256, sum[:])
	require.NoError(t, err)
	sig := append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	require.NoError(t, jwt.SigningMethodES384.Verify(text, sig, &p256.PublicKey), "or this would prove nothing")
	user, err := a(bearing(text + "." + base64.RawURLEncoding.EncodeToString(sig)))
	requireRefused(t, user, err)
}

func TestJWTMethods(t *testing.T) {
	a, err := auth.JWTWith(auth.JWTOptions{Key: &rsaKey().PublicKey, Methods: []string{"PS256", "RS512"}})
	require.NoError(t, err)
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodPS256, jwt.SigningMethodRS512} {
		_, err := a(bearing(signed(t, m, rsaKey(), alice(nil))))
		require.NoError(t, err)
	}
	user, err := a(bearing(signed(t, jwt.SigningMethodRS256, rsaKey(), alice(nil))))
	requireRefused(t, user, err)
}

func TestJWTForgetsNothingOfItsOptions(t *testing.T) {
	key := []byte(strings.Clone(string(secret)))
	methods := []string{"HS256"}
	a, err := auth.JWTWith(auth.JWTOptions{Key: key, Methods: methods})
	require.NoError(t, err)
	clear(key)
	methods[0] = "none"
	_, err = a(bearing(signed(t, jwt.SigningMethodHS256, secret, alice(nil))))
	require.NoError(t, err)
}

func TestJWTMistakes(t *testing.T) {
	small := &must(rsa.GenerateKey(rand.Reader, 1024)).PublicKey
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der := must(x509.MarshalPKIXPublicKey(&rsaKey().PublicKey))
	for name, c := range map[string]struct {
		o    auth.JWTOptions
		want string
	}{
		"nothing":       {auth.JWTOptions{}, "JWTOptions.Key: is required, or Keys"},
		"both":          {auth.JWTOptions{Key: secret, Keys: map[string]any{"a": secret}}, "JWTOptions.Keys: there is a Key as well"},
		"short":         {auth.JWTOptions{Key: secret[:31]}, "JWTOptions.Key: the secret has 31 bytes"},
		"empty":         {auth.JWTOptions{Key: []byte{}}, "JWTOptions.Key: the secret has 0 bytes"},
		"short HS512":   {auth.JWTOptions{Key: make([]byte, 63), Methods: []string{"HS512"}}, "63 bytes, not the 64"},
		"short HS384":   {auth.JWTOptions{Key: make([]byte, 47), Methods: []string{"HS384"}}, "47 bytes, not the 48"},
		"all zero":      {auth.JWTOptions{Key: make([]byte, 32)}, "all zero"},
		"PEM":           {auth.JWTOptions{Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}, "encoded key"},
		"DER":           {auth.JWTOptions{Key: der}, "encoded key"},
		"PKCS1":         {auth.JWTOptions{Key: x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)}, "encoded key"},
		"JWK":           {auth.JWTOptions{Key: []byte(`{"kty":"RSA","e":"AQAB","n":"AAAAAAAA"}`)}, "encoded key"},
		"SSH":           {auth.JWTOptions{Key: []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI a@b")}, "encoded key"},
		"string":        {auth.JWTOptions{Key: string(secret)}, "a string is ambiguous"},
		"private RSA":   {auth.JWTOptions{Key: rsaKey()}, "takes its public key"},
		"private Ed":    {auth.JWTOptions{Key: edKey}, "takes its public key"},
		"private ECDSA": {auth.JWTOptions{Key: p224}, "takes its public key"},
		"RSA value":     {auth.JWTOptions{Key: rsaKey().PublicKey}, "rsa.PublicKey verifies nothing"},
		"nil RSA":       {auth.JWTOptions{Key: (*rsa.PublicKey)(nil)}, "2,048 bits"},
		"nil ECDSA":     {auth.JWTOptions{Key: (*ecdsa.PublicKey)(nil)}, "empty"},
		"small RSA":     {auth.JWTOptions{Key: small}, "2,048 bits"},
		"odd curve":     {auth.JWTOptions{Key: &p224.PublicKey}, "no method for the curve P-224"},
		"short Ed":      {auth.JWTOptions{Key: ed25519.PublicKey("short")}, "32 bytes, not 5"},
		"none":          {auth.JWTOptions{Key: secret, Methods: []string{"none"}}, `none of the Methods ["none"] suits`},
		"none too":      {auth.JWTOptions{Key: secret, Methods: []string{"HS256", "none"}}, `JWTOptions.Methods: "none" suits none of the keys`},
		"confused":      {auth.JWTOptions{Key: &rsaKey().PublicKey, Methods: []string{"RS256", "HS256"}}, `"HS256" suits none of the keys`},
		"wrong curve":   {auth.JWTOptions{Key: &must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).PublicKey, Methods: []string{"ES384"}}, `["ES384"] suits`},
		"in Keys":       {auth.JWTOptions{Keys: map[string]any{"a": secret, "b": nil}}, `JWTOptions.Keys["b"]: <nil> verifies nothing`},
		"leeway":        {auth.JWTOptions{Key: secret, Leeway: 61 * time.Second}, "JWTOptions.Leeway: 1m1s is more than a minute"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := auth.JWTWith(c.o)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, a)
		})
	}
	_, err = auth.JWTWith(auth.JWTOptions{Key: "x", Leeway: time.Hour})
	require.ErrorContains(t, err, "JWTOptions.Key")
	require.ErrorContains(t, err, "JWTOptions.Leeway", "all at once")

	require.PanicsWithValue(t, "auth: JWTOptions.Key: the secret has 5 bytes, not the 32 that keep it from being guessed",
		func() { auth.JWT([]byte("short")) })
}

// A random secret is never taken for an encoded key, whatever it starts with.
func TestJWTRandomSecrets(t *testing.T) {
	key := make([]byte, 32)
	for i := range 512 {
		rand.Read(key)
		key[0] = byte(i)
		_, err := auth.JWTWith(auth.JWTOptions{Key: key})
		require.NoError(t, err)
	}
}

func TestJWTConcurrently(t *testing.T) {
	a := auth.JWT(&rsaKey().PublicKey)
	var tokens [4]string
	for i := range tokens {
		tokens[i] = signed(t, jwt.SigningMethodRS256, rsaKey(), alice(jwt.MapClaims{"sub": fmt.Sprint("user", i), "roles": []string{"a"}}))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				n := (i + g) % len(tokens)
				user, err := a(bearing(tokens[n]))
				if err != nil || user.ID != fmt.Sprint("user", n) {
					t.Errorf("got %v, %v", user, err)
				}
				user.Roles[0] = "mine" // a user is the session's own
			}
		})
	}
	wg.Wait()
	user, err := a(bearing(tokens[0]))
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, user.Roles)
}

func FuzzJWT(f *testing.F) {
	a := auth.JWT(secret)
	f.Add("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := a(bearing(token)); err == nil {
			t.Fatalf("%q gets in", token)
		}
	})
}

func BenchmarkJWT(b *testing.B) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(b, err)
	for _, kind := range []struct {
		method          jwt.SigningMethod
		private, public any
	}{
		{jwt.SigningMethodHS256, secret, secret},
		{jwt.SigningMethodRS256, rsaKey(), &rsaKey().PublicKey},
		{jwt.SigningMethodEdDSA, edKey, edKey.Public()},
	} {
		r := bearing(signed(b, kind.method, kind.private, alice(jwt.MapClaims{"name": "Alice", "roles": []string{"member"}})))
		for _, verify := range []string{"known", "new"} {
			if verify == "new" && kind.method == jwt.SigningMethodHS256 {
				continue // nothing is remembered of these
			}
			b.Run(kind.method.Alg()+"/"+verify, func(b *testing.B) {
				a := auth.JWT(kind.public)
				b.ReportAllocs()
				for b.Loop() {
					if verify == "new" {
						a = auth.JWT(kind.public) // one that has seen nothing
					}
					if _, err := a(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
