// Package wire is the codec of the subprotocol gabble.v1.json: it turns the
// bytes of a client's frame into a [Command], and what the server has to say
// into bytes. docs/protocol.md describes the protocol itself.
//
// Decoding is strict, because a server that guesses what a client meant ends
// up with clients that depend on the guess. Encoding appends to a buffer of
// the caller and allocates nothing else, because a frame is encoded once and
// then shared by everybody in the room.
//
// The package knows nothing of rooms, stores or connections. What is checked
// here is what can be told from one frame alone.
package wire
