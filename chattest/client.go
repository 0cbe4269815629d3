package chattest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/wire"
)

// Event is one frame of the server; docs/protocol.md describes the types and
// their fields. Fields that a type does not have are zero.
type Event struct {
	Type string
	Ref  string
	Room string
	User string // id
	ID   string // of a message
	Seq  int64
	Rev  int64

	Message  chat.Message   // message, edit, delete
	Epoch    string         // joined, reset, synced, history
	Head     int64          // joined, reset, history
	Messages []chat.Message // joined, reset, history
	More     bool
	Reset    bool // joined

	Online int      // joined, presence
	Users  []string // joined, members, presence: user ids
	Join   []string // presence
	Leave  []string // presence
	Active bool     // typing

	Duplicate  bool // ack
	Held       bool // ack
	Code       chat.Code
	Text       string // error
	Field      string // error
	RetryAfter time.Duration
	AfterMS    int64 // reconnect

	Raw json.RawMessage // the whole frame
}

// Client is a connection to a server, for tests: its methods fail the test
// when something goes wrong. A Client is for one goroutine.
type Client struct {
	t    testing.TB
	conn net.Conn
	refs int

	mu     sync.Mutex
	events []Event       // come, and not yet asked for
	came   chan struct{} // one slot: there are events
	kept   []Event       // read past by Expect
	closed chan struct{} // no more come
	code   int           // close code, once closed is
	wmu    sync.Mutex
}

// Dial connects as the user whose token it is, by an auth frame, and waits for
// the welcome. With an empty token nothing is sent and nothing awaited. The
// connection is closed when the test ends.
func (s *Server) Dial(token string) *Client {
	s.t.Helper()
	conn, err := s.ln.dial(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return NewClient(s.t, conn, "ws://chat.test/chat/ws", token)
}

// DialOptions are what an upgrade carries beside what it must.
type DialOptions struct {
	Path   string         // of the WebSocket; "/chat/ws" if empty, a query may follow
	Header http.Header    // such as Authorization, Cookie or Origin
	Jar    http.CookieJar // its cookies are sent, too, and new ones kept
	Token  string         // for an auth frame; with none, nothing is sent by the client
}

// DialWith upgrades with headers and cookies, and fails the test if that is refused. If
// the upgrade itself says who it is, the server sends a welcome: Expect it.
func (s *Server) DialWith(o DialOptions) *Client {
	s.t.Helper()
	c, res, err := s.dialWith(o)
	if err != nil {
		s.t.Fatal(err)
	}
	if c == nil {
		body, _ := io.ReadAll(res.Body)
		s.t.Fatalf("chattest: upgrade refused: %s %s", res.Status, body)
	}
	return c
}

// Refused makes an upgrade that must not be let in, and returns the answer.
func (s *Server) Refused(o DialOptions) *http.Response {
	s.t.Helper()
	c, res, err := s.dialWith(o)
	if err != nil {
		s.t.Fatal(err)
	}
	if c != nil {
		s.t.Fatal("chattest: the upgrade was let in")
	}
	return res
}

func (s *Server) dialWith(o DialOptions) (*Client, *http.Response, error) {
	s.t.Helper()
	if o.Path == "" {
		o.Path = "/chat/ws"
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://chat.test"+o.Path, nil)
	if err != nil {
		return nil, nil, err
	}
	for name, values := range o.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if o.Jar != nil {
		for _, c := range o.Jar.Cookies(req.URL) {
			req.AddCookie(c)
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": wire.Subprotocol,
	} {
		if req.Header.Get(name) == "" {
			req.Header.Set(name, value)
		}
	}
	conn, err := s.ln.dial(context.Background())
	if err != nil {
		return nil, nil, err
	}
	sent := make(chan error, 1)
	go func() { sent <- req.Write(conn) }()
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, req)
	if err == nil {
		err = <-sent
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("chattest: upgrade: %w", err)
	}
	if o.Jar != nil {
		o.Jar.SetCookies(req.URL, res.Cookies())
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(res.Body)
		_ = conn.Close()
		res.Body = io.NopCloser(bytes.NewReader(body))
		return nil, res, err
	}
	return start(s.t, conn, br, o.Token), res, nil
}

// NewClient is Dial over a connection of any kind to the server at a ws:// URL.
func NewClient(t testing.TB, conn net.Conn, rawURL, token string) *Client {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	br, _, err := ws.Dialer{Protocols: []string{wire.Subprotocol}, Header: ws.HandshakeHeaderHTTP(http.Header{})}.Upgrade(conn, u)
	if err != nil {
		_ = conn.Close()
		t.Fatalf("chattest: upgrade: %v", err)
	}
	if br == nil {
		br = bufio.NewReader(conn)
	}
	return start(t, conn, br, token)
}

// start makes the client of a connection that has been upgraded.
func start(t testing.TB, conn net.Conn, br *bufio.Reader, token string) *Client {
	t.Helper()
	c := &Client{t: t, conn: conn, came: make(chan struct{}, 1), closed: make(chan struct{})}
	go c.read(br)
	t.Cleanup(c.Cut)
	if token != "" {
		c.Do(map[string]any{"type": "auth", "token": token})
		c.Expect("welcome")
	}
	return c
}

// read takes frames until the connection ends.
func (c *Client) read(r *bufio.Reader) {
	defer close(c.closed)
	c.code = 1006
	for {
		f, err := ws.ReadFrame(r)
		if err != nil {
			return
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			c.write(ws.NewPongFrame(f.Payload))
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			c.code = int(code)
			c.write(ws.NewCloseFrame(f.Payload))
			_ = c.conn.Close()
			return
		case ws.OpText:
			ev, err := decode(f.Payload)
			if err != nil {
				c.t.Errorf("chattest: the server sent %q: %v", f.Payload, err)
				return
			}
			c.put(ev)
		}
	}
}

func (c *Client) put(ev Event) {
	c.mu.Lock()
	c.events = append(c.events, ev)
	c.mu.Unlock()
	select {
	case c.came <- struct{}{}:
	default:
	}
}

func (c *Client) take() (ev Event, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.events) == 0 {
		return Event{}, false
	}
	ev, c.events = c.events[0], c.events[1:]
	return ev, true
}

func (c *Client) write(f ws.Frame) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	_ = ws.WriteFrame(c.conn, ws.MaskFrame(f))
}

