package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/stretchr/testify/require"
)

func TestToken(t *testing.T) {
	a := auth.Token(func(_ context.Context, token string) (chat.User, error) {
		if token != "right" {
			return chat.User{}, errors.New("no such token")
		}
		return chat.User{ID: "alice", Name: "Alice", Roles: []string{"admin"}}, nil
	})

	user, err := a(bearing("right"))
	require.NoError(t, err)
	require.Equal(t, chat.User{ID: "alice", Name: "Alice", Roles: []string{"admin"}}, user)

	user, err = a(bearing("wrong"))
	requireRefused(t, user, err)
	require.NotErrorIs(t, err, auth.ErrNoCredential)
	require.NotContains(t, err.Error(), "wrong", "a token must not get into the log")

	user, err = a(request())
	requireRefused(t, user, err)
	require.ErrorIs(t, err, auth.ErrNoCredential)

	user, err = a(request("Bearer right", "Bearer right"))
	requireRefused(t, user, err)
	require.NotErrorIs(t, err, auth.ErrNoCredential)
}

func TestTokenNeedsALookup(t *testing.T) {
	require.PanicsWithValue(t, "auth: Token needs a lookup func", func() { auth.Token(nil) })
}

func TestTokenLookupSeesTheRequestsContext(t *testing.T) {
	type key struct{}
	a := auth.Token(func(ctx context.Context, _ string) (chat.User, error) {
		return chat.User{ID: ctx.Value(key{}).(string)}, nil
	})
	r := bearing("x")
	user, err := a(r.WithContext(context.WithValue(r.Context(), key{}, "bob")))
	require.NoError(t, err)
	require.Equal(t, "bob", user.ID)
}

// No answer must not be taken for a no: the client would never come back.
func TestTokenWithoutAnAnswerIsUnavailable(t *testing.T) {
	for name, cause := range map[string]error{
		"said so":        fmt.Errorf("users: %w", chat.ErrUnavailable),
		"said so itself": &chat.Error{Code: chat.CodeUnavailable, Message: "later", RetryAfter: time.Second},
		"out of time":    fmt.Errorf("users: %w", context.DeadlineExceeded),
		"given up":       context.Canceled,
		"over HTTP":      &url.Error{Op: "Get", URL: "http://users", Err: errors.New("connection refused")},
		"over TCP":       &net.OpError{Op: "dial", Err: errors.New("connection refused")},
	} {
		t.Run(name, func(t *testing.T) {
			a := auth.Token(func(context.Context, string) (chat.User, error) { return chat.User{ID: "alice"}, cause })
			user, err := a(bearing("x"))
			require.ErrorIs(t, err, chat.ErrUnavailable)
			require.NotErrorIs(t, err, chat.ErrUnauthenticated)
			require.ErrorIs(t, err, cause)
			require.Equal(t, chat.User{}, user, "fails closed")
		})
	}
}

func TestTokenRefusesUsersThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, bad := range map[string]chat.User{
			"no id":         {Name: "Nobody"},
			"long id":       {ID: strings.Repeat("a", 129)},
			"not UTF-8":     {ID: "a\xff"},
			"control":       {ID: "a\nb"},
			"expired":       {ID: "alice", Expires: time.Now().Add(-time.Second)},
			"expires now":   {ID: "alice", Expires: time.Now()},
			"expired a lot": {ID: "alice", Expires: time.Unix(1, 0)},
		} {
			user, err := auth.Token(func(context.Context, string) (chat.User, error) { return bad, nil })(bearing("x"))
			requireRefused(t, user, err)
			_ = name
		}
		good := chat.User{ID: strings.Repeat("ü", 64), Expires: time.Now().Add(time.Second)}
		user, err := auth.Token(func(context.Context, string) (chat.User, error) { return good, nil })(bearing("x"))
		require.NoError(t, err)
		require.Equal(t, good, user)
	})
}
