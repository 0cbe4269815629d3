package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/middleware"
	"github.com/stretchr/testify/require"
)

func explode(value any) chat.Handler {
	return func(context.Context, *chat.Command) error { panic(value) }
}

func TestRecover(t *testing.T) {
	var out bytes.Buffer
	mw := middleware.Recover(slog.New(slog.NewTextHandler(&out, nil)))
	cmd := &chat.Command{Type: chat.CmdMessage, TraceID: "t1", Session: "s1", User: chat.User{ID: "alice"}, Content: "top secret"}

	err := mw(explode("kaboom"))(t.Context(), cmd)
	e := requireCode(t, chat.CodeInternal, err)
	require.Equal(t, "internal error", e.Message, "what a client sees says nothing")
	require.ErrorContains(t, e.Unwrap(), "kaboom")

	line := out.String()
	for _, want := range []string{"level=ERROR", "type=message", "user=alice", "session=s1", "trace=t1", "panic=kaboom", "recover_test.go"} {
		require.Contains(t, line, want)
	}
	require.NotContains(t, line, "secret")
	require.Equal(t, 1, strings.Count(line, "\n"))
}

func TestRecoverKeepsTheCause(t *testing.T) {
	cause := errors.New("kaboom")
	err := middleware.RecoverFunc(func(context.Context, *chat.Command, any, []byte) {})(explode(cause))(t.Context(), &chat.Command{})
	require.ErrorIs(t, err, cause)
	// Even a panic with an Error must not choose what the client is told.
	err = middleware.RecoverFunc(func(context.Context, *chat.Command, any, []byte) {})(explode(chat.ErrForbidden))(t.Context(), &chat.Command{})
	requireCode(t, chat.CodeInternal, err)
}

func TestRecoverFuncReports(t *testing.T) {
	var got []any
	mw := middleware.RecoverFunc(func(_ context.Context, cmd *chat.Command, value any, stack []byte) {
		got = append(got, cmd.TraceID, value)
		require.Contains(t, string(stack), "explode")
	})
	require.Error(t, mw(explode(42))(t.Context(), &chat.Command{TraceID: "t1"}))
	require.Equal(t, []any{"t1", 42}, got)
	require.Panics(t, func() { middleware.RecoverFunc(nil) })
}

func TestRecoverLetsTheRestThrough(t *testing.T) {
	mw := middleware.Recover(nil)
	require.NoError(t, mw(answer(nil))(t.Context(), &chat.Command{}))
	require.Equal(t, chat.ErrNotFound, mw(answer(chat.ErrNotFound))(t.Context(), &chat.Command{}))
}
