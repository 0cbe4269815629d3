package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gabblehq/chat"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request carries the given Authorization headers.
func request(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/chat/ws", nil)
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	return r
}

func bearing(token string) *http.Request { return request("Bearer " + token) }

// requireRefused checks what a client would see: always the same.
func requireRefused(t testing.TB, user chat.User, err error) {
	t.Helper()
	require.ErrorIs(t, err, chat.ErrUnauthenticated)
	require.NotErrorIs(t, err, chat.ErrUnavailable)
	var e *chat.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "not authenticated", e.Message)
	require.Empty(t, e.Field)
	require.Error(t, e.Unwrap(), "the log needs a cause")
	require.Equal(t, chat.User{}, user)
}
