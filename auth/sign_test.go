package auth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/stretchr/testify/require"
)

func TestSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		who := chat.User{ID: "alice", Name: "Alice", Avatar: "https://example.com/a.png", Roles: []string{"admin", "staff"}}
		token, err := auth.Sign(secret, who, time.Hour)
		require.NoError(t, err)

		got, err := auth.JWT(secret)(bearing(token))
		require.NoError(t, err)
		require.Equal(t, start.Add(time.Hour+30*time.Second).Unix(), got.Expires.Unix(), "exp and the leeway")
		got.Expires = time.Time{}
		require.Equal(t, who, got)

		time.Sleep(time.Hour + 31*time.Second) // fake time
		user, err := auth.JWT(secret)(bearing(token))
		requireRefused(t, user, err)
	})
}

func TestSignBareUser(t *testing.T) {
	token, err := auth.Sign(secret, chat.User{ID: "bob"}, time.Minute)
	require.NoError(t, err)
	user, err := auth.JWT(secret)(bearing(token))
	require.NoError(t, err)
	require.Equal(t, "bob", user.ID)
	require.Empty(t, user.Name)
	require.Nil(t, user.Roles)
}

func TestSignMistakes(t *testing.T) {
	_, err := auth.Sign(secret[:31], chat.User{ID: "a"}, time.Hour)
	require.EqualError(t, err, "auth: Sign: the secret has 31 bytes, not the 32 that keep it from being guessed")
	_, err = auth.Sign(secret, chat.User{Name: "Nobody"}, time.Hour)
	require.EqualError(t, err, "auth: the user has no id")
	for _, ttl := range []time.Duration{0, -time.Hour} {
		_, err = auth.Sign(secret, chat.User{ID: "a"}, ttl)
		require.EqualError(t, err, "auth: Sign: ttl is not positive")
	}
}
