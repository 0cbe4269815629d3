package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/gabblehq/chat"
)

// Recover turns a panic of the handlers below it into an internal error, and
// logs it with its stack and the command's trace id. nil logs to
// slog.Default().
//
// The Server does not need it: it survives a panic in host code anyway. But
// the middleware above Recover then sees an ordinary error, and the line in the
// log says which command it was.
func Recover(logger *slog.Logger) chat.Middleware {
	return RecoverFunc(func(ctx context.Context, cmd *chat.Command, value any, stack []byte) {
		or(logger).LogAttrs(ctx, slog.LevelError, "chat: panic in a command",
			slog.String("type", string(cmd.Type)),
			slog.String("user", short(cmd.User.ID)),
			slog.String("session", cmd.Session),
			slog.String("trace", cmd.TraceID),
			slog.String("panic", short(fmt.Sprint(value))),
			slog.String("stack", string(stack)),
		)
	})
}

// RecoverFunc is Recover with a report of your own, such as to an alerting
// service. It is called on the panicking goroutine, so it should be quick; cmd
// is valid until it returns.
func RecoverFunc(report func(ctx context.Context, cmd *chat.Command, value any, stack []byte)) chat.Middleware {
	if report == nil {
		panic("middleware: RecoverFunc needs a func; Recover(nil) logs")
	}
	return func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) (err error) {
			defer func() {
				if value := recover(); value != nil {
					report(ctx, cmd, value, debug.Stack())
					err = (&chat.Error{Code: chat.CodeInternal, Message: "internal error"}).WithCause(cause(value))
				}
			}()
			return next(ctx, cmd)
		}
	}
}

func cause(value any) error {
	if err, ok := value.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", value)
}
