package transport

import (
	"bytes"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// owned is a Handler whose connections belong to somebody.
type owned struct {
	collector
	name string
}

func (h *owned) Account() string { return h.name }

// bomber is a connection that feeds n messages of size bytes, compressed, as an engine
// with a goroutine of its own would.
func bomber(t *testing.T, tr *Transport, name string, size, n int) (h *owned, run func()) {
	c := tr.newConn(0)
	h = &owned{name: name}
	c.h = h
	c.net = newNetConn(c, hostConn{nil, tr})
	c.set(isBroken | isDeflating)
	c.end = &ending{}
	frame := packedFrame(true, ws.OpBinary, deflated(t, make([]byte, size), 9))
	return h, func() {
		for range n {
			for rest := c.feed(bytes.Clone(frame)); c.hasJob(); rest = c.feed(rest) {
				c.awaitResume()
			}
		}
	}
}

// TestInflateBudget: an account has so much inflated in a second, by however many
// connections, and what it wants beyond delays nobody else.
func TestInflateBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bomb = 64 << 10 // of which an account has two in a second
		tr, err := New(Options{Deflate: true, Loops: 1, MaxMessage: bomb / 16, SkipMessage: bomb})
		require.NoError(t, err)
		start := time.Now()
		var wg sync.WaitGroup
		var greedy []*owned
		for range 20 {
			h, run := bomber(t, tr, "greedy", bomb, 2)
			greedy = append(greedy, h)
			wg.Go(run)
		}
		synctest.Wait()
		inflated := 0
		for _, h := range greedy {
			inflated += len(h.large)
		}
		require.Equal(t, 5, inflated, "two seconds' worth at once, and one begun")

		for _, name := range []string{"modest", ""} {
			modest, run := bomber(t, tr, name, bomb, 4)
			run()
			require.Len(t, modest.large, 4)
			require.Zero(t, time.Since(start), "who has budget waits for nobody's")
		}
		wg.Wait()
		// 40 of them, of which four come at once and the last is begun before it is paid for.
		require.InDelta(t, 17.5, time.Since(start).Seconds(), 0.5+40*payEvery.Seconds())
		for _, h := range greedy {
			require.Len(t, h.large, 2)
		}
		require.Zero(t, tr.Stats().Partial)
		time.Sleep(budgetBurst + time.Second)
		tr.inflation.mu.Lock()
		require.Empty(t, tr.inflation.accounts, "accounts that have paid are forgotten")
		tr.inflation.mu.Unlock()
		require.NoError(t, tr.Close())
	})
}

// TestInflateWithinLimits: what the limits allow an honest client does not wait.
func TestInflateWithinLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := New(Options{Deflate: true, Loops: 1})
		require.NoError(t, err)
		start := time.Now()
		h, run := bomber(t, tr, "honest", 64<<10, 1)
		for range 100 {
			run()
			time.Sleep(100 * time.Millisecond)
		}
		require.Len(t, h.messages, 100)
		require.Equal(t, 10*time.Second, time.Since(start))
		require.NoError(t, tr.Close())
	})
}

// TestInflateClosedInBetween: a connection that is closed while its message waits for
// budget gets no message any more, and leaves nothing.
func TestInflateClosedInBetween(t *testing.T) {
	tr, err := New(Options{Deflate: true, Loops: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, tr.Close()) }()
	h, run := bomber(t, tr, "a", 1<<20, 5)
	run()
	c := tr.newConn(0)
	late := &owned{name: "a"}
	c.h, c.end = late, &ending{}
	c.set(isBroken | isDeflating)
	require.Empty(t, c.feed(packedFrame(true, ws.OpBinary, deflated(t, make([]byte, 1<<20), 9))))
	require.True(t, c.is(isInflating))
	c.settle()
	require.NotZero(t, tr.Stats().Partial)
	c.mu.Lock()
	c.set(isClosing)
	c.unpause(isPaused | isInflating)
	c.mu.Unlock()
	c.feed(clientFrame(true, ws.OpBinary, []byte("x"), [4]byte{}))
	require.Empty(t, late.messages)
	require.Empty(t, late.large)
	require.Zero(t, tr.Stats().Partial)
	require.Len(t, h.large, 5)
}
