// Package rest is the edge of an HTTP interface: it reads bodies and writes
// answers within a time and a size, and errors as JSON with the status of their
// code. What is asked and answered it does not know.
package rest

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// Edge holds requests to what one may take.
type Edge struct {
	Timeout time.Duration // that a body has to come, and an answer to be taken
	Bytes   int           // of a body
}

// restGrace is how long a body may take that nobody is going to read.
const restGrace = time.Second

// Within gives a request's body until then to come, also what nobody is going to read:
// net/http reads on, to use the connection again.
func (e Edge) Within(w http.ResponseWriter, r *http.Request) *http.Request {
	if r.ContentLength == 0 || r.Body == nil {
		return r
	}
	rc, d := http.NewResponseController(w), e.Timeout
	if host, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && host.ReadTimeout > 0 {
		d = min(d, host.ReadTimeout)
	}
	if rc.SetReadDeadline(time.Now().Add(d)) != nil {
		return r // a writer of the host's that cannot
	}
	r = r.WithContext(r.Context())
	r.Body = &timedBody{ReadCloser: r.Body, rc: rc}
	return r
}

// Answer writes a whole answer and gives it until then to be taken.
func (e Edge) Answer(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	if len(body) > 0 {
		h.Set("Content-Type", "application/json")
	}
	if status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	rc := http.NewResponseController(w)
	if b, ok := r.Body.(*timedBody); ok && !b.rest(int64(e.Bytes)) {
		h.Set("Connection", "close")
	}
	err := rc.SetWriteDeadline(time.Now().Add(e.Timeout))
	w.WriteHeader(status)
	_, _ = w.Write(body)
	if err != nil {
		return
	}
	// What waits in buffers goes out within the deadline, too; then it is taken off
	// for the connection's next request, which may be the host's own.
	_ = rc.Flush()
	_ = rc.SetWriteDeadline(time.Time{})
}

// Refusal is the answer to what has failed: the body, with what it needs in h.
func Refusal(h http.Header, e *wire.Error) (body []byte) {
	if ms := e.RetryAfterMS; ms > 0 {
		h.Set("Retry-After", strconv.FormatInt((ms+999)/1000, 10))
	}
	if e.Code == wire.CodeUnauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return wire.AppendErrorObject(nil, e)
}

// Status is the HTTP status of a code.
func Status(code string) int {
	switch code {
	case wire.CodeInvalid:
		return http.StatusBadRequest
	case wire.CodeUnauthenticated:
		return http.StatusUnauthorized
	case wire.CodeForbidden:
		return http.StatusForbidden
	case wire.CodeNotFound:
		return http.StatusNotFound
	case wire.CodeConflict:
		return http.StatusConflict
	case wire.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case wire.CodeRateLimited:
		return http.StatusTooManyRequests
	case wire.CodeUnsupported:
		return http.StatusNotImplemented
	case wire.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// timedBody takes the deadline off once the body is there: net/http goes on to look
// whether the client is still there, and would take a late answer for its end.
type timedBody struct {
	io.ReadCloser
	rc           *http.ResponseController
	over, failed bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch err {
	case nil:
	case io.EOF:
		b.over = true
		_ = b.rc.SetReadDeadline(time.Time{})
	default:
		b.failed = true
	}
	return n, err
}

// rest reads what is left of a body that is answered already, since only then another
// request can follow, and reports whether it was all. net/http would do the same before
// it wrote an answer, for as long as the client likes.
func (b *timedBody) rest(most int64) bool {
	if b.over {
		return true
	}
	if !b.failed {
		_ = b.rc.SetReadDeadline(time.Now().Add(restGrace))
		_, _ = io.CopyN(io.Discard, b, most)
	}
	return b.over
}
