package middleware

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/safelog"
)

// Log writes one line for each command: type, user, session, room, trace, how
// long it took until it was answered (duration_ms), and code, which is "ok" or that of the
// error. The trace is also in the Server's own lines about the delivery. A
// connect has the client's ip instead of a user. nil logs to slog.Default().
//
// What people write does not get into the log at any level, and neither do
// tokens or the text of errors, which may quote either.
//
// The level is Warn for internal and unavailable, which are the host's to look
// at, Debug for what comes in numbers and means little (typing, presence,
// refusals of the rate limit), and Info for the rest. What is unavailable is so for
// everybody at once, for as long as the store is full or away: of each type there is one
// line in ten seconds, with the number of those that were left out (more).
func Log(logger *slog.Logger) chat.Middleware {
	var sampler safelog.Sampler
	return func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) (err error) {
			// Who comes below may change the command; the line is about what
			// was asked. A panic passes through, after the line.
			typ, class, room, start := cmd.Type, classOf(cmd), cmd.Room, time.Now()
			code := chat.CodeInternal
			defer func() {
				logger := or(logger)
				level := levelOf(typ, class, code)
				if !logger.Enabled(ctx, level) {
					return
				}
				more := 0
				if code == chat.CodeUnavailable {
					var due bool
					if more, due = sampler.Take(string(typ)); !due {
						return
					}
				}
				attrs := make([]slog.Attr, 0, 9)
				attrs = append(attrs, slog.String("type", string(typ)))
				for _, a := range [...]slog.Attr{
					slog.String("user", short(cmd.User.ID)), // known to an auth only afterwards
					slog.String("session", cmd.Session),
					slog.String("room", short(room)),
					slog.String("trace", cmd.TraceID),
				} {
					if a.Value.String() != "" {
						attrs = append(attrs, a)
					}
				}
				if typ == chat.CmdConnect && cmd.RemoteIP.IsValid() {
					attrs = append(attrs, slog.String("ip", cmd.RemoteIP.String()))
				}
				attrs = append(attrs, slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1000), slog.String("code", string(code)))
				if code == chat.CodeUnavailable {
					attrs = append(attrs, slog.Int("more", more))
				}
				logger.LogAttrs(ctx, level, "chat: command", attrs...)
			}()
			err = next(ctx, cmd)
			code = codeOf(err)
			return err
		}
	}
}

func levelOf(typ chat.CommandType, class chat.Class, code chat.Code) slog.Level {
	switch {
	case code == chat.CodeInternal || code == chat.CodeUnavailable:
		return slog.LevelWarn
	case code == chat.CodeRateLimited || class == chat.ClassSignal || typ == chat.CmdPresence:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// codeOf says what a client is going to be told.
func codeOf(err error) chat.Code {
	var e *chat.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return "canceled" // the client has gone: nobody is told, and nothing is wrong
	case errors.Is(err, chat.ErrServerClosed), errors.Is(err, chat.ErrUnknown):
		return chat.CodeUnavailable
	}
	return chat.CodeInternal
}

func or(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.Default()
	}
	return logger
}

// short keeps what a client chose from filling the log.
func short(s string) string {
	if len(s) <= 128 {
		return s
	}
	return strings.ToValidUTF8(s[:128], "") + "…"
}
