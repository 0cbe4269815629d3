package transport_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

// touchy panics in one of its calls.
type touchy struct{ in string }

func (h touchy) at(call string) {
	if h.in == call {
		panic(call)
	}
}

func (h touchy) Message(c *transport.Conn, p []byte, _ bool) {
	h.at("Message")
	c.Send(transport.AppendFrame(nil, ws.OpText, p))
}
func (h touchy) TooLarge(*transport.Conn, int64)       { h.at("TooLarge") }
func (h touchy) Writable(*transport.Conn)              { h.at("Writable") }
func (h touchy) Closed(*transport.Conn, uint16, error) { h.at("Closed") }

// logBook counts what is logged, and panics if it is told to.
type logBook struct {
	mu sync.Mutex
	bytes.Buffer
	panics bool
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panics {
		panic("log")
	}
	return b.Buffer.Write(p)
}

func (b *logBook) lines(with string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, with) {
			n++
		}
	}
	return n
}

// serveAt serves a transport made of o, with the Logger it has, behind a door.
func serveAt(t *testing.T, o transport.Options, door func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc),
	listen func(testing.TB) (net.Listener, func() (net.Conn, error)), accept transport.AcceptFunc,
) (*transport.Transport, func() (net.Conn, error)) {
	tr, err := transport.New(o)
	require.NoError(t, err)
	ln, dial := listen(t)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	door(t, tr, ln, accept)
	return tr, dial
}

// TestPanicsAreContained: whatever of the host's panics, wherever a frame came in, the
// process and everybody else's connection go on, and nothing is left behind.
func TestPanicsAreContained(t *testing.T) {
	const raw = "listener only"
	for name, row := range map[string]struct {
		options func(o *transport.Options, on *atomic.Bool)
		upgrade func(u *transport.Upgrade)
		handler string
		frames  []byte // what the client sends
		code    uint16 // what it is told; 0: it gets no connection
		only    string
	}{
		"Message":  {handler: "Message", frames: transporttest.Frame(true, ws.OpText, []byte("x")), code: 1011},
		"TooLarge": {handler: "TooLarge", frames: transporttest.Frame(true, ws.OpText, make([]byte, 200)), code: 1011},
		"Closed":   {handler: "Closed", frames: transporttest.Frame(true, ws.OpClose, transporttest.CloseBody(1000, "")), code: 1000},
		"log": {handler: "Message", frames: transporttest.Frame(true, ws.OpText, []byte("x")), code: 1011,
			options: func(o *transport.Options, on *atomic.Bool) {
				o.Logger = slog.New(slog.NewTextHandler(&logBook{panics: true}, nil))
			}},
		"Overloaded": {options: func(o *transport.Options, on *atomic.Bool) {
			o.Overloaded = func() bool {
				if on.Load() {
					panic("Overloaded")
				}
				return false
			}
		}},
		"Arrived": {only: raw, options: func(o *transport.Options, on *atomic.Bool) {
			o.Arrived = func(netip.Addr) (func(), bool) {
				if on.Load() {
					panic("Arrived")
				}
				return nil, true
			}
		}},
		"gone": {only: raw, frames: transporttest.Frame(true, ws.OpClose, transporttest.CloseBody(1000, "")), code: 1000,
			options: func(o *transport.Options, on *atomic.Bool) {
				o.Arrived = func(netip.Addr) (func(), bool) {
					return func() {
						if on.Load() {
							panic("gone")
						}
					}, true
				}
			}},
		"Dropped": {handler: "open", upgrade: func(u *transport.Upgrade) { u.Dropped = func() { panic("Dropped") } }},
	} {
		for when, early := range map[string]bool{"with the handshake": true, "later": false} {
			t.Run(name+"/"+when, func(t *testing.T) {
				eachWayIn(t, func(t *testing.T, engine string, door func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc)) {
					if row.only == raw && strings.HasSuffix(t.Name(), "/handler") {
						t.Skip("asked in Serve only")
					}
					var on atomic.Bool
					o := transport.Options{Engine: engine, MaxMessage: 100, CloseTimeout: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
					if row.options != nil {
						row.options(&o, &on)
					}
					tr, dial := serveAt(t, o, door, listenTCP, func(r *http.Request) (u transport.Upgrade, _ func(*transport.Conn) transport.Handler, _ error) {
						if r.URL.Path == "/" {
							return u, func(*transport.Conn) transport.Handler { return touchy{} }, nil
						}
						if row.upgrade != nil {
							row.upgrade(&u)
						}
						return u, func(*transport.Conn) transport.Handler {
							if row.handler == "open" {
								panic("open")
							}
							return touchy{row.handler}
						}, nil
					})
					other := connect(t, dial)
					defer other.Close()
					for range 3 {
						on.Store(true)
						conn, err := dial()
						require.NoError(t, err)
						request := transporttest.Request("/victim")
						if early {
							request = append(request, row.frames...)
						}
						c, err := transporttest.Handshake(conn, request)
						if row.code == 0 {
							if err == nil && c.Response.StatusCode == 101 {
								require.EqualValues(t, 1006, c.End().Code)
							}
						} else {
							require.NoError(t, err)
							require.Equal(t, 101, c.Response.StatusCode)
							if !early {
								require.NoError(t, c.Write(row.frames))
							}
							require.Equal(t, row.code, c.End().Code)
						}
						_ = conn.Close()
						on.Store(false)
						require.NoError(t, other.Text("still here"))
						p, err := other.NextMessage()
						require.NoError(t, err)
						require.Equal(t, "still here", string(p))
						connect(t, dial).Close()
					}
					require.Eventually(t, func() bool { return tr.Stats().Connections == 1 }, patience, time.Millisecond)
					require.GreaterOrEqual(t, tr.Stats().Panics, int64(3))
				})
			})
		}
	}
}

