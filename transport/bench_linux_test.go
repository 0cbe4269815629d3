package transport

import (
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// writers are n connections over socket pairs without a loop, and their peers.
func writers(tb testing.TB, n int) (conns []*Conn, peers []int) {
	tr, err := New(Options{Loops: 1})
	require.NoError(tb, err)
	for range n {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		require.NoError(tb, err)
		c := tr.newConn(0)
		c.fd = int32(p[0])
		c.h = idle{}
		conns, peers = append(conns, c), append(peers, p[1])
		tb.Cleanup(func() { _ = unix.Close(p[0]); _ = unix.Close(p[1]) })
	}
	return conns, peers
}

func TestWriteFramesAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	conns, peers := writers(t, 1)
	frame := AppendFrame(nil, ws.OpText, make([]byte, 128))
	frames := [][]byte{frame}
	buf := make([]byte, 1<<10)
	n := testing.AllocsPerRun(1000, func() {
		if conns[0].WriteFrames(frame, frames) != 1 {
			t.Fatal("not written")
		}
		_, _ = unix.Read(peers[0], buf)
	})
	if n != 0 {
		t.Errorf("%v allocations for a write", n)
	}
}

// TestConnSize: what an idle connection costs, beside its slot in the loop's table.
func TestConnSize(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Conn{}), uintptr(96))
}

// BenchmarkWriteFrames compares the fan-out's door with bare write calls on the
// same sockets. Each round writes to 1,000 and reads them empty outside the clock.
func BenchmarkWriteFrames(b *testing.B) {
	const n = 1000
	frame := AppendFrame(nil, ws.OpText, make([]byte, 128))
	frames := [][]byte{frame}
	for _, bc := range []struct {
		name  string
		write func(*Conn)
	}{
		{"bare", func(c *Conn) { _, _ = unix.Write(int(c.fd), frame) }},
		{"frames", func(c *Conn) { c.WriteFrames(frame, frames) }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			conns, peers := writers(b, n)
			buf := make([]byte, 64<<10)
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				if i%(100*n) == 0 && i > 0 {
					b.StopTimer()
					for _, p := range peers {
						_, _ = unix.Read(p, buf)
					}
					b.StartTimer()
				}
				bc.write(conns[i%n])
			}
		})
	}
}
