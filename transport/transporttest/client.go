package transporttest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// patience bounds every wait of a Client, so that a lost event fails a test instead
// of hanging it.
const patience = 2 * time.Minute

// Client is the other end of a connection, as plain as possible: it sends the bytes
// that it is told to and reads frames. It is for one goroutine that reads and one
// that writes.
type Client struct {
	Conn     net.Conn
	Response *http.Response // the answer to the handshake
	r        *bufio.Reader
}

// Request is a valid upgrade request for path with further header lines.
func Request(path string, lines ...string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
		path, strings.Join(append(lines, ""), "\r\n"))
}

// Handshake sends a request, with whatever follows it, and reads the answer.
func Handshake(conn net.Conn, request []byte) (*Client, error) {
	c := &Client{Conn: conn, r: bufio.NewReader(conn)}
	_ = conn.SetDeadline(time.Now().Add(patience))
	sent := make(chan error, 1)
	// A pipe takes bytes only while the other side reads them.
	go func() { _, err := conn.Write(request); sent <- err }()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		_ = conn.Close()
		<-sent
		return nil, err
	}
	c.Response = resp
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return c, <-sent
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	_ = conn.Close()
	<-sent
	return c, nil
}

// Close closes the socket without a word.
func (c *Client) Close() { _ = c.Conn.Close() }

// Write sends bytes as they are.
func (c *Client) Write(p []byte) error {
	_ = c.Conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Conn.Write(p)
	return err
}

// Text sends a text message.
func (c *Client) Text(s string) error { return c.Write(Frame(true, ws.OpText, []byte(s))) }

// Binary sends a binary message.
func (c *Client) Binary(p []byte) error { return c.Write(Frame(true, ws.OpBinary, p)) }

// SendClose sends a close frame.
func (c *Client) SendClose(code uint16, reason string) error {
	return c.Write(Frame(true, ws.OpClose, CloseBody(code, reason)))
}

// CloseBody is the body of a close frame.
func CloseBody(code uint16, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), reason...)
}

// Frame is a masked frame, as clients send them.
func Frame(fin bool, op ws.OpCode, payload []byte) []byte {
	h := ws.Header{Fin: fin, OpCode: op, Masked: true, Mask: [4]byte{0x12, 0xfe, 0x00, 0x9a}, Length: int64(len(payload))}
	return RawFrame(h, payload)
}

// Fragments is a message in frames of up to piece bytes.
func Fragments(op ws.OpCode, payload []byte, piece int) []byte {
	var stream []byte
	for ; len(payload) > piece; op, payload = ws.OpContinuation, payload[piece:] {
		stream = append(stream, Frame(false, op, payload[:piece])...)
	}
	return append(stream, Frame(true, op, payload)...)
}

// RawFrame is a frame with any header, valid or not.
func RawFrame(h ws.Header, payload []byte) []byte {
	var b bytes.Buffer
	if err := ws.WriteHeader(&b, h); err != nil {
		panic(err) // only for negative lengths
	}
	n := b.Len()
	b.Write(payload)
	if h.Masked {
		ws.Cipher(b.Bytes()[n:], h.Mask, 0)
	}
	return b.Bytes()
}

// Next reads a frame.
func (c *Client) Next() (ws.Frame, error) {
	_ = c.Conn.SetReadDeadline(time.Now().Add(patience))
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return ws.Frame{}, err
	}
	if h.Masked || !h.Fin || h.Rsv != 0 {
		return ws.Frame{}, fmt.Errorf("the server sent the header %+v", h)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(c.r, f.Payload)
	return f, err
}

// NextMessage reads up to the next data frame, over pings and pongs.
func (c *Client) NextMessage() ([]byte, error) {
	for {
		f, err := c.Next()
		if err != nil {
			return nil, err
		}
		switch f.Header.OpCode {
		case ws.OpText, ws.OpBinary:
			return f.Payload, nil
		case ws.OpClose:
			return nil, fmt.Errorf("closed: %v", f.Payload)
		}
	}
}

// Ended says how the server ended a connection.
type Ended struct {
	Code   uint16 // of its close frame; 1005 without one in it, 1006 without a frame
	Reason string
	Err    error // of the read after that; io.EOF if the end was orderly
}

// End reads until the end of the connection, over everything else.
func (c *Client) End() Ended {
	e := Ended{Code: 1006}
	for {
		f, err := c.Next()
		if err != nil {
			if errors.Is(err, io.ErrClosedPipe) {
				err = io.EOF
			}
			e.Err = err
			return e
		}
		if f.Header.OpCode != ws.OpClose {
			continue
		}
		e.Code = 1005
		if len(f.Payload) >= 2 {
			e.Code, e.Reason = binary.BigEndian.Uint16(f.Payload), string(f.Payload[2:])
		}
		if _, ok := c.Conn.(interface{ CloseWrite() error }); !ok {
			// The server cannot end its direction alone, so it waits for this.
			c.Close()
			e.Err = io.EOF
			return e
		}
	}
}