// Do sends a command: anything that encodes to a JSON object.
func (c *Client) Do(command any) {
	c.t.Helper()
	b, err := json.Marshal(command)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(ws.NewTextFrame(b))
}

// Text sends a text frame as it is, for what is not a command of the protocol.
func (c *Client) Text(frame string) {
	c.t.Helper()
	c.write(ws.NewTextFrame([]byte(frame)))
}

// Write sends bytes as they are, for what a well-behaved client would not send.
func (c *Client) Write(b []byte) error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.conn.Write(b)
	return err
}

// Next returns the next event, or false when the connection has ended.
func (c *Client) Next() (Event, bool) {
	c.t.Helper()
	if len(c.kept) > 0 {
		ev := c.kept[0]
		c.kept = c.kept[1:]
		return ev, true
	}
	return c.wait()
}

func (c *Client) wait() (Event, bool) {
	c.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if ev, ok := c.take(); ok {
			return ev, true
		}
		select {
		case <-c.came:
		case <-c.closed:
			return c.take() // the last may have come since
		case <-timer.C:
			c.t.Fatal("chattest: nothing came")
			return Event{}, false
		}
	}
}

// Expect returns the next event of the type. Events of other types stay for
// later, in their order; an error frame where none is expected fails the test.
func (c *Client) Expect(typ string) Event {
	c.t.Helper()
	return c.expect("a "+typ, func(ev Event) bool { return ev.Type == typ })
}

func (c *Client) expect(what string, match func(Event) bool) Event {
	c.t.Helper()
	for i, ev := range c.kept {
		if match(ev) {
			c.kept = append(c.kept[:i:i], c.kept[i+1:]...)
			return ev
		}
	}
	for {
		ev, ok := c.wait()
		if !ok {
			c.t.Fatalf("chattest: connection closed with %d while waiting for %s", c.code, what)
		}
		if match(ev) {
			return ev
		}
		if ev.Type == "error" {
			c.t.Fatalf("chattest: %s while waiting for %s", ev.Raw, what)
		}
		c.kept = append(c.kept, ev)
	}
}

// Call sends a command with a ref of its own and returns what answers it, an
// error included.
func (c *Client) Call(command map[string]any) Event {
	c.t.Helper()
	c.refs++
	ref := strconv.Itoa(c.refs)
	with := map[string]any{"ref": ref}
	for k, v := range command {
		with[k] = v
	}
	c.Do(with)
	return c.expect("the answer to "+fmt.Sprint(command), func(ev Event) bool { return ev.Ref == ref })
}

