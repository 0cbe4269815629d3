package transport_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
	"github.com/gabblehq/chat/transport/transporttest"
)

// mostPerTurn is how many bytes of a connection are read before others have a turn.
const mostPerTurn = 64 << 10

// echo answers what it gets.
type echo struct{ quiet }

func (echo) Message(c *transport.Conn, payload []byte, _ bool) {
	c.Send(transport.AppendFrame(nil, ws.OpText, payload))
}

// spout is written to without pause, as a large room's member.
type spout struct {
	quiet
	ready, closed chan struct{}
	conn          chan *transport.Conn
}

func (s *spout) Writable(*transport.Conn) {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
func (s *spout) Closed(*transport.Conn, uint16, error) { close(s.closed) }

func (s *spout) run(c *transport.Conn) {
	frame := transport.AppendFrame(nil, ws.OpText, make([]byte, 128))
	frames := slices.Repeat([][]byte{frame}, 64)
	joined := bytes.Repeat(frame, len(frames))
	for {
		for c.WriteFrames(joined, frames) == len(frames) {
		}
		select {
		case <-s.ready:
		case <-s.closed:
			return
		}
	}
}

// TestFloodsDelayNobody: one loop serves a connection that sends as fast as it can,
// another that is written to without pause, and a third in between, whose echo comes
// in time.
func TestFloodsDelayNobody(t *testing.T) {
	frame := func(op ws.OpCode, size int) []byte { return transporttest.Frame(true, op, make([]byte, size)) }
	for name, flood := range map[string][]byte{
		"pings":          frame(ws.OpPing, 0),
		"small messages": frame(ws.OpText, 8),
		"pipelines":      bytes.Repeat(frame(ws.OpText, 8), 32<<10),
		"large messages": frame(ws.OpBinary, 64<<10),
	} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			defer wg.Wait()
			flooded := &spout{ready: make(chan struct{}, 1), closed: make(chan struct{}), conn: make(chan *transport.Conn, 1)}
			tr, dial := open(t, transport.Options{Loops: 1}, listenTCP, serveRaw, byPath(flooded))
			calm := visit(t, dial, "/echo")
			defer calm.Close()
			alone := echoTime(t, calm)

			sink := visit(t, dial, "/spout")
			defer sink.Close()
			wg.Go(func() { _, _ = io.Copy(io.Discard, sink.Conn) })
			wg.Go(func() { flooded.run(<-flooded.conn) })
			stop := make(chan struct{})
			defer close(stop)
			wg.Go(func() { pour(dial, flood, stop) })
			before := tr.Stats()
			require.Eventually(t, func() bool {
				now := tr.Stats()
				return now.BytesIn-before.BytesIn > 1<<10 && now.BytesOut-before.BytesOut > 1<<20
			}, patience, time.Millisecond, "the floods have begun")
			crowded := echoTime(t, calm)
			require.Less(t, crowded, max(500*time.Millisecond, 50*alone), "alone it took %v", alone)
			t.Logf("alone %v, beside the floods %v", alone, crowded)
		})
	}
}

// byPath grants each path its Handler.
func byPath(flooded *spout) transport.AcceptFunc {
	return func(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		return transport.Upgrade{}, func(c *transport.Conn) transport.Handler {
			switch r.URL.Path {
			case "/echo":
				return echo{}
			case "/spout":
				flooded.conn <- c
				return flooded
			}
			return quiet{}
		}, nil
	}
}

func visit(t testing.TB, dial func() (net.Conn, error), path string) *transporttest.Client {
	t.Helper()
	conn, err := dial()
	require.NoError(t, err)
	c, err := transporttest.Handshake(conn, transporttest.Request(path))
	require.NoError(t, err)
	return c
}

// echoTime is the median of a few echoes.
func echoTime(t *testing.T, c *transporttest.Client) time.Duration {
	t.Helper()
	took := make([]time.Duration, 51)
	for i := range took {
		start := time.Now()
		require.NoError(t, c.Text("still there?"))
		_, err := c.NextMessage()
		require.NoError(t, err)
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// pour sends until it is stopped, and comes back when it is cut off for what it does.
func pour(dial func() (net.Conn, error), flood []byte, stop <-chan struct{}) {
	for {
		conn, err := dial()
		if err != nil {
			return
		}
		over := make(chan struct{})
		watched := make(chan struct{})
		go func() { // what is never read would end the flood by itself
			defer close(watched)
			_, _ = io.Copy(io.Discard, conn)
		}()
		go func() {
			select {
			case <-stop:
			case <-over:
			}
			_ = conn.Close()
		}()
		_, err = conn.Write(transporttest.Request("/"))
		for err == nil {
			_, err = conn.Write(flood)
		}
		close(over)
		<-watched
		select {
		case <-stop:
			return
		default:
		}
	}
}

// steps notes in which order the Handlers of a loop are called.
type steps struct {
	mu  sync.Mutex
	log []byte
	out chan struct{}
}

func (s *steps) note(who byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, who)
	s.out <- struct{}{}
}

type walker struct {
	quiet
	steps *steps
	who   byte
}

func (w walker) Message(*transport.Conn, []byte, bool) { w.steps.note(w.who) }

// gate keeps its loop from going on, which a Handler should not do.
type gate struct {
	quiet
	in, open chan struct{}
}

func (g gate) Message(*transport.Conn, []byte, bool) {
	close(g.in)
	<-g.open
}

// TestTurns: however much a connection has sent, one read of it is handled, and then
// everybody else who has sent something comes.
func TestTurns(t *testing.T) {
	const (
		others = 20
		size   = 1000
		sent   = 160 // messages of that size, more than two turns, in the kernel's buffers
	)
	s := &steps{out: make(chan struct{}, 2*sent)}
	g := gate{in: make(chan struct{}), open: make(chan struct{})}
	letGo := sync.OnceFunc(func() { close(g.open) })
	defer letGo()
	accept := func(r *http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
		return transport.Upgrade{}, func(*transport.Conn) transport.Handler {
			if r.URL.Path == "/gate" {
				return g
			}
			return walker{steps: s, who: r.URL.Path[1]}
		}, nil
	}
	// What a Unix socket's peer has written is there to be read when the write returns.
	_, dial := open(t, transport.Options{Loops: 1}, listenUnix, serveRaw, accept)
	visitors := []*transporttest.Client{visit(t, dial, "/gate"), visit(t, dial, "/flood")}
	for range others {
		visitors = append(visitors, visit(t, dial, "/other"))
	}
	for _, v := range visitors {
		defer v.Close()
	}
	for _, v := range visitors[1:] { // by now the loop watches them all
		require.NoError(t, v.Text("hello"))
		transporttest.Wait(t, s.out, "message")
	}
	require.NoError(t, visitors[0].Text("stop"))
	transporttest.Wait(t, g.in, "message")
	s.log = nil

	messages := bytes.Repeat(transporttest.Frame(true, ws.OpText, make([]byte, size)), sent)
	for p := range slices.Chunk(messages, 16<<10) {
		require.NoError(t, visitors[1].Write(p))
	}
	for _, v := range visitors[2:] {
		require.NoError(t, v.Text("me too"))
	}
	letGo()
	for range sent + others {
		transporttest.Wait(t, s.out, "message")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := bytes.Count(s.log[:bytes.LastIndexByte(s.log, 'o')], []byte("f"))
	require.LessOrEqual(t, first, mostPerTurn/size, "before all others had their turn")
	require.NotZero(t, first, "it came first, and was made to wait")
	require.Equal(t, sent, bytes.Count(s.log, []byte("f")))
}
