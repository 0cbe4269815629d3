package chat

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/gabblehq/chat/internal/door"
)

var (
	errBusy     = &Error{Code: CodeUnavailable, Message: "too many requests under way", RetryAfter: retryFull}
	errBusyUser = &Error{Code: CodeRateLimited, Message: "too many requests under way", RetryAfter: retryFull}
)

// request counts a REST call in; done goes with it where there is no error.
func (a *admission) request(ip netip.Addr) (done func(), err error) {
	switch a.requests.Enter(ip) {
	case door.AllFull:
		err = errBusy
	case door.AddressFull:
		err = errFullIP
	default:
		return func() { a.requests.Leave(ip) }, nil
	}
	a.rejected.Add(1)
	return nil, err
}

// within gives a request's body until then to come, also what nobody is going to read:
// net/http reads on, to use the connection again.
func (s *Server) within(w http.ResponseWriter, r *http.Request) *http.Request {
	if r.ContentLength == 0 || r.Body == nil {
		return r
	}
	rc, d := http.NewResponseController(w), s.opt.Limits.RequestTimeout
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
	default:
		b.failed = true
	case io.EOF:
		b.over = true
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// restGrace is how long a body may take that nobody is going to read.
const restGrace = time.Second

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

// answer writes a whole answer and gives it until then to be taken.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	if len(body) > 0 {
		h.Set("Content-Type", "application/json")
	}
	if status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	rc := http.NewResponseController(w)
	if b, ok := r.Body.(*timedBody); ok && !b.rest(int64(s.opt.Limits.MessageBytes)) {
		h.Set("Connection", "close")
	}
	err := rc.SetWriteDeadline(time.Now().Add(s.opt.Limits.RequestTimeout))
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
