// Package transport serves WebSocket connections (RFC 6455), very many of them,
// and knows nothing of what is said on them.
//
// A [Transport] takes connections through two doors: [Transport.Upgrade] inside
// an http.Handler and [Transport.Serve] on a listener, without net/http. Each
// connection is a [Conn], whose whole messages go to a [Handler] and which can
// be written to from any goroutine without ever blocking.
//
// Two engines stand behind that contract. On Linux a TCP or unix socket is taken
// out of Go's runtime poller and put on an event loop: while idle it costs one
// descriptor and about a hundred bytes, no goroutine, no buffer, no timer. What
// has no descriptor of its own (TLS in process, wrapped connections, pipes, other
// systems) gets a goroutine that reads, and one that writes while there is
// something to write.
//
// The transport answers pings and closes, checks framing, limits and UTF-8, pings
// the idle and closes the dead. Of extensions it knows permessage-deflate (RFC 7692),
// without context between messages, where Options.Deflate and [Upgrade] grant it.
// What clients compress is inflated within a budget, see [Accounted].
package transport