// must is Call for commands that have to succeed.
func (c *Client) must(command map[string]any) Event {
	c.t.Helper()
	ev := c.Call(command)
	if ev.Type == "error" {
		c.t.Fatalf("chattest: %v: %s", command, ev.Raw)
	}
	return ev
}

// Join joins a room and returns the joined event.
func (c *Client) Join(room string) Event {
	c.t.Helper()
	return c.must(map[string]any{"type": "join", "room": room})
}

// Resume joins a room from a position and returns the joined event.
func (c *Client) Resume(room, epoch string, after int64) Event {
	c.t.Helper()
	return c.must(map[string]any{"type": "join", "room": room, "epoch": epoch, "after": after})
}

// JoinUser joins the direct room with a user and returns the joined event.
func (c *Client) JoinUser(user string) Event {
	c.t.Helper()
	return c.must(map[string]any{"type": "join", "user": user})
}

// Leave leaves a room.
func (c *Client) Leave(room string) {
	c.t.Helper()
	c.must(map[string]any{"type": "leave", "room": room})
}

// Send sends a message and returns its ack.
func (c *Client) Send(room, content string) Event {
	c.t.Helper()
	return c.must(map[string]any{"type": "message", "room": room, "content": content})
}

// Barrier returns when the server has taken up everything sent before it. What
// it has led to on this connection can then be had with Drain, but for what
// comes when the store has answered: wait for the answer of such a command.
func (c *Client) Barrier() {
	c.t.Helper()
	c.must(map[string]any{"type": "ping"})
}

// Drain returns the events that are here, without waiting for more.
func (c *Client) Drain() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Concat(c.kept, c.events)
	c.kept, c.events = nil, nil
	return list
}

// Cut ends the connection without a word, as a network does.
func (c *Client) Cut() {
	_ = c.conn.Close()
	<-c.closed
}

// Close says goodbye and waits for the server's answer.
func (c *Client) Close() {
	c.write(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	<-c.closed
	_ = c.conn.Close()
}

// CloseCode waits for the server to close the connection and returns the code,
// 1006 where it gave none.
func (c *Client) CloseCode() int {
	c.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.closed:
	case <-timer.C:
		c.t.Fatal("chattest: the server did not close the connection")
	}
	return c.code
}

func decode(payload []byte) (Event, error) {
	var w wire.Event
	if err := w.Decode(payload); err != nil {
		return Event{}, err
	}
	ev := Event{
		Type: w.Type, Ref: w.Ref, Room: w.Room, User: w.User.ID, ID: w.ID, Seq: w.Seq, Rev: w.Rev,
		Epoch: w.Epoch, Head: w.Head, More: w.More, Reset: w.Reset,
		Online: w.Online, Users: ids(w.Users), Join: ids(w.Join), Leave: ids(w.Leave), Active: w.Active,
		Duplicate: w.Duplicate, Held: w.Held, Code: chat.Code(w.Code), Text: w.Text, Field: w.Field,
		RetryAfter: time.Duration(min(w.RetryAfterMS, int64(math.MaxInt64/time.Millisecond))) * time.Millisecond, AfterMS: w.AfterMS,
		Raw: append(json.RawMessage(nil), payload...),
	}
	switch w.Type {
	case wire.TypeMessage, wire.TypeEdit, wire.TypeDelete:
		ev.Message = message(&w.Message)
	}
	for i := range w.Messages {
		ev.Messages = append(ev.Messages, message(&w.Messages[i]))
	}
	return ev, nil
}

func ids(users []wire.User) (list []string) {
	for _, u := range users {
		list = append(list, u.ID)
	}
	return list
}

func message(w *wire.Message) chat.Message {
	m := chat.Message{
		ID: w.ID, Room: w.Room, Seq: w.Seq, Rev: w.Rev, FirstRev: w.FirstRev, User: w.User.ID,
		Kind: chat.MessageKind(w.Kind), Content: w.Content, Nonce: w.Nonce,
		CreatedAt: w.CreatedAt, EditedAt: w.EditedAt, DeletedAt: w.DeletedAt,
		ReplyTo: w.ReplyTo, Thread: w.Thread, Mentions: w.Mentions, Meta: w.Meta,
	}
	for _, a := range w.Attachments {
		m.Attachments = append(m.Attachments, chat.Attachment(a))
	}
	return m
}
