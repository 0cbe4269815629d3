// Package chat adds real chat to a Go program: rooms and direct messages with
// history, presence and typing, over WebSocket and REST, on a storage backend
// of your choice.
//
// A [Server] is an [http.Handler]. Mount it on a route:
//
//	srv, err := chat.New(&chat.Options{
//		Store:        memory.New(),
//		Authenticate: auth.JWT(key),
//	})
//	...
//	mux.Handle("/chat/", http.StripPrefix("/chat", srv))
//
// The WebSocket is then at /chat/ws and REST beside it; docs/protocol.md says
// what passes over them. Host code can do through [Server.Room] what clients
// can do over the wire.
//
// # The one idea
//
// A room is a log: every change in it, a message, an edit, a delete, takes the
// next position. A subscription is a cursor into that log. A slow client is a
// cursor that lags, a reconnecting client is a cursor that lags, and both are
// served alike: from a ring of encoded frames that all members share or, where
// that no longer reaches back far enough, from the [Store]. There is no queue
// per connection, nothing is dropped in silence, and a client that does not
// read costs no memory.
//
// # Guarantees
//
// An acknowledged message is in history exactly once, whatever was retried.
// All subscribers of a room see the same order, dense in Message.Seq. A
// subscriber that stays, or comes back within the limits, sees every change
// once; what cannot be continued is said with a reset.
//
// # Plug-ins
//
// Storage is a [Store] (packages storage/memory and beside it), authentication
// a func ([Authenticator], package auth), permissions a func ([Authorizer]),
// and everything else that wraps a command a [Middleware] (package
// middleware). Package chattest runs a server in memory for tests of host
// programs.
//
// # Shutting down
//
// Call [Server.Shutdown] first, then http.Server.Shutdown, then close the
// store. Shutdown tells the clients to come back, spread over time, and
// returns when nothing is left: no goroutine, no file descriptor, no
// acknowledged message that is not stored.
package chat
