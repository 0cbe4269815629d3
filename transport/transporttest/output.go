package transporttest

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
)

func (s *suite) output(t *testing.T) {
	t.Run("frames arrive whole and in order", s.interleaved)
	t.Run("refused while anything waits", s.congested)
	t.Run("a close frame waits its turn", s.closeBehind)
	t.Run("few pongs wait, and the latest", s.latestPong)
	t.Run("nothing after close", s.afterClose)
}

// numbered is a frame whose payload says its number and is otherwise its length in
// a pattern, so that a byte out of place shows.
func numbered(n, size int) []byte {
	p := make([]byte, max(size, 8))
	for i := range p {
		p[i] = byte(n + i)
	}
	binary.BigEndian.PutUint64(p, uint64(n))
	return transport.AppendFrame(nil, ws.OpBinary, p)
}

func (s *suite) checkNumbered(t *testing.T, c *Client, n int) {
	t.Helper()
	m, err := c.NextMessage()
	require.NoError(t, err)
	require.EqualValues(t, n, binary.BigEndian.Uint64(m), "order")
	for i := 8; i < len(m); i++ {
		if m[i] != byte(n+i) {
			t.Fatalf("frame %d: byte %d of %d is wrong", n, i, len(m))
		}
	}
}

// interleaved has one writer, who uses every door, and a reader who is slow at
// first. Each refusal must be followed by Writable.
func (s *suite) interleaved(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	const total = 2000
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		rnd := rand.New(rand.NewPCG(1, 2))
		for n := 0; n < total; {
			size := rnd.IntN(2000)
			if rnd.IntN(50) == 0 {
				size = 200_000
			}
			switch rnd.IntN(3) {
			case 0:
				p.c.Send(numbered(n, size))
				n++
			case 1:
				if p.c.Signal(numbered(n, size)) {
					n++
				}
			case 2:
				var frames [][]byte
				for i := range min(1+rnd.IntN(20), total-n) {
					frames = append(frames, numbered(n+i, size))
				}
				joined := cat(frames...)
				taken := p.c.WriteFrames(joined, frames)
				clear(joined) // it was only lent
				n += taken
				if taken < len(frames) {
					<-p.h.Drained
				}
			}
		}
	}()
	for n := range total {
		s.checkNumbered(t, p.Client, n)
	}
	done.Wait()
}

// fill writes until more output waits than any buffer below will take.
func (p *pair) fill() (frames int) {
	for p.c.Buffered() < 1<<20 && frames < 1000 {
		p.c.Send(numbered(frames, 50_000))
		frames++
	}
	return frames
}

func (s *suite) congested(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	n := p.fill()
	require.Positive(t, p.c.Buffered())
	require.Zero(t, p.c.WriteFrames(numbered(0, 9), [][]byte{numbered(0, 9)}))
	require.False(t, p.c.Signal(numbered(0, 9)))
	p.c.Send(numbered(n, 9))
	for i := range n + 1 {
		s.checkNumbered(t, p.Client, i)
	}
	Wait(t, p.h.Drained, "Writable")
	for !p.c.Signal(numbered(0, 9)) {
		Wait(t, p.h.Drained, "Writable")
	}
	s.checkNumbered(t, p.Client, 0)
}

func (s *suite) closeBehind(t *testing.T) {
	p := s.open(t, transport.Options{CloseTimeout: patience}, nil)
	n := p.fill()
	p.c.Close(4000, "later")
	for i := range n {
		s.checkNumbered(t, p.Client, i)
	}
	e := p.Client.End()
	require.EqualValues(t, 4000, e.Code)
	require.Equal(t, "later", e.Reason)
	p.Close()
	require.Equal(t, End{Code: 4000}, p.ended())
}

func (s *suite) latestPong(t *testing.T) {
	if !s.features.Kernel {
		t.Skip("needs a socket buffer")
	}
	p := s.open(t, transport.Options{}, nil)
	n := p.fill()
	p.c.Send(numbered(n, 50_000))
	for i := range 100 {
		require.NoError(t, p.Write(Frame(true, ws.OpPing, []byte{byte(i)})))
	}
	require.NoError(t, p.Text("behind the pings"))
	p.next()
	pongs, last := 0, -1
	for i := 0; i <= n || last < 99; {
		f, err := p.Next()
		require.NoError(t, err)
		if f.Header.OpCode == ws.OpPong {
			pongs++
			require.Len(t, f.Payload, 1)
			require.Greater(t, int(f.Payload[0]), last, "in order")
			last = int(f.Payload[0])
			continue
		}
		i++
	}
	require.Less(t, pongs, 80)
}

func (s *suite) afterClose(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	p.Close()
	p.ended()
	f := numbered(0, 10)
	p.c.Send(f)
	require.False(t, p.c.Signal(f))
	require.Zero(t, p.c.WriteFrames(f, [][]byte{f}))
	require.Zero(t, p.c.Buffered())
	p.c.Pause()
	p.c.Resume()
	p.c.Close(1000, "")
	p.c.Abort()
	_ = p.c.RemoteAddr()
}
