package transport_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/transport"
)

// TestFullTableAnswers runs in a process of its own, whose limit it lowers.
func TestFullTableAnswers(t *testing.T) {
	const child = "GABBLE_TEST_OUT_OF_DESCRIPTORS"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFullTableAnswers$", "-test.timeout=30s")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	accept := grant(func(*transport.Conn) transport.Handler { return quiet{} })
	tr, dial := open(t, transport.Options{Loops: 1}, listenTCP, serveRaw, accept)
	stays := connect(t, dial)
	defer stays.Close()

	most := uint64(leak.FDs() + 32)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}))
	var fill []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			require.ErrorIs(t, err, unix.EMFILE)
			break
		}
		fill = append(fill, fd)
	}
	// One descriptor for the client leaves none for the server.
	require.NoError(t, unix.Close(fill[0]))
	conn, res := knock(t, dial)
	require.Equal(t, 503, res.StatusCode)
	require.EqualValues(t, 1, tr.Stats().Rejected)
	require.NoError(t, conn.Close())
	for _, fd := range fill[1:] {
		require.NoError(t, unix.Close(fd))
	}
	require.NoError(t, stays.Text("still here"))
	require.Eventually(t, func() bool { return tr.Stats().MessagesIn == 1 }, time.Minute, time.Millisecond)
	connect(t, dial).Close()
}
