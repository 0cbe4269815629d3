package transport_test

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

const patience = time.Minute

// eachWayIn runs a test on both engines behind both doors.
func eachWayIn(t *testing.T, test func(t *testing.T, engine string, door func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc))) {
	for _, engine := range []string{transport.EngineAuto, transport.EngineGoroutine} {
		for name, door := range map[string]func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc){
			"handler": serveHTTP, "listener": serveRaw,
		} {
			t.Run(engine+"/"+name, func(t *testing.T) { test(t, engine, door) })
		}
	}
}

// short is a listener that is out of descriptors.
type short struct {
	calls  atomic.Int64
	closed atomic.Bool
}

type errShort struct{}

func (errShort) Error() string   { return "too many open files" }
func (errShort) Temporary() bool { return true }

func (l *short) Accept() (net.Conn, error) {
	if l.closed.Load() {
		return nil, net.ErrClosed
	}
	l.calls.Add(1)
	return nil, errShort{}
}
func (l *short) Close() error { l.closed.Store(true); return nil }
func (*short) Addr() net.Addr { return pipeAddr{} }

// TestAcceptPauses: an accept that cannot succeed is tried once a second in the end,
// and nobody waits for that second when the listener is closed.
func TestAcceptPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := transport.New(transport.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ln, done := &short{}, make(chan error, 1)
		go func() { done <- tr.Serve(ln, nil) }()
		time.Sleep(time.Minute + time.Millisecond)
		require.InDelta(t, 60+8, ln.calls.Load(), 2)
		start := time.Now()
		require.NoError(t, tr.Shutdown(t.Context()))
		require.ErrorIs(t, <-done, transport.ErrClosed)
		require.Zero(t, time.Since(start))
		require.True(t, ln.closed.Load())
	})
}

// account is what a host hears of one upgrade that it grants.
type account struct {
	quiet
	asked           chan struct{} // accept has been called
	release         chan struct{} // and may return
	dropped, closed atomic.Int32
}

func (a *account) Closed(*transport.Conn, uint16, error) { a.closed.Add(1) }

func (a *account) accept(open func(*transport.Conn) transport.Handler) transport.AcceptFunc {
	return func(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		close(a.asked)
		select {
		case <-a.release:
		case <-r.Context().Done(): // cut by Shutdown, or net/http has seen the peer go
		}
		return transport.Upgrade{Dropped: func() { a.dropped.Add(1) }}, open, nil
	}
}

// TestDroppedOrClosed: whatever becomes of an upgrade that was granted, its host
// hears of the end exactly once.
func TestDroppedOrClosed(t *testing.T) {
	type step func(t *testing.T, tr *transport.Transport, conn net.Conn, a *account)
	answered := func(t *testing.T, _ *transport.Transport, conn net.Conn, a *account) {
		close(a.release)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, 101, res.StatusCode)
	}
	for name, row := range map[string]struct {
		open            func(a *account) transport.Handler
		then            step
		dropped, closed bool // what it has to be, if that is certain
	}{
		"served":        {func(a *account) transport.Handler { return a }, answered, false, true},
		"open nil":      {func(*account) transport.Handler { return nil }, answered, true, false},
		"open panics":   {func(*account) transport.Handler { panic("open") }, answered, true, false},
		"closed inside": {func(a *account) transport.Handler { return a }, answered, false, true},
		"peer gone": {func(a *account) transport.Handler { return a },
			func(t *testing.T, _ *transport.Transport, conn net.Conn, a *account) {
				require.NoError(t, conn.Close())
				close(a.release)
			}, false, false},
		"peer resets": {func(a *account) transport.Handler { return a },
			func(t *testing.T, _ *transport.Transport, conn net.Conn, a *account) {
				require.NoError(t, conn.(*net.TCPConn).SetLinger(0))
				require.NoError(t, conn.Close())
				close(a.release)
			}, false, false},
		"shutdown": {func(a *account) transport.Handler { return a },
			func(t *testing.T, tr *transport.Transport, conn net.Conn, a *account) {
				require.NoError(t, tr.Close())
				close(a.release)
			}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			eachWayIn(t, func(t *testing.T, engine string, door func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc)) {
				a := &account{asked: make(chan struct{}), release: make(chan struct{})}
				tr, dial := open(t, transport.Options{Engine: engine, CloseTimeout: 50 * time.Millisecond}, listenTCP, door, a.accept(func(c *transport.Conn) transport.Handler {
					if name == "closed inside" {
						c.Close(1000, "")
					}
					return row.open(a)
				}))
				conn, err := dial()
				require.NoError(t, err)
				defer func() { _ = conn.Close() }()
				require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
				_, err = conn.Write(transporttest.Request("/"))
				require.NoError(t, err)
				transporttest.Wait(t, a.asked, "accept")
				row.then(t, tr, conn, a)
				_ = conn.Close()
				require.Eventually(t, func() bool { return a.dropped.Load()+a.closed.Load() > 0 }, patience, time.Millisecond)
				require.NoError(t, tr.Close())
				require.EqualValues(t, 1, a.dropped.Load()+a.closed.Load())
				if row.dropped || row.closed {
					require.Equal(t, row.dropped, a.dropped.Load() == 1)
				}
			})
		})
	}
}

