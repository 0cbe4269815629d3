package chat_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// TestExtendedConnectIsAnswered: a WebSocket over HTTP/2 (RFC 8441) gets an error
// with a name and what to do, through net/http and under a prefix as well. net/http
// takes such requests only where GODEBUG says so from the start.
func TestExtendedConnectIsAnswered(t *testing.T) {
	const godebug = "http2xconnect=1"
	if os.Getenv("GODEBUG") != godebug {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestExtendedConnectIsAnswered$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG="+godebug)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestExtendedConnectIsAnswered")
		return
	}
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: chattest.TokenIsUser})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	mux := http.NewServeMux()
	mux.Handle("/chat/", http.StripPrefix("/chat", srv))
	host := httptest.NewUnstartedServer(mux)
	host.EnableHTTP2 = true
	host.StartTLS()
	defer host.Close()

	fields, body := extendedConnect(t, host, "/chat/ws")
	require.Equal(t, status501, fields[:4], "%x: %s", fields, body)
	var answer struct{ Code, Message string }
	require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
	require.Equal(t, string(chat.CodeUnsupported), answer.Code)
	require.Contains(t, answer.Message, "RFC 8441")
	require.Contains(t, answer.Message, "HTTP/1.1")
}

// The frames of HTTP/2 that the test reads and writes.
const (
	h2Data, h2Headers, h2Settings = 0, 1, 4
	h2Ack, h2EndStream            = 1, 1
	h2EndHeaders                  = 4
	h2ConnectProtocol             = 8
)

// status501 is :status 501 as net/http's compression (RFC 7541) writes it.
var status501 = []byte{0x4e, 0x82, 0x6c, 0x01}

// extendedConnect asks for a WebSocket as RFC 8441 has it, on a connection of its own.
func extendedConnect(t *testing.T, host *httptest.Server, path string) (fields, body []byte) {
	t.Helper()
	config := host.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"h2"}
	c, err := tls.Dial("tcp", host.Listener.Addr().String(), config)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	require.Equal(t, "h2", c.ConnectionState().NegotiatedProtocol)
	write := func(kind, flags byte, stream uint32, payload []byte) {
		t.Helper()
		head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
		head = binary.BigEndian.AppendUint32(append(head, flags), stream)
		_, err := c.Write(append(head, payload...))
		require.NoError(t, err)
	}
	read := func() (kind, flags byte, stream uint32, payload []byte) {
		t.Helper()
		head := make([]byte, 9)
		_, err := io.ReadFull(c, head)
		require.NoError(t, err)
		payload = make([]byte, binary.BigEndian.Uint32(head)>>8)
		_, err = io.ReadFull(c, payload)
		require.NoError(t, err)
		return head[3], head[4], binary.BigEndian.Uint32(head[5:]), payload
	}
	_, err = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	require.NoError(t, err)
	write(h2Settings, 0, 0, nil)

	// A literal without a name in the table, and without Huffman's code.
	field := func(name, value string) []byte {
		return append(append([]byte{0, byte(len(name))}, name...), append([]byte{byte(len(value))}, value...)...)
	}
	for offered := false; ; {
		switch kind, flags, stream, payload := read(); {
		case kind == h2Settings && flags&h2Ack == 0:
			for ; len(payload) >= 6; payload = payload[6:] {
				offered = offered || binary.BigEndian.Uint16(payload) == h2ConnectProtocol && binary.BigEndian.Uint32(payload[2:]) == 1
			}
			require.True(t, offered, "net/http does not offer extended CONNECT")
			write(h2Settings, h2Ack, 0, nil)
			write(h2Headers, h2EndHeaders, 1, bytes.Join([][]byte{
				field(":method", "CONNECT"), field(":protocol", "websocket"), field(":scheme", "https"), field(":path", path),
				field(":authority", host.Listener.Addr().String()), field("sec-websocket-version", "13"),
				field("sec-websocket-protocol", "gabble.v1.json"), field("authorization", "Bearer alice"),
			}, nil))
		case kind == h2Headers && stream == 1:
			fields = payload
		case kind == h2Data && stream == 1:
			body = append(body, payload...)
			if flags&h2EndStream != 0 {
				return fields, body
			}
		}
		require.Less(t, len(body), 64<<10)
	}
}
