package transport_test

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

// stubborn is a connection of the host's own type, calls of which do not return.
type stubborn struct {
	net.Conn
	calls   map[string]bool
	on      atomic.Bool
	release chan struct{} // nil: the goroutine exits
}

func (c *stubborn) at(call string) {
	switch {
	case !c.on.Load() || !c.calls[call]:
	case c.release == nil:
		runtime.Goexit()
	default:
		<-c.release
	}
}

func (c *stubborn) Read(p []byte) (int, error)  { c.at("Read"); return c.Conn.Read(p) }
func (c *stubborn) Write(p []byte) (int, error) { c.at("Write"); return c.Conn.Write(p) }
func (c *stubborn) Close() error                { c.at("Close"); return c.Conn.Close() }
func (c *stubborn) RemoteAddr() net.Addr        { c.at("RemoteAddr"); return c.Conn.RemoteAddr() }
func (c *stubborn) SetDeadline(t time.Time) error {
	c.at("SetDeadline")
	return c.Conn.SetDeadline(t)
}
func (c *stubborn) SetReadDeadline(t time.Time) error {
	c.at("SetDeadline")
	return c.Conn.SetReadDeadline(t)
}
func (c *stubborn) SetWriteDeadline(t time.Time) error {
	c.at("SetDeadline")
	return c.Conn.SetWriteDeadline(t)
}

// halfClosing is one that can end one direction.
type halfClosing struct{ *stubborn }

func (c halfClosing) CloseWrite() error {
	c.at("CloseWrite")
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// wrapping makes each connection what wrap says.
type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

// TestStubbornConnHarmsNobody: calls of a host's net.Conn that hang, or that make
// their goroutine exit, keep nobody else waiting: not the sweep, which closes those
// who are silent, and not who sends to the same connection.
func TestStubbornConnHarmsNobody(t *testing.T) {
	for name, calls := range map[string][]string{
		"Read": {"Read"}, "Write": {"Write"}, "Close": {"Close"}, "SetDeadline": {"SetDeadline"},
		"CloseWrite": {"CloseWrite"}, "all": {"Read", "Write", "Close", "SetDeadline", "CloseWrite", "RemoteAddr"},
	} {
		for _, how := range []string{"hangs", "exits"} {
			for _, begins := range []string{"we close", "we cut", "silence"} {
				t.Run(name+"/"+how+"/"+begins, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { stubbornly(t, calls, how == "hangs", begins) })
				})
			}
		}
	}
}

func stubbornly(t *testing.T, calls []string, hangs bool, begins string) {
	tr, err := transport.New(transport.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ln, dial := listenPipe(t)
	var victim *stubborn
	var conn *transport.Conn
	handlers := map[string]*transporttest.Recorder{}
	served := make(chan error, 1)
	go func() {
		served <- tr.Serve(wrapping{ln, func(c net.Conn) net.Conn {
			if victim != nil {
				return c
			}
			victim = &stubborn{Conn: c, calls: map[string]bool{}}
			for _, call := range calls {
				victim.calls[call] = true
			}
			if hangs {
				victim.release = make(chan struct{})
			}
			if victim.calls["CloseWrite"] {
				return halfClosing{victim}
			}
			return victim
		}}, func(r *http.Request) (u transport.Upgrade, _ func(*transport.Conn) transport.Handler, _ error) {
			return u, func(c *transport.Conn) transport.Handler {
				h := transporttest.NewRecorder()
				handlers[r.URL.Path] = h
				if r.URL.Path == "/victim" {
					conn = c
				}
				return h
			}, nil
		})
	}()
	shake := func(path string) *transporttest.Client {
		c, err := dial()
		require.NoError(t, err)
		client, err := transporttest.Handshake(c, transporttest.Request(path))
		require.NoError(t, err)
		synctest.Wait()
		return client
	}
	stuck := shake("/victim")
	defer stuck.Close()
	victim.on.Store(true)
	switch begins {
	case "we close":
		require.NoError(t, stuck.Text("x")) // for Read to come by
		go conn.Close(1000, "")
	case "we cut":
		go conn.Abort()
	}
	time.Sleep(10 * time.Second)
	silent := shake("/silent")
	defer silent.Close()

	sent := make(chan struct{})
	go func() { // as to everybody in a room
		defer close(sent)
		frame := transport.AppendFrame(nil, ws.OpText, []byte("x"))
		conn.WriteFrames(frame, [][]byte{frame})
		conn.Send(frame)
		conn.Signal(frame)
		conn.Buffered()
		conn.RemoteAddr()
		conn.Close(1000, "")
	}()
	synctest.Wait()
	select {
	case <-sent:
	default:
		t.Fatal("a sender waits for the connection")
	}
	time.Sleep(5 * time.Minute)
	select {
	case end := <-handlers["/silent"].End:
		require.Equal(t, transport.ErrDead, end.Err)
	default:
		t.Fatal("who is silent is not closed any more")
	}
	_ = silent.Conn.Close()
	// Its own end needs that it can be cut, and that Read returns then.
	cuts, returns := !victim.calls["Close"] || !victim.calls["SetDeadline"], !hangs || !victim.calls["Read"]
	if cuts && returns {
		require.Len(t, handlers["/victim"].End, 1)
		require.Zero(t, tr.Stats().Connections)
	}
	_ = stuck.Conn.Close()
	if hangs {
		close(victim.release)
	}
	require.NoError(t, tr.Close())
	require.ErrorIs(t, <-served, transport.ErrClosed)
	handlers["/victim"].Check(t)
}

// TestStubbornConnInHandshake: nor does one keep others from coming in, or what was
// counted in by its address for ever.
func TestStubbornConnInHandshake(t *testing.T) {
	for _, call := range []string{"Read", "Write", "Close", "SetDeadline", "RemoteAddr"} {
		for _, how := range []string{"hangs", "exits"} {
			t.Run(call+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var under atomic.Int32
					tr, err := transport.New(transport.Options{Logger: slog.New(slog.DiscardHandler), Arrived: func(netip.Addr) (func(), bool) {
						under.Add(1)
						return func() { under.Add(-1) }, true
					}})
					require.NoError(t, err)
					ln, dial := listenPipe(t)
					var victim *stubborn
					served := make(chan error, 1)
					go func() {
						served <- tr.Serve(wrapping{ln, func(c net.Conn) net.Conn {
							if victim != nil {
								return c
							}
							victim = &stubborn{Conn: c, calls: map[string]bool{call: true}}
							if how == "hangs" {
								victim.release = make(chan struct{})
							}
							victim.on.Store(true)
							return victim
						}}, grant(func(*transport.Conn) transport.Handler { return transporttest.NewRecorder() }))
					}()
					stuck, err := dial()
					require.NoError(t, err)
					_ = stuck.SetWriteDeadline(time.Now().Add(time.Second))
					_, _ = stuck.Write([]byte("NONSENSE\r\n\r\n"))
					synctest.Wait()
					connect(t, dial).Close()
					_ = stuck.Close()
					time.Sleep(time.Minute)
					require.Zero(t, tr.Stats().Connections)
					ended := make(chan error, 1)
					go func() { ended <- tr.Close() }()
					time.Sleep(time.Minute)
					if how == "hangs" {
						close(victim.release)
					}
					require.NoError(t, <-ended)
					require.ErrorIs(t, <-served, transport.ErrClosed)
					require.Zero(t, under.Load())
				})
			})
		}
	}
}
