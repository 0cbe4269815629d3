package auth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestFirst(t *testing.T) {
	a := auth.First(
		auth.APIKey(map[string]string{"billing": apiKey}, nil),
		auth.JWT(secret),
		auth.Token(func(_ context.Context, token string) (chat.User, error) {
			switch token {
			case "opaque":
				return chat.User{ID: "opaque"}, nil
			case "revoked":
				return chat.User{}, errors.New("revoked")
			case "down":
				return chat.User{}, chat.ErrUnavailable
			}
			return chat.User{}, auth.ErrNoCredential
		}),
		auth.Anonymous(),
	)
	token, err := auth.Sign(secret, chat.User{ID: "alice"}, time.Hour)
	require.NoError(t, err)

	accepted := map[string]*http.Request{
		"alice":  bearing(token),
		"opaque": bearing("opaque"),
		"carol":  acting(apiKey, "carol"),
	}
	for id, r := range accepted {
		user, err := a(r)
		require.NoError(t, err, id)
		require.Equal(t, id, user.ID)
	}
	for name, r := range map[string]*http.Request{
		"nothing":             request(),
		"a guest's secret":    bearing("3e8b6f0c-0d4e-4a6e-9d0a-0a4c5a1b2c3d"),
		"basic, for the host": request("Basic YTpi"),
	} {
		user, err := a(r)
		require.NoError(t, err, name)
		require.Contains(t, user.ID, "guest-", name)
	}
	// A credential that is there and wrong makes nobody a guest.
	for name, r := range map[string]*http.Request{
		"revoked token":    bearing("revoked"),
		"expired JWT":      bearing(signed(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "alice", "exp": 1})),
		"forged JWT":       bearing(token[:len(token)-4] + "AAAA"),
		"wrong API key":    acting("x"+apiKey, "carol"),
		"user, JWT as key": acting(token, "carol"),
		"user, no key":     acting("", "carol"),
		"two headers":      request("Bearer opaque", "Bearer opaque"),
		"empty token":      request("Bearer "),
	} {
		user, err := a(r)
		requireRefused(t, user, err)
		require.NotErrorIs(t, err, auth.ErrNoCredential, name)
	}
	_, err = a(bearing("down"))
	require.ErrorIs(t, err, chat.ErrUnavailable, "fails closed")
}

func TestFirstOfTwoIssuers(t *testing.T) {
	other := []byte("another secret of thirty-two bytes")
	ours, err := auth.JWTWith(auth.JWTOptions{Key: secret, Issuer: "ours"})
	require.NoError(t, err)
	theirs, err := auth.JWTWith(auth.JWTOptions{Key: other, Issuer: "theirs"})
	require.NoError(t, err)
	a := auth.First(ours, theirs)

	exp := time.Now().Add(time.Hour).Unix()
	user, err := a(bearing(signed(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "a", "exp": exp, "iss": "ours"})))
	require.NoError(t, err)
	require.Equal(t, "a", user.ID)
	user, err = a(bearing(signed(t, jwt.SigningMethodHS256, other, jwt.MapClaims{"sub": "b", "exp": exp, "iss": "theirs"})))
	require.NoError(t, err)
	require.Equal(t, "b", user.ID)

	for _, forged := range []string{
		signed(t, jwt.SigningMethodHS256, other, jwt.MapClaims{"sub": "a", "exp": exp, "iss": "ours"}),
		signed(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "b", "exp": exp, "iss": "theirs"}),
		signed(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "b", "exp": exp}),
		signed(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "b", "exp": exp, "iss": "nobody"}),
		signed(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "b", "exp": exp, "iss": []string{"ours"}}),
	} {
		user, err := a(bearing(forged))
		requireRefused(t, user, err)
	}
}

func TestFirstNeedsAuthenticators(t *testing.T) {
	require.Panics(t, func() { auth.First() })
	require.PanicsWithValue(t, "auth: First: Authenticator 1 is nil", func() { auth.First(auth.Anonymous(), nil) })
}

func TestFirstWithNothingLeft(t *testing.T) {
	user, err := auth.First(auth.JWT(secret))(request())
	requireRefused(t, user, err)
	require.ErrorIs(t, err, auth.ErrNoCredential, "so that they nest")
}
