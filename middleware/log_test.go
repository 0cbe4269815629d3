package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/middleware"
	"github.com/stretchr/testify/require"
)

// logged returns the line that a command leaves, or nil, and the error.
func logged(t *testing.T, level slog.Level, cmd *chat.Command, next chat.Handler) (map[string]any, error) {
	t.Helper()
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level}))
	err := middleware.Log(logger)(next)(t.Context(), cmd)
	if out.Len() == 0 {
		return nil, err
	}
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "one line each")
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	return line, err
}

func TestLogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cmd := &chat.Command{
			Type: chat.CmdMessage, Room: "general", Session: "s1", TraceID: "t1", User: chat.User{ID: "alice", Name: "Alice"},
			RemoteIP: netip.MustParseAddr("192.0.2.1"),
		}
		line, err := logged(t, slog.LevelDebug, cmd, func(_ context.Context, cmd *chat.Command) error {
			cmd.Room = "elsewhere"
			time.Sleep(3 * time.Millisecond)
			return nil
		})
		require.NoError(t, err)
		delete(line, "time")
		require.Equal(t, map[string]any{
			"level": "INFO", "msg": "chat: command", "type": "message", "room": "general", "session": "s1", "trace": "t1",
			"user": "alice", "code": "ok", "duration_ms": 3.0,
		}, line)
	})
}

func TestLogConnect(t *testing.T) {
	line, err := logged(t, slog.LevelInfo, &chat.Command{Type: chat.CmdConnect, RemoteIP: netip.MustParseAddr("192.0.2.1")}, answer(nil))
	require.NoError(t, err)
	require.Equal(t, "192.0.2.1", line["ip"])
	require.NotContains(t, line, "user")
	require.NotContains(t, line, "room")
}

func TestLogAuthNamesWhoItTurnedOutToBe(t *testing.T) {
	line, err := logged(t, slog.LevelInfo, &chat.Command{Type: chat.CmdAuth}, func(_ context.Context, cmd *chat.Command) error {
		cmd.User.ID = "alice"
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, "alice", line["user"])
}

func TestLogLevels(t *testing.T) {
	for _, c := range []struct {
		typ   chat.CommandType
		err   error
		level string
		code  string
	}{
		{chat.CmdMessage, nil, "INFO", "ok"},
		{chat.CmdJoin, nil, "INFO", "ok"},
		{chat.CmdConnect, nil, "INFO", "ok"},
		{chat.CmdTyping, nil, "DEBUG", "ok"},
		{"read", nil, "DEBUG", "ok"},
		{chat.CmdPresence, nil, "DEBUG", "ok"},
		{chat.CmdMessage, chat.ErrForbidden, "INFO", "forbidden"},
		{chat.CmdAuth, fmt.Errorf("host: %w", chat.ErrUnauthenticated), "INFO", "unauthenticated"},
		{chat.CmdMessage, chat.ErrRateLimited, "DEBUG", "rate_limited"},
		{chat.CmdMessage, chat.ErrUnavailable, "WARN", "unavailable"},
		{chat.CmdMessage, chat.ErrServerClosed, "WARN", "unavailable"},
		{chat.CmdMessage, fmt.Errorf("x: %w", chat.ErrUnknown), "WARN", "unavailable"},
		{chat.CmdMessage, errors.New("the host's own"), "WARN", "internal"},
		{chat.CmdTyping, chat.ErrInternal, "WARN", "internal"},
		{chat.CmdHistory, context.Canceled, "INFO", "canceled"},
	} {
		line, err := logged(t, slog.LevelDebug, &chat.Command{Type: c.typ}, answer(c.err))
		require.Equal(t, c.err, err, "unchanged")
		require.Equal(t, c.level, line["level"], "%s %v", c.typ, c.err)
		require.Equal(t, c.code, line["code"], "%s %v", c.typ, c.err)
	}
	line, _ := logged(t, slog.LevelInfo, &chat.Command{Type: chat.CmdTyping}, answer(nil))
	require.Nil(t, line)
}

// A store that takes nothing makes a line now and then, not one for each command.
func TestLogSamplesWhatTheServerCannotDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		err := chat.ErrUnavailable
		h := middleware.Log(slog.New(slog.NewTextHandler(&out, nil)))(func(context.Context, *chat.Command) error { return err })
		do := func(n int, types ...chat.CommandType) int {
			out.Reset()
			for range n {
				for _, typ := range types {
					_ = h(t.Context(), &chat.Command{Type: typ})
				}
			}
			return strings.Count(out.String(), "code=unavailable")
		}
		require.Equal(t, 2, do(200, chat.CmdMessage, chat.CmdEdit), "one of each type")
		require.Contains(t, out.String(), "more=0")
		require.Zero(t, do(200, chat.CmdMessage))
		time.Sleep(10 * time.Second)
		require.Equal(t, 1, do(200, chat.CmdMessage))
		require.Contains(t, out.String(), "more=399")

		err = chat.ErrInternal
		do(3, chat.CmdMessage)
		require.Equal(t, 3, strings.Count(out.String(), "code=internal"), "each of them is a fault")
		require.NotContains(t, out.String(), "more=")
	})
}

