// Package middleware holds middleware for Options.Middleware, the first
// outermost. A good order is
//
//	Middleware: []chat.Middleware{
//		middleware.Log(logger),        // sees what all the others made of it
//		middleware.Recover(logger),    // turns panics below into errors
//		middleware.RateLimit(nil),     // cheap, and before what is not
//		middleware.Validate(rules),
//	},
//
// Every command of a client passes: the connection itself, before anybody is
// authenticated, each authentication, and whatever follows, over WebSocket and
// REST alike. What host code does through a Room does not.
//
// A middleware is a func from handler to handler, so writing one takes
// nothing from this package; each file here is meant to be read as a model:
//
//	func NoShouting(next chat.Handler) chat.Handler {
//		return func(ctx context.Context, cmd *chat.Command) error {
//			if cmd.Type == chat.CmdMessage && cmd.Content == strings.ToUpper(cmd.Content) {
//				return &chat.Error{Code: chat.CodeInvalid, Message: "no shouting", Field: "content"}
//			}
//			return next(ctx, cmd)
//		}
//	}
//
// All of them may be used by several Servers at once and start no goroutine.
package middleware
