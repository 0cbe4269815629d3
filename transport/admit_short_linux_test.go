package transport_test

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

// inChild runs the test in a process of its own, whose limits it may lower, and
// reports whether it has: then there is nothing left to do here.
func inChild(t *testing.T) bool {
	t.Helper()
	const mark = "GABBLE_TEST_CHILD"
	if os.Getenv(mark) != "" {
		return false
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=30s")
	cmd.Env = append(os.Environ(), mark+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%.2000s", out)
	return true
}

// fillTable leaves this process room for n more descriptors, until freed is called.
func fillTable(t *testing.T, n int) (freed func()) {
	t.Helper()
	var old unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) })
	tight := old
	tight.Cur = uint64(leak.FDs() + 32)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &tight))
	var fill []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			require.ErrorIs(t, err, unix.EMFILE)
			break
		}
		fill = append(fill, fd)
	}
	for _, fd := range fill[:n] {
		require.NoError(t, unix.Close(fd))
	}
	return func() {
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
		for _, fd := range fill[n:] {
			require.NoError(t, unix.Close(fd))
		}
	}
}

// TestShortOfDescriptors: there is one for each end of a connection and no third, to
// take the socket over from the runtime or to start another loop. The connection is
// served all the same, and nothing of it stays.
func TestShortOfDescriptors(t *testing.T) {
	if inChild(t) {
		return
	}
	for name, row := range map[string]struct {
		door  func(testing.TB, *transport.Transport, net.Listener, transport.AcceptFunc)
		loops int
	}{
		"duplicate for a loop":  {serveHTTP, 1},
		"another loop":          {serveHTTP, 2},
		"another loop in Serve": {serveRaw, 3},
	} {
		t.Run(name, func(t *testing.T) {
			h := transporttest.NewRecorder()
			tr, dial := open(t, transport.Options{Loops: row.loops}, listenTCP, row.door, grant(func(*transport.Conn) transport.Handler { return h }))
			stays := connect(t, dial) // by now one loop runs, and another for the listener
			defer stays.Close()
			talk := func(c *transporttest.Client) {
				require.NoError(t, c.Text("hello"))
				require.Equal(t, "hello", transporttest.Wait(t, h.Messages, "message").Payload)
			}
			talk(stays)
			for range 3 { // each time with what the one before has given back
				freed := fillTable(t, 2)
				c := connect(t, dial)
				talk(c)
				c.Close()
				transporttest.Wait(t, h.End, "end")
				require.Eventually(t, func() bool { return tr.Stats().Connections == 1 }, time.Minute, time.Millisecond)
				freed()
			}
			talk(stays)
			c := connect(t, dial)
			talk(c)
			c.Close()
			require.NoError(t, tr.Close())
		})
	}
}
