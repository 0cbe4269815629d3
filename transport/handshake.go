package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gobwas/ws"
)

// AcceptFunc decides about a request in Serve: what is granted and who handles the
// connection. It may block, for instance to authenticate. An error refuses the
// request: a *HandshakeError with its own answer, any other with 500.
type AcceptFunc func(*http.Request) (u Upgrade, open func(*Conn) Handler, err error)

// greeting is an upgrade request that was read whole, without net/http.
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

// checkLines refuses what the upgrader below would let pass: floods of lines, folded
// or malformed ones, a second Host or key, a body.
func checkLines(raw []byte, most int) *HandshakeError {
	if bytes.Count(raw, []byte("\n")) > most+2 {
		return refuse(http.StatusRequestHeaderFieldsTooLarge, "too many header lines")
	}
	_, rest, _ := bytes.Cut(raw, []byte("\r\n"))
	hosts, keys := 0, 0
	for line := range bytes.SplitSeq(rest, []byte("\r\n")) {
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(name) || bytes.ContainsAny(value, "\r\n\x00") {
			return refuse(http.StatusBadRequest, "malformed header line")
		}
		value = bytes.TrimSpace(value)
		switch {
		case asciiEqual(name, "Host"):
			hosts++
		case asciiEqual(name, "Sec-WebSocket-Key"):
			if keys++; !validKey(string(value)) {
				return refuse(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64, once")
			}
		case asciiEqual(name, "Transfer-Encoding"), asciiEqual(name, "Content-Length") && string(value) != "0":
			return refuse(http.StatusBadRequest, "an upgrade has no body")
		}
	}
	if hosts > 1 || keys > 1 {
		return refuse(http.StatusBadRequest, "Host and Sec-WebSocket-Key may come only once")
	}
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
	if bad := checkLines(g.raw, t.opts.HandshakeLines); bad != nil {
		return refusal(bad), nil, nil
	}
	r := &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Body: http.NoBody, RemoteAddr: g.remote, TLS: g.tls,
	}
	r = r.WithContext(t.ctx)
	// What the host is shown must survive the call: the callbacks' bytes do not.
	up := ws.Upgrader{
		OnRequest: func(uri []byte) (err error) {
			r.RequestURI = string(uri)
			r.URL, err = url.ParseRequestURI(r.RequestURI)
			return err
		},
		OnHost: func(host []byte) error { r.Host = string(host); return nil },
		OnHeader: func(k, v []byte) error {
			r.Header.Add(string(k), string(v))
			return nil
		},
		ProtocolCustom: func(v []byte) (string, bool) {
			r.Header.Add("Sec-Websocket-Protocol", string(v))
			return "", true
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			u, o, err := t.ask(accept, r)
			if err != nil {
				return nil, err
			}
			t.settleDropped(&u, &o)
			dropped = u.Dropped
			if t.isRefusing() {
				return nil, refuse(http.StatusServiceUnavailable, reasonClosing)
			}
			t.grantDeflate(&u, &o, func() []string { return headerValues(g.raw, extensionsHeader) })
			open = o
			h := u.Header.Clone()
			if p := choose(u.Protocols, r.Header.Values("Sec-Websocket-Protocol")); p != "" {
				if h == nil {
					h = make(http.Header)
				}
				h["Sec-WebSocket-Protocol"] = []string{p}
			}
			return ws.HandshakeHeaderHTTP(h), nil
		},
	}
	mem := memory{in: bytes.NewReader(g.raw)}
	if _, err := up.Upgrade(&mem); err != nil {
		if dropped != nil {
			dropped()
		}
		return refusal(handshakeError(err)), nil, nil
	}
	return mem.out.Bytes(), open, dropped
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

// handshakeError translates what the upgrader found.
func handshakeError(err error) *HandshakeError {
	var known *HandshakeError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, ws.ErrHandshakeBadMethod):
		return refuseWith(http.StatusMethodNotAllowed, "a WebSocket is opened with GET", "Allow", http.MethodGet)
	case errors.Is(err, ws.ErrHandshakeBadProtocol):
		return refuse(http.StatusHTTPVersionNotSupported, "a WebSocket needs HTTP/1.1")
	case errors.Is(err, ws.ErrHandshakeBadUpgrade), errors.Is(err, ws.ErrHandshakeBadConnection):
		return needsUpgrade()
	case errors.Is(err, ws.ErrHandshakeUpgradeRequired), errors.Is(err, ws.ErrHandshakeBadSecVersion):
		return wrongVersion()
	}
	return refuse(http.StatusBadRequest, "malformed request")
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

// memory gives the upgrader a request to read and keeps what it answers.
type memory struct {
	in  io.Reader
	out bytes.Buffer
}

func (m *memory) Read(p []byte) (int, error)  { return m.in.Read(p) }
func (m *memory) Write(p []byte) (int, error) { return m.out.Write(p) }