// TestPanicsFillNoLog: a stranger who can make a Handler panic gets one stack into the
// log, not one with each of their frames, and everything is counted.
func TestPanicsFillNoLog(t *testing.T) {
	eachWayIn(t, func(t *testing.T, engine string, door func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc)) {
		var book logBook
		tr, dial := serveAt(t, transport.Options{Engine: engine, Logger: slog.New(slog.NewTextHandler(&book, nil))}, door, listenTCP,
			grant(func(*transport.Conn) transport.Handler { return touchy{"Message"} }))
		start := time.Now()
		const n = 50
		for range n {
			c := connect(t, dial)
			require.NoError(t, c.Write(bytes.Repeat(transporttest.Frame(true, ws.OpText, []byte("x")), 20)))
			require.EqualValues(t, 1011, c.End().Code)
			c.Close()
		}
		require.EqualValues(t, n, tr.Stats().Panics, "what has panicked is not called again")
		require.NotZero(t, book.lines("stack="))
		require.LessOrEqual(t, book.lines("panic"), 1+int(time.Since(start)/(10*time.Second)))
	})
}

// fragile is a connection of the host's own type, one call of which panics.
type fragile struct {
	net.Conn
	call string
	on   *atomic.Bool
}

func (c *fragile) at(call string) {
	if c.call == call && c.on.Load() {
		panic(call)
	}
}

func (c *fragile) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.at("Read")
	return n, err
}
func (c *fragile) Write(p []byte) (int, error)   { c.at("Write"); return c.Conn.Write(p) }
func (c *fragile) Close() error                  { defer c.at("Close"); return c.Conn.Close() }
func (c *fragile) SetDeadline(t time.Time) error { c.at("SetDeadline"); return c.Conn.SetDeadline(t) }
func (c *fragile) RemoteAddr() net.Addr          { c.at("RemoteAddr"); return c.Conn.RemoteAddr() }
func (c *fragile) CloseWrite() error {
	c.at("CloseWrite")
	return c.Conn.(*net.TCPConn).CloseWrite()
}

