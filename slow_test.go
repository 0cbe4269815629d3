package chat_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// heap returns the bytes in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// number reads a field of a frame without decoding it: a million of them must
// not cost more than they have to.
func number(frame []byte, field string) int64 {
	_, rest, _ := bytes.Cut(frame, []byte(`"`+field+`":`))
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(rest[:end]), 10, 64)
	return n
}

// narrow connects a client whose kernel takes no more than about so much, and
// joins r.
func (h *host) narrow(user string, buffer int) *line {
	h.t.Helper()
	conn := h.conn()
	h.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(h.t, conn.(*net.TCPConn).SetReadBuffer(buffer))
	l, err := h.upgrade(conn, user)
	require.NoError(h.t, err)
	require.NoError(h.t, l.say(`{"type":"join","room":"r","history":0}`))
	for {
		p, err := l.hear()
		require.NoError(h.t, err)
		if bytes.HasPrefix(p, []byte(`{"type":"joined"`)) {
			return l
		}
	}
}

// neverReads sends n messages through a room in which one client does not read
// and another does, and then has the first one read.
func neverReads(t *testing.T, entrance string, n int) {
	const warm = 4000
	h := listen(t, entrance, chat.Options{
		Store:  memory.NewWith(memory.Options{MaxMessages: 500}),
		Limits: chat.Limits{Stall: time.Hour, Dead: 2 * time.Hour},
	})
	room := h.Room("r")
	say(t, room, 1)
	slow, fast := h.narrow("slow", 32<<10), h.narrow("fast", 1<<20)
	content := strings.Repeat("words ", 30)
	seq := int64(1)
	through := func(n int) {
		// The writer is at most so many ahead of the one who reads.
		ahead := make(chan struct{}, 200)
		go func() {
			for range n {
				ahead <- struct{}{}
				if _, err := room.Send(context.Background(), chat.Message{User: "host", Content: content}); err != nil {
					t.Errorf("send: %v", err)
					return
				}
			}
		}()
		for done := 0; done < n; {
			_ = fast.SetReadDeadline(time.Now().Add(time.Minute))
			p, err := fast.hear()
			require.NoError(t, err, "the one who reads waits for the one who does not")
			if bytes.HasPrefix(p, []byte(`{"type":"message"`)) {
				seq++
				require.Equal(t, seq, number(p, "seq"))
				<-ahead
				done++
			}
		}
	}
	through(warm) // rings and store are full from here on
	before := heap()
	through(n)
	require.Less(t, heap()-before, int64(4<<20), "the server grows for a client that does not read")

	last, head, resets := int64(2), headOf(t, room), 0
	for last < head.Rev {
		_ = slow.SetReadDeadline(time.Now().Add(time.Minute))
		p, err := slow.hear()
		require.NoError(t, err)
		switch {
		case bytes.HasPrefix(p, []byte(`{"type":"message"`)):
			require.Equal(t, last+1, number(p, "rev"))
			last++
		case bytes.HasPrefix(p, []byte(`{"type":"reset"`)):
			last = number(p, "head")
			resets++
		}
	}
	require.Positive(t, resets, "what was skipped was said")
}

func TestClientThatNeverReadsCostsNothing(t *testing.T) {
	n := 20_000
	if os.Getenv("GABBLE_SOAK") != "" { // make test-full
		n = 1_000_000
	}
	eachEntrance(t, func(t *testing.T, entrance string) { neverReads(t, entrance, n) })
}

// A client that stood still for a while gets all it has missed, in order.
func TestSlowClientIsServedWhenItReadsAgain(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{Limits: chat.Limits{RingFrames: 8}})
		room := h.Room("r")
		say(t, room, 1)
		slow := h.narrow("slow", 32<<10)
		const n = 900 // within Limits.Resume, beyond what the kernel holds
		for range n {
			_, err := room.Send(t.Context(), chat.Message{User: "host", Content: strings.Repeat("slow ", 400)})
			require.NoError(t, err)
		}
		for rev := int64(3); rev <= n+2; {
			_ = slow.SetReadDeadline(time.Now().Add(time.Minute))
			p, err := slow.hear()
			require.NoError(t, err)
			require.NotContains(t, string(p[:20]), "reset")
			if bytes.HasPrefix(p, []byte(`{"type":"message"`)) {
				require.Equal(t, rev, number(p, "rev"))
				rev++
			}
		}
		p, err := slow.hear()
		require.NoError(t, err)
		require.Contains(t, string(p), `"synced"`)
		require.EqualValues(t, n+2, number(p, "rev"))
	})
}

