package transport

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLineEnds: what ends a line for one reader and not for another is refused, so that
// nothing hides behind it.
func TestLineEnds(t *testing.T) {
	const valid = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	tr, err := New(Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, tr.Close()) }()
	asked := 0
	answer := func(raw string) string {
		a, _, _ := tr.greet(greeting{raw: []byte(raw)}, func(r *http.Request) (Upgrade, func(*Conn) Handler, error) {
			asked++
			require.Equal(t, "test", r.Host)
			for name := range r.Header {
				require.Contains(t, []string{"Origin", "X-A", "Sec-Websocket-Protocol"}, name, "the handshake's own fields are not shown")
			}
			return Upgrade{}, func(*Conn) Handler { return nil }, nil
		})
		line, _, _ := strings.Cut(string(a), "\r\n")
		return line
	}
	require.Contains(t, answer(valid), " 101 ")
	require.Contains(t, answer(strings.Replace(valid, "Host: test", "X-A: \t\xe4 b\t\r\nOrigin: http://o\r\nHost: test", 1)), " 101 ")
	for i := range valid {
		if valid[i] != '\r' {
			continue
		}
		require.Contains(t, answer(valid[:i]+valid[i+1:]), " 400 ", "without the CR at %d", i)
		require.Contains(t, answer(valid[:i+1]+valid[i+2:]), " 400 ", "without the LF at %d", i)
	}
	asked = 0
	require.Contains(t, answer(strings.Replace(valid, "Host: test", "X-A: b\r\n c\r\nHost: test", 1)), " 400 ", "a folded line")
	for _, hidden := range []string{"Host: evil", "Transfer-Encoding: chunked", "Content-Length: 5", "X-A: b"} {
		for _, end := range []string{"\n", "\r", "\n\n", "\r\r\n", "\v", "\f", "\x00", "\x7f"} {
			for _, where := range []string{"GET /ws HTTP/1.1", "Host: test", "Upgrade: websocket", "=="} {
				require.Contains(t, answer(strings.Replace(valid, where, where+end+hidden, 1)), " 400 ", "%q%q%q", where, end, hidden)
			}
		}
	}
	require.Zero(t, asked)
}

// TestExtendedConnect: a WebSocket over HTTP/2 is refused by name.
func TestExtendedConnect(t *testing.T) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodConnect, "https://test/ws", nil)
	require.NoError(t, err)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.Header[":protocol"] = []string{"websocket"}
	bad := checkRequest(r)
	require.ErrorIs(t, bad, ErrExtendedConnect)
	require.Equal(t, http.StatusNotImplemented, bad.Status)
	require.Contains(t, bad.Reason, "RFC 8441")
}

// FuzzRequest: arbitrary bytes never panic, and a request that is taken means to
// net/http what it means here.
func FuzzRequest(f *testing.F) {
	for _, lines := range []string{"Host: test", "Host: [::1]:80\r\nOrigin: http://o", "Host: a\nHost: b", "Host:\tx\r\nCookie: a=b;c"} {
		f.Add([]byte("GET /ws?a=b HTTP/1.1\r\n" + lines + "\r\nConnection: a, Upgrade\r\nUpgrade: h2c, websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if endOfHeader(raw) != len(raw) {
			return
		}
		r, bad := (&greeting{raw: raw}).parse(64)
		if bad == nil {
			bad = checkRequest(r)
		}
		if bad != nil {
			require.GreaterOrEqual(t, bad.Status, 400)
			return
		}
		std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		require.NoError(t, err)
		require.Equal(t, std.Method, r.Method)
		require.Equal(t, std.Host, r.Host)
		require.Equal(t, std.URL, r.URL)
		require.Zero(t, std.ContentLength)
		std.Header.Del("Cache-Control") // which net/http adds beside Pragma
		r.Header.Del("Cache-Control")
		require.Equal(t, std.Header, r.Header)
	})
}
