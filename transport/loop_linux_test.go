package transport_test

import (
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

// TestCost: an idle connection is one descriptor and no goroutine.
func TestCost(t *testing.T) {
	for name, door := range map[string]func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc){
		"handler": serveHTTP, "listener": serveRaw,
	} {
		t.Run(name, func(t *testing.T) {
			h := transporttest.NewRecorder()
			tr, dial := open(t, transport.Options{Loops: 1}, listenTCP, door, grant(func(*transport.Conn) transport.Handler { return h }))
			add := func() {
				c := connect(t, dial)
				t.Cleanup(c.Close)
				require.NoError(t, c.Text("served"))
				transporttest.Wait(t, h.Messages, "message")
			}
			add() // starts what is shared
			settled := func() (fds, goroutines int) {
				require.Eventually(t, func() bool {
					fds, goroutines = leak.FDs(), runtime.NumGoroutine()
					time.Sleep(5 * time.Millisecond) // a handler's goroutine may be ending
					return fds == leak.FDs() && goroutines == runtime.NumGoroutine()
				}, time.Minute, time.Millisecond)
				return fds, goroutines
			}
			fds, goroutines := settled()
			const n = 100
			for range n {
				add()
			}
			fdsNow, goroutinesNow := settled()
			require.Equal(t, 2*n, fdsNow-fds, "one at each end")
			require.LessOrEqual(t, goroutinesNow, goroutines+1)
			require.EqualValues(t, n+1, tr.Stats().Connections)
		})
	}
}

// TestHalfFrames: two thousand peers that do not finish their frames keep nobody
// waiting.
func TestHalfFrames(t *testing.T) {
	h := transporttest.NewRecorder()
	tr, dial := open(t, transport.Options{Loops: 1}, listenTCP, serveRaw, grant(func(*transport.Conn) transport.Handler { return h }))
	half := transporttest.Frame(true, ws.OpText, []byte("never finished"))[:9]
	const n = 2000
	for range n {
		c := connect(t, dial)
		defer c.Close()
		require.NoError(t, c.Write(half))
	}
	c := connect(t, dial)
	defer c.Close()
	start := time.Now()
	for range 100 {
		require.NoError(t, c.Text("x"))
		transporttest.Wait(t, h.Messages, "message")
	}
	took := time.Since(start) / 100
	t.Logf("a message takes %v", took)
	require.Less(t, took, 200*time.Millisecond)
	require.Less(t, tr.Stats().Partial, int64(n*300), "only what came is kept")
}

// TestOutOfDescriptors: accepting backs off, what is connected goes on, and it heals.
func TestOutOfDescriptors(t *testing.T) {
	h := transporttest.NewRecorder()
	_, dial := open(t, transport.Options{Loops: 1}, listenTCP, serveRaw, grant(func(*transport.Conn) transport.Handler { return h }))
	c := connect(t, dial)
	defer c.Close()
	var waiting []net.Conn
	for range 3 {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		require.NoError(t, err)
		require.NoError(t, syscall.Close(fd))
	}

	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	tight := old
	tight.Cur = uint64(leak.FDs()) + 8
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &tight))
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) }()
	for {
		conn, err := dial()
		if err != nil {
			break
		}
		waiting = append(waiting, conn)
	}
	var before, after syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	for start := time.Now(); time.Since(start) < 300*time.Millisecond; {
		require.NoError(t, c.Text("still served"))
		transporttest.Wait(t, h.Messages, "message")
		<-time.After(10 * time.Millisecond)
	}
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	cpu := time.Duration(after.Utime.Nano()+after.Stime.Nano()) - time.Duration(before.Utime.Nano()+before.Stime.Nano())
	require.Less(t, cpu, 150*time.Millisecond, "no spinning")

	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old))
	for _, conn := range waiting {
		_ = conn.Close()
	}
	connect(t, dial).Close()
}

// TestHostClosesListener: Serve notices a listener that was closed behind its back.
func TestHostClosesListener(t *testing.T) {
	tr, err := transport.New(transport.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, tr.Close()) }()
	ln, _ := listenTCP(t)
	done := make(chan error, 1)
	go func() { done <- tr.Serve(ln, grant(nil)) }()
	require.NoError(t, ln.Close())
	require.Error(t, transporttest.Wait(t, done, "end of Serve"))
}