// What the kernel holds for a client that does not read is memory too, and keeps
// the server from seeing that it lags.
func TestKernelHidesNoSlowReader(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{})
		say(t, h.Room("r"), 1)
		h.narrow("slow", 32<<10)
		for range 900 {
			_, err := h.Room("r").Send(t.Context(), chat.Message{User: "host", Content: strings.Repeat("slow ", 400)})
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool { return h.Stats().Refused > 0 }, time.Minute, time.Millisecond)
		require.Less(t, h.Stats().BytesOut, int64(512<<10))
	})
}

// A client that asks and does not read the answers is no longer read from.
func TestClientThatSendsWithoutReadingIsPausedNotGrown(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{})
		for range 50 {
			say(t, h.Room("r"), 0)
			_, err := h.Room("r").Send(t.Context(), chat.Message{User: "host", Content: strings.Repeat("long ", 400)})
			require.NoError(t, err)
		}
		greedy := h.narrow("greedy", 32<<10)
		require.NoError(t, greedy.Conn.(*net.TCPConn).SetWriteBuffer(32<<10))
		before := heap()
		_ = greedy.SetWriteDeadline(time.Now().Add(2 * time.Second))
		asked := 0
		for ; asked < 1<<20; asked++ { // an answer is 100 KiB: all of them would be 100 GiB
			err := greedy.say(`{"type":"history","ref":"%06d","room":"r","pad":%q}`, asked, strings.Repeat("-", 2000))
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				break
			}
		}
		require.Less(t, asked, 1<<20)
		require.Less(t, heap()-before, int64(8<<20))
		other := h.dial("other")
		other.Join("r")
		other.Send("r", "undisturbed")
		for i := 0; i < asked; { // it reads at last, and nothing is missing
			_ = greedy.SetReadDeadline(time.Now().Add(time.Minute))
			p, err := greedy.hear()
			require.NoError(t, err, "after %d of %d answers", i, asked)
			if bytes.HasPrefix(p, []byte(`{"type":"history"`)) {
				require.True(t, bytes.HasPrefix(p, fmt.Appendf(nil, `{"type":"history","ref":"%06d"`, i)))
				i++
			}
		}
	})
}

func TestStalledClientIsClosedWith4001(t *testing.T) {
	o := chat.Options{Limits: chat.Limits{Stall: time.Second}}
	flood := func(t *testing.T, room *chat.Room) {
		for range 500 {
			_, err := room.Send(t.Context(), chat.Message{User: "host", Content: strings.Repeat("flood ", 600)})
			require.NoError(t, err)
		}
	}
	// The close frame waits behind the frame that was begun, so that only who
	// reads in the end gets it.
	closing := func(t *testing.T, l *line) error {
		for {
			_ = l.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := l.hear(); err != nil {
				return err
			}
		}
	}
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, o)
		say(t, h.Room("r"), 1)
		stalled := h.narrow("stalled", 32<<10)
		flood(t, h.Room("r"))
		require.Eventually(t, func() bool { return !h.User("stalled").Online() }, time.Minute, 10*time.Millisecond, "is cut in the end")
		h.narrow("another", 1<<20) // the server goes on
		_ = stalled.Close()
	})
	t.Run("said to who reads in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := chattest.New(t, &o)
			h := &host{srv.Server, t, "chat.test"}
			say(t, srv.Room("r"), 1)
			conn, err := srv.DialContext(t.Context(), "", "")
			require.NoError(t, err)
			defer conn.Close()
			l, err := h.upgrade(conn, "stalled")
			require.NoError(t, err)
			require.NoError(t, l.say(`{"type":"join","room":"r"}`))
			_, err = l.hear()
			require.NoError(t, err)
			flood(t, srv.Room("r"))
			time.Sleep(1500 * time.Millisecond)
			require.True(t, errors.Is(closing(t, l), closedBy(4001)))
		})
	})
}