func TestLogHoldsNothingThatPeopleWrite(t *testing.T) {
	const private = "pr1vate"
	cmd := func(typ chat.CommandType) *chat.Command {
		return &chat.Command{
			Type: typ, Room: "general", User: chat.User{ID: "alice", Name: private, Avatar: private, Meta: private},
			Content: private, Nonce: private, Ref: private, ReplyTo: private, Thread: private, Mentions: []string{private},
			Attachments: []chat.Attachment{{URL: private, Name: private}}, Meta: []byte(`{"x":"` + private + `"}`),
		}
	}
	for _, typ := range []chat.CommandType{chat.CmdConnect, chat.CmdAuth, chat.CmdMessage, chat.CmdEdit, chat.CmdTyping} {
		for _, err := range []error{
			nil,
			errors.New("cannot store " + private),
			chat.Errorf(chat.CodeInvalid, "bad word %s", private),
			(&chat.Error{Code: chat.CodeInternal}).WithCause(errors.New(private)),
		} {
			line, _ := logged(t, slog.LevelDebug, cmd(typ), func(_ context.Context, cmd *chat.Command) error {
				cmd.Result = &chat.Message{Content: private}
				return err
			})
			require.NotEmpty(t, line)
			require.NotContains(t, fmt.Sprint(line), private)
		}
	}
}

func TestLogCannotBeForgedOrFlooded(t *testing.T) {
	cmd := &chat.Command{
		Type: chat.CmdJoin, Room: strings.Repeat("ä", 10_000),
		User: chat.User{ID: "x\nlevel=ERROR msg=\"all is lost\" user=root"},
	}
	var out bytes.Buffer
	require.NoError(t, middleware.Log(slog.New(slog.NewTextHandler(&out, nil)))(answer(nil))(t.Context(), cmd))
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	require.Less(t, out.Len(), 600)
}

func TestLogLetsAPanicThroughAfterTheLine(t *testing.T) {
	var out bytes.Buffer
	h := middleware.Log(slog.New(slog.NewTextHandler(&out, nil)))(explode("kaboom"))
	require.PanicsWithValue(t, "kaboom", func() { _ = h(t.Context(), &chat.Command{Type: chat.CmdJoin}) })
	require.Contains(t, out.String(), "code=internal")
}

func TestLogConcurrently(t *testing.T) {
	var out bytes.Buffer // guarded by the slog handler
	h := middleware.Log(slog.New(slog.NewTextHandler(&out, nil)))(answer(nil))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_ = h(t.Context(), &chat.Command{Type: chat.CmdJoin})
			}
		})
	}
	wg.Wait()
	require.Equal(t, 400, strings.Count(out.String(), "\n"))
}

func BenchmarkLogDisabled(b *testing.B) {
	h := middleware.Log(slog.New(slog.DiscardHandler))(answer(nil))
	cmd := &chat.Command{Type: chat.CmdMessage}
	b.ReportAllocs()
	for b.Loop() {
		_ = h(b.Context(), cmd)
	}
}