// TestDroppedWhenRefusedLate: net/http has its host grant an upgrade before there is
// known to be room, or that the request is one.
func TestDroppedWhenRefusedLate(t *testing.T) {
	for name, row := range map[string]struct {
		request string
		status  int
	}{
		"full":       {string(transporttest.Request("/")), 503},
		"no upgrade": {"GET / HTTP/1.1\r\nHost: test\r\n\r\n", 426},
	} {
		t.Run(name, func(t *testing.T) {
			var granted, dropped atomic.Int32
			var first account
			accept := func(*http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
				granted.Add(1)
				return transport.Upgrade{Dropped: func() { dropped.Add(1) }}, func(*transport.Conn) transport.Handler { return &first }, nil
			}
			tr, dial := open(t, transport.Options{MaxConnections: 1}, listenTCP, serveHTTP, accept)
			defer connect(t, dial).Close()
			conn, err := dial()
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = conn.Write([]byte(row.request))
			require.NoError(t, err)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, row.status, res.StatusCode)
			require.EqualValues(t, 2, granted.Load())
			require.EqualValues(t, 1, dropped.Load())
			require.NoError(t, tr.Close())
			require.EqualValues(t, 1, dropped.Load())
			require.EqualValues(t, 1, first.closed.Load())
		})
	}
}

// porch counts who is under way by address, as a host would.
type porch struct {
	mu   sync.Mutex
	most int
	in   map[netip.Addr]int
	gone int
}

func (p *porch) arrived(peer netip.Addr) (gone func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in[peer] >= p.most {
		return nil, false
	}
	p.in[peer]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.in[peer]--
		p.gone++
	}, true
}

func (p *porch) counts() (in, gone int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.in[netip.MustParseAddr("127.0.0.1")], p.gone
}

// TestArrived: connections whose request is not in are known by their address from
// the first byte, and forgotten once whatever comes of them.
func TestArrived(t *testing.T) {
	for _, engine := range []string{transport.EngineAuto, transport.EngineGoroutine} {
		for name, end := range map[string]func(t *testing.T, tr *transport.Transport, conn net.Conn){
			"hangs up": func(t *testing.T, _ *transport.Transport, conn net.Conn) { require.NoError(t, conn.Close()) },
			"is no HTTP": func(t *testing.T, _ *transport.Transport, conn net.Conn) {
				_, err := conn.Write([]byte("\x16\x03\x01"))
				require.NoError(t, err)
			},
			"asks": func(t *testing.T, _ *transport.Transport, conn net.Conn) {
				_, err := conn.Write(transporttest.Request("/"))
				require.NoError(t, err)
			},
			"takes too long": func(*testing.T, *transport.Transport, net.Conn) {},
			"is cut":         func(t *testing.T, tr *transport.Transport, _ net.Conn) { require.NoError(t, tr.Close()) },
		} {
			t.Run(engine+"/"+name, func(t *testing.T) {
				p := &porch{most: 2, in: make(map[netip.Addr]int)}
				var early atomic.Int32 // in their count when the host was asked
				accept := func(*http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
					in, _ := p.counts()
					early.Store(int32(in))
					return transport.Upgrade{}, func(*transport.Conn) transport.Handler { return quiet{} }, nil
				}
				o := transport.Options{Engine: engine, Arrived: p.arrived, HandshakeTimeout: patience, CloseTimeout: 50 * time.Millisecond}
				if name == "takes too long" {
					o.HandshakeTimeout = 100 * time.Millisecond
				}
				tr, dial := open(t, o, listenTCP, serveRaw, accept)
				var half [2]net.Conn
				for i := range half {
					conn, err := dial()
					require.NoError(t, err)
					defer func() { _ = conn.Close() }()
					half[i] = conn
				}
				if name != "takes too long" {
					require.Eventually(t, func() bool { in, _ := p.counts(); return in == 2 }, patience, time.Millisecond)
					conn, res := knock(t, dial)
					require.Equal(t, 503, res.StatusCode)
					require.NoError(t, conn.Close())
					require.EqualValues(t, 1, tr.Stats().Rejected)
				}
				end(t, tr, half[0])
				require.Eventually(t, func() bool { _, gone := p.counts(); return gone > 0 }, patience, time.Millisecond)
				if name == "is cut" || name == "takes too long" {
					require.Eventually(t, func() bool { in, _ := p.counts(); return in == 0 }, patience, time.Millisecond)
					return
				}
				in, gone := p.counts()
				require.Equal(t, 1, in)
				require.Equal(t, 1, gone)
				conn, res := knock(t, dial)
				require.Equal(t, 101, res.StatusCode, "its place is free")
				require.NoError(t, conn.Close())
				require.EqualValues(t, 1, early.Load(), "who has asked is not under way any more")
				require.NoError(t, tr.Close())
				in, gone = p.counts()
				require.Zero(t, in)
				require.Equal(t, 3, gone, "each once")
			})
		}
	}
}

// TestNewNamesNegativeRoom: what makes no sense is said.
func TestNewNamesNegativeRoom(t *testing.T) {
	_, err := transport.New(transport.Options{MaxConnections: -1})
	require.ErrorContains(t, err, "transport: Options.MaxConnections: -1 is negative")
}

// brittle is a host's ResponseWriter over one that cannot be hijacked.
type brittle struct{ http.ResponseWriter }

func (b brittle) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return b.ResponseWriter.(http.Hijacker).Hijack()
}

func TestPanickingWriterGivesItsPlaceBack(t *testing.T) {
	tr, err := transport.New(transport.Options{})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	for k, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(k, v)
	}
	dropped := 0
	require.Panics(t, func() {
		_ = tr.Upgrade(brittle{httptest.NewRecorder()}, r, transport.Upgrade{Dropped: func() { dropped++ }}, func(*transport.Conn) transport.Handler { return nil })
	})
	require.Equal(t, 1, dropped)
	require.NoError(t, tr.Shutdown(t.Context()), "nothing is left to wait for")
}
