package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gabblehq/chat/internal/work"
)

// AcceptFunc decides about a request in Serve: what is granted and who handles the
// connection. It may block, for instance to authenticate. An error refuses the
// request: a *HandshakeError with its own answer, any other with 500.
type AcceptFunc func(*http.Request) (u Upgrade, open func(*Conn) Handler, err error)

// greeting is an upgrade request that has been read whole, without net/http.
type greeting struct {
	raw    []byte // up to and with the blank line
	remote string
	tls    *tls.ConnectionState
}

// endOfHeader finds where a request ends.
func endOfHeader(b []byte) int {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return -1
}

// parse reads a request that came whole, as strictly as net/http or more: what two
// readers could understand differently is refused.
func (g *greeting) parse(most int) (*http.Request, *HandshakeError) {
	if bytes.Count(g.raw, []byte("\n")) > most+2 {
		return nil, refuse(http.StatusRequestHeaderFieldsTooLarge, "too many header lines")
	}
	lines := bytes.Split(g.raw, []byte("\r\n"))
	for _, line := range lines {
		if bytes.ContainsFunc(line, isControl) {
			return nil, refuse(http.StatusBadRequest, "a line holds a control character, or does not end with CR LF")
		}
	}
	r, bad := parseRequestLine(string(lines[0]))
	if bad != nil {
		return nil, bad
	}
	r.RemoteAddr, r.TLS = g.remote, g.tls
	if bad := parseFields(r, lines[1:]); bad != nil {
		return nil, bad
	}
	// RFC 9112, section 3.2.2: a target with a host of its own comes before Host.
	if r.URL.Host != "" {
		r.Host = r.URL.Host
	}
	return r, nil
}

// isControl tells what no line of a request may hold (RFC 9110, section 5.5).
func isControl(ch rune) bool { return ch < ' ' && ch != '\t' || ch == 0x7f }

// parseRequestLine reads method, target and version (RFC 9112, section 3). A minor
// version above 1.1 is taken for 1.1, as net/http does (RFC 9110, section 2.5).
func parseRequestLine(line string) (*http.Request, *HandshakeError) {
	method, rest, ok1 := strings.Cut(line, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	major, minor, ok3 := http.ParseHTTPVersion(proto)
	if !ok1 || !ok2 || !ok3 || !isToken([]byte(method)) {
		return nil, refuse(http.StatusBadRequest, "malformed request line")
	}
	r := &http.Request{
		Method: method, RequestURI: target, Proto: proto, ProtoMajor: major, ProtoMinor: minor,
		Header: make(http.Header), Body: http.NoBody,
	}
	var err error
	if r.URL, err = url.ParseRequestURI(target); err != nil {
		return nil, refuse(http.StatusBadRequest, "malformed request target")
	}
	return r, nil
}

// parseFields reads the header, up to the blank line.
func parseFields(r *http.Request, lines [][]byte) *HandshakeError {
	hosts := 0
	for _, line := range lines {
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(name) {
			return refuse(http.StatusBadRequest, "malformed header line")
		}
		v := strings.Trim(string(value), " \t")
		if asciiEqual(name, "Host") {
			r.Host = v
			hosts++
			continue
		}
		r.Header.Add(string(name), v)
	}
	if hosts != 1 {
		return refuse(http.StatusBadRequest, "Host must come once")
	}
	for _, v := range r.Header["Content-Length"] {
		if v != "0" {
			r.ContentLength = -1
		}
	}
	r.TransferEncoding = r.Header["Transfer-Encoding"]
	return nil
}

func asciiEqual(b []byte, s string) bool {
	return len(b) == len(s) && strings.EqualFold(string(b), s)
}

func isToken(b []byte) bool {
	for _, ch := range b {
		if ch <= ' ' || ch >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", ch) >= 0 {
			return false
		}
	}
	return len(b) > 0
}

// greet answers an upgrade request. The answer is to be written in any case; open
// is nil if it is a refusal. dropped is called instead of open if that cannot be.
func (t *Transport) greet(g greeting, accept AcceptFunc) (answer []byte, open func(*Conn) Handler, dropped func()) {
	r, bad := g.parse(t.opts.HandshakeLines)
	if bad == nil {
		bad = checkRequest(r)
	}
	if bad != nil {
		return refusal(bad), nil, nil
	}
	r = r.WithContext(t.ctx)
	key, extensions := r.Header.Get(keyHeader), r.Header.Values(extensionsHeader)
	for _, name := range []string{"Connection", "Upgrade", keyHeader, versionHeader, extensionsHeader} {
		r.Header.Del(name)
	}
	u, open, err := t.ask(accept, r)
	if err != nil {
		return refusal(asHandshakeError(err)), nil, nil
	}
	t.settleDropped(&u, &open)
	if t.isRefusing() {
		u.Dropped()
		return refusal(refuse(http.StatusServiceUnavailable, reasonClosing)), nil, nil
	}
	t.grantDeflate(&u, &open, extensions)
	return acceptance(u, key, r.Header.Values(protocolHeader)), open, u.Dropped
}

// ask calls the host.
func (t *Transport) ask(accept AcceptFunc, r *http.Request) (u Upgrade, open func(*Conn) Handler, err error) {
	defer func() {
		if v := recover(); v != nil {
			t.panicked("transport: panic in accept", v)
			err = refuse(http.StatusInternalServerError, "internal error")
		}
	}()
	u, open, err = accept(r)
	err = work.Sound(err)
	if err == nil && open == nil {
		err = errors.New("transport: accept returned neither a handler nor an error")
	}
	var known *HandshakeError
	if err != nil && !errors.As(err, &known) {
		t.report(slog.LevelError, "transport: accept failed", "error", err)
		err = refuse(http.StatusInternalServerError, "internal error")
	}
	return u, open, err
}

// asHandshakeError is what ask returns, which is one already.
func asHandshakeError(err error) *HandshakeError {
	var known *HandshakeError
	if !errors.As(err, &known) {
		known = refuse(http.StatusInternalServerError, "internal error")
	}
	return known
}

// refusal is the whole HTTP answer to a request that is refused.
func refusal(e *HandshakeError) []byte {
	var b bytes.Buffer
	body := e.body()
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", e.Status, http.StatusText(e.Status))
	h := e.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if h.Get("Connection") == "" {
		h.Set("Connection", "close")
	}
	_ = h.Write(&b)
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
