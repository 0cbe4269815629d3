package transport

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Upgrade says what a server grants to a request.
type Upgrade struct {
	// Protocols are the subprotocols that the server speaks, the best first. The
	// first one that the client offers too is chosen (RFC 6455, section 4.2.2); with
	// none in common the connection has none.
	Protocols []string
	// Header is added to the answer.
	Header http.Header
	// Deflate grants permessage-deflate (RFC 7692) to a client that offers it, if
	// Options.Deflate is set. Inflating is work that a client makes the server do:
	// grant it to those whom the request has identified.
	Deflate bool
	// Dropped is called if nothing comes of an upgrade that was granted: open was not
	// called, returned nil or panicked. Nil does nothing.
	Dropped func()
}

// Upgrade turns a request into a connection. An error has been answered over HTTP
// already; it is a *HandshakeError, or the network's.
//
// open is called once the answer is on the wire and before any event. It returns
// the connection's Handler; nil cuts the connection. Neither r nor w is kept.
func (t *Transport) Upgrade(w http.ResponseWriter, r *http.Request, u Upgrade, open func(*Conn) Handler) error {
	t.settleDropped(&u, &open)
	if bad := checkRequest(r); bad != nil {
		u.Dropped()
		return answerHTTP(w, bad)
	}
	switch t.enter() {
	case entryNot:
		u.Dropped()
		return answerHTTP(w, refuse(http.StatusServiceUnavailable, reasonClosing))
	case entryFull:
		u.Dropped()
		return answerHTTP(w, t.opts.Full)
	}
	t.grantDeflate(&u, &open, r.Header.Values(extensionsHeader))
	taken := false
	defer func() { // also when a ResponseWriter of the host panics
		if !taken {
			u.Dropped()
			t.leave()
		}
	}()
	conn, pre, err := t.hijack(w, r, u)
	if err != nil {
		return err
	}
	taken = true
	t.serve(conn, pre, open)
	return nil
}

// hijack answers 101 and takes the connection over, with what it had received
// behind the request.
func (t *Transport) hijack(w http.ResponseWriter, r *http.Request, u Upgrade) (net.Conn, []byte, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		reason := "cannot upgrade: " + culprit(w) + " hides the connection; mount the handler outside that middleware"
		return nil, nil, answerHTTP(w, refuse(http.StatusInternalServerError, reason))
	}
	hc, whole := hostConn{conn, t}, false
	defer func() { // also when its goroutine exits
		if !whole {
			hc.drop()
		}
	}()
	_ = hc.SetDeadline(time.Now().Add(t.opts.HandshakeTimeout))
	_, err = hc.Write(acceptance(u, r.Header.Get(keyHeader), r.Header.Values(protocolHeader)))
	if err != nil {
		return nil, nil, fmt.Errorf("transport: answer upgrade: %w", err)
	}
	_ = hc.SetDeadline(time.Time{})
	pre, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, fmt.Errorf("transport: read behind upgrade: %w", err)
	}
	whole = true
	return conn, slices.Clone(pre), nil
}

// The fields of the handshake (RFC 6455, section 11.3), as http.Header has them.
const (
	keyHeader      = "Sec-Websocket-Key"
	versionHeader  = "Sec-Websocket-Version"
	protocolHeader = "Sec-Websocket-Protocol"
)

// acceptance is the answer to a request that is granted (section 4.2.2).
func acceptance(u Upgrade, key string, offered []string) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	b.WriteString(base64.StdEncoding.EncodeToString(sum[:]))
	b.WriteString("\r\n")
	if p := choose(u.Protocols, offered); p != "" {
		b.WriteString("Sec-WebSocket-Protocol: " + p + "\r\n")
	}
	_ = u.Header.Write(&b)
	b.WriteString("\r\n")
	return b.Bytes()
}

// culprit names the writer that cannot be hijacked, below those that unwrap.
func culprit(w http.ResponseWriter) string {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	name := fmt.Sprintf("%T", w)
	if name == "*http.timeoutWriter" {
		name += " (from http.TimeoutHandler)"
	}
	return name
}

// answerHTTP answers a request that is refused, and returns the refusal.
func answerHTTP(w http.ResponseWriter, e *HandshakeError) error {
	h := w.Header()
	for k, v := range e.Header {
		h[k] = v
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.body())
	return e
}

// checkRequest applies RFC 6455, section 4.2.1, before the connection is touched.
func checkRequest(r *http.Request) *HandshakeError {
	switch {
	case r.Method == http.MethodConnect && len(r.Header[":protocol"]) > 0:
		return refuse(http.StatusNotImplemented, reasonExtendedConnect)
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return refuse(http.StatusHTTPVersionNotSupported,
			"a WebSocket needs HTTP/1.1, this request came over "+r.Proto)
	case r.Method != http.MethodGet:
		return refuseWith(http.StatusMethodNotAllowed, "a WebSocket is opened with GET", "Allow", http.MethodGet)
	case !hasToken(r.Header.Values("Connection"), "upgrade"), !hasToken(r.Header.Values("Upgrade"), "websocket"):
		return needsUpgrade()
	case !validHost(r.Host):
		return refuse(http.StatusBadRequest, "Host is no host")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		// Without, net/http would wait for the body before it sends the answer.
		return refuseWith(http.StatusBadRequest, "an upgrade has no body", "Connection", "close")
	}
	if v := r.Header.Values(versionHeader); len(v) != 1 || v[0] != "13" {
		return wrongVersion()
	}
	keys := r.Header.Values(keyHeader)
	if len(keys) != 1 || !validKey(keys[0]) {
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64, once")
	}
	return nil
}

func needsUpgrade() *HandshakeError {
	return &HandshakeError{
		Status: http.StatusUpgradeRequired,
		Reason: "this is a WebSocket endpoint: Connection: Upgrade and Upgrade: websocket are missing",
		Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}},
	}
}

func wrongVersion() *HandshakeError {
	return refuseWith(http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13", "Sec-Websocket-Version", "13")
}

// validHost tells whether a Host names one (RFC 9110, section 7.2): a name, an IPv4
// address or an IPv6 address in brackets, and a port if need be.
func validHost(host string) bool {
	var port string
	if rest, ok := strings.CutPrefix(host, "["); ok {
		literal, rest, ok := strings.Cut(rest, "]")
		ip, err := netip.ParseAddr(literal)
		if !ok || err != nil || !ip.Is6() || rest != "" && rest[0] != ':' {
			return false
		}
		port = strings.TrimPrefix(rest, ":")
	} else {
		var name string
		if name, port, _ = strings.Cut(host, ":"); name == "" || strings.ContainsFunc(name, notInHost) {
			return false
		}
	}
	return !strings.ContainsFunc(port, func(ch rune) bool { return ch < '0' || ch > '9' })
}

// notInHost tells what a reg-name cannot hold (RFC 3986, section 3.2.2).
func notInHost(ch rune) bool {
	return (ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z') && (ch < '0' || ch > '9') &&
		!strings.ContainsRune("-._~%!$&'()*+,;=", ch)
}

// validKey tells whether a key is 16 bytes in base64 (section 4.1, item 7).
func validKey(key string) bool {
	b, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(b) == 16
}

// hasToken looks for a token in comma-separated header values, whatever its case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// choose picks the first of ours that is among the offered.
func choose(ours, offered []string) string {
	for _, p := range ours {
		for _, v := range offered {
			for part := range strings.SplitSeq(v, ",") {
				if strings.TrimSpace(part) == p {
					return p
				}
			}
		}
	}
	return ""
}