type fragileListener struct {
	net.Listener
	call string
	on   *atomic.Bool
}

func (l fragileListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &fragile{c, l.call, l.on}, nil
}

// TestPanickingConn: a connection of the host's own type that panics ends, and its
// end is told.
func TestPanickingConn(t *testing.T) {
	for _, call := range []string{"Read", "Write", "Close", "SetDeadline", "CloseWrite"} {
		for door, serve := range map[string]func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc){
			"handler": serveHTTP, "listener": serveRaw,
		} {
			t.Run(call+"/"+door, func(t *testing.T) {
				var on atomic.Bool
				h := transporttest.NewRecorder()
				h.OnMessage = func(c *transport.Conn, p []byte, _ bool) {
					on.Store(true)
					c.Send(transport.AppendFrame(nil, ws.OpText, p))
					c.Close(1000, "")
				}
				o := transport.Options{CloseTimeout: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
				tr, dial := serveAt(t, o, serve, func(t testing.TB) (net.Listener, func() (net.Conn, error)) {
					ln, dial := listenTCP(t)
					return fragileListener{ln, call, &on}, dial
				}, grant(func(*transport.Conn) transport.Handler { return h }))
				c := connect(t, dial)
				require.NoError(t, c.Text("x"))
				go func() { c.End(); c.Close() }()
				transporttest.Wait(t, h.End, "Closed")
				h.Check(t)
				require.Eventually(t, func() bool { return tr.Stats().Connections == 0 }, patience, time.Millisecond)
				require.NotZero(t, tr.Stats().Panics)
				on.Store(false)
			})
		}
	}
}

// TestPanickingConnInHandshake: nor does one leave anything behind that panics before
// it is a WebSocket.
func TestPanickingConnInHandshake(t *testing.T) {
	for _, call := range []string{"Read", "Write", "Close", "SetDeadline", "RemoteAddr"} {
		t.Run(call, func(t *testing.T) {
			var on atomic.Bool
			on.Store(true)
			tr, dial := serveAt(t, transport.Options{CloseTimeout: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}, serveRaw,
				func(t testing.TB) (net.Listener, func() (net.Conn, error)) {
					ln, dial := listenTCP(t)
					return fragileListener{ln, call, &on}, dial
				}, grant(func(*transport.Conn) transport.Handler { return touchy{} }))
			conn, err := dial()
			require.NoError(t, err)
			_, _ = fmt.Fprint(conn, "NONSENSE\r\n\r\n")
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			_, _ = conn.Read(make([]byte, 1000))
			require.NoError(t, conn.Close())
			require.Eventually(t, func() bool { return tr.Stats().Panics > 0 }, patience, time.Millisecond)
			on.Store(false)
			c := connect(t, dial)
			require.NoError(t, c.Text("x"))
			_, err = c.NextMessage()
			require.NoError(t, err)
			c.Close()
		})
	}
}

// TestAcceptThatReturnsAnErrorThatPanics: a nil pointer that has become an error is
// answered like any other failure of the host's.
func TestAcceptThatReturnsAnErrorThatPanics(t *testing.T) {
	for _, engine := range []string{transport.EngineAuto, transport.EngineGoroutine} {
		var none *transport.HandshakeError
		_, dial := serveAt(t, transport.Options{Engine: engine, Logger: slog.New(slog.DiscardHandler)}, serveRaw, listenTCP,
			func(*http.Request) (u transport.Upgrade, _ func(*transport.Conn) transport.Handler, _ error) {
				return u, nil, none
			})
		conn, err := dial()
		require.NoError(t, err)
		c, err := transporttest.Handshake(conn, transporttest.Request("/"))
		require.NoError(t, err)
		require.Equal(t, http.StatusInternalServerError, c.Response.StatusCode)
		c.Close()
	}
}
