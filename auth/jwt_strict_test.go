package auth_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/auth"
)

// What a lenient reader would mend is refused, with a good signature as without.
func TestJWTClaimsAreStrictJSON(t *testing.T) {
	secret := []byte(strings.Repeat("k", 32))
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	b64 := base64.RawURLEncoding.EncodeToString
	exp := time.Now().Add(time.Hour).Unix()
	for _, row := range []struct {
		header, claims string
		ok             bool
	}{
		{`{"alg":"%s"}`, `{"sub":"alice","exp":%d}`, true},
		{`{"alg":"%s"}`, ` {"sub":"alice","exp":%d} `, true},
		{`{"alg":"%s"}`, `{"sub":"alice\ud83d\ude00","exp":%d}`, true},
		{`{"alg":"%s"}`, `{"sub":"alice","exp":%d}x`, false},
		{`{"alg":"%s"}`, `{"sub":"alice","exp":%d}{"sub":"bob"}`, false},
		{`{"alg":"%s"}`, `{"sub":"alice","exp":%d},`, false},
		{`{"alg":"%s"}`, "{\"sub\":\"alice\",\"exp\":%d}\x00", false},
		{`{"alg":"%s"}`, `{"sub":"alice\ud800","exp":%d}`, false},
		{`{"alg":"%s"}`, `{"sub":"alice\ude00\ud83d","exp":%d}`, false},
		{`{"alg":"%s"}`, `{"sub":"a","name":"\udfff","exp":%d}`, false},
		{`{"alg":"%s"}`, "{\"sub\":\"alice\xff\",\"exp\":%d}", false},
		{`{"alg":"%s"}`, "{\"sub\":\"alice\xc3\",\"exp\":%d}", false},
		{`{"alg":"%s"}`, "{\"sub\":\"a\xed\xa0\x80\",\"exp\":%d}", false},
		{`{"alg":"%s"}`, `{"sub":"alice","sub":"bob","exp":%d}`, false},
		{`{"alg":"%s"}`, `{"sub":"alice","\u0073ub":"bob","exp":%d}`, false},
		{`{"alg":"%s"}x`, `{"sub":"alice","exp":%d}`, false},
		{`{"alg":"%s","alg":"none"}`, `{"sub":"alice","exp":%d}`, false},
		{`[{"alg":"%s"}]`, `{"sub":"alice","exp":%d}`, false},
	} {
		for _, alg := range []string{"HS256", "EdDSA"} {
			signed := b64(fmt.Appendf(nil, row.header, alg)) + "." + b64(fmt.Appendf(nil, row.claims, exp))
			a, sig := auth.JWT(secret), []byte(nil)
			if alg == "HS256" {
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(signed))
				sig = mac.Sum(nil)
			} else {
				a, sig = auth.JWT(public), ed25519.Sign(private, []byte(signed))
			}
			for range 2 { // the second time the signature is remembered
				user, err := a(bearing(signed + "." + b64(sig)))
				if row.ok {
					require.NoError(t, err, row.claims)
					continue
				}
				requireRefused(t, user, err)
			}
		}
	}
}
