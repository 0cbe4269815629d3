package middleware_test

import (
	"context"
	"testing"

	"github.com/gabblehq/chat"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reached is a handler that counts what gets through to it.
type reached struct{ n int }

func (r *reached) handle(context.Context, *chat.Command) error {
	r.n++
	return nil
}

func answer(err error) chat.Handler {
	return func(context.Context, *chat.Command) error { return err }
}

func requireCode(t testing.TB, code chat.Code, err error) *chat.Error {
	t.Helper()
	var e *chat.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
	return e
}
