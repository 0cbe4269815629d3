package transport

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrClosed is returned by Serve and Upgrade once the Transport is shut down.
var ErrClosed = errors.New("transport: closed")

// ErrExtendedConnect is returned by Upgrade for a WebSocket that is to be opened over
// HTTP/2 or HTTP/3 (RFC 8441, RFC 9220). It has been answered with 501. Go offers that
// to clients only where GODEBUG has http2xconnect=1; without, they use HTTP/1.1.
var ErrExtendedConnect = errors.New("transport: extended CONNECT is not supported")

// Errors given to Handler.Closed.
var (
	// ErrAborted says that this side cut the connection.
	ErrAborted = errors.New("transport: connection aborted")
	// ErrDead says that nothing was heard of the peer for DeadAfter.
	ErrDead = errors.New("transport: peer is silent")
	// ErrStalled says that the peer took no output for StallAfter.
	ErrStalled = errors.New("transport: peer does not read")
)

// errExited is why a connection ends of which code of the host's has made a goroutine
// exit.
var errExited = errors.New("transport: runtime.Goexit in a net.Conn or Handler")

// ProtocolError is the reason why a connection was closed for what its peer sent.
type ProtocolError struct {
	Code   uint16 // the close code sent: 1002, 1007, 1008, 1009, 1011 or 1013
	Reason string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("transport: closed with %d: %s", e.Code, e.Reason)
}

// HandshakeError says why a request did not become a connection. The peer has been
// answered when Upgrade returns one; an accept function of Serve returns one to
// choose the answer.
type HandshakeError struct {
	Status int
	Reason string
	Header http.Header // further headers of the answer
	Body   []byte      // the answer's body; Reason when nil
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("transport: handshake refused with %d: %s", e.Status, e.Reason)
}

// Unwrap makes errors.Is(err, ErrClosed) true of refusals during shutdown, and
// errors.Is(err, ErrExtendedConnect) of those over HTTP/2.
func (e *HandshakeError) Unwrap() error {
	switch {
	case e.Status == http.StatusServiceUnavailable && e.Reason == reasonClosing:
		return ErrClosed
	case e.Status == http.StatusNotImplemented && e.Reason == reasonExtendedConnect:
		return ErrExtendedConnect
	}
	return nil
}

const (
	reasonClosing         = "server is shutting down"
	reasonExtendedConnect = "extended CONNECT (RFC 8441) is not supported: open the WebSocket over HTTP/1.1"
)

func refuse(status int, reason string) *HandshakeError {
	return &HandshakeError{Status: status, Reason: reason}
}

// refuseWith adds one header, which says what would have been accepted.
func refuseWith(status int, reason, key, value string) *HandshakeError {
	return &HandshakeError{Status: status, Reason: reason, Header: http.Header{key: {value}}}
}

// body is what the answer says.
func (e *HandshakeError) body() []byte {
	if e.Body != nil {
		return e.Body
	}
	return []byte(e.Reason + "\n")
}
