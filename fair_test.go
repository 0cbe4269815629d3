package chat_test

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// smallRoom is a room in which one person talks to another.
type smallRoom struct {
	id       string
	from, to *chattest.Client
}

// pace is the median time of a message from one to the other.
func (r smallRoom) pace() time.Duration {
	took := make([]time.Duration, 11)
	for i := range took {
		start := time.Now()
		r.from.Do(map[string]any{"type": "message", "room": r.id, "content": "still there?"})
		r.to.Expect("message")
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// TestBusyRoomDelaysNoSmallOne: while a room of five hundred is sent messages without
// pause, on all event loops and all lanes, two people elsewhere talk to each other.
func TestBusyRoomDelaysNoSmallOne(t *testing.T) {
	const members = 500
	s := doorways[2].open(t, chat.Options{})
	var wg sync.WaitGroup
	defer wg.Wait()
	crowd := make([]*line, members)
	for i := range crowd {
		h := &host{s.Server, t, s.addr}
		l, err := h.upgrade(h.conn(), fmt.Sprint("m", i))
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		require.NoError(t, l.say(`{"type":"join","room":"busy","history":0}`))
		crowd[i] = l
	}
	for _, l := range crowd {
		for {
			ev, err := l.event()
			require.NoError(t, err)
			if ev.Type == "joined" {
				break
			}
		}
	}
	small := make([]smallRoom, 3)
	for i := range small {
		r := smallRoom{fmt.Sprint("small", i), s.dial(fmt.Sprint("a", i)), s.dial(fmt.Sprint("b", i))}
		r.from.Join(r.id)
		r.to.Join(r.id)
		small[i] = r
	}
	alone := small[0].pace()

	for _, l := range crowd {
		wg.Go(func() { _, _ = io.Copy(io.Discard, l.Conn) })
	}
	stop := make(chan struct{})
	defer close(stop)
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Room("busy").Send(t.Context(), chat.Message{User: "host", Content: "news for everybody"}); err != nil {
				return
			}
		}
	})
	before := s.Stats().Delivered
	require.Eventually(t, func() bool { return s.Stats().Delivered > before+10*members }, time.Minute, time.Millisecond)
	for _, r := range small {
		crowded := r.pace()
		t.Logf("alone %v, beside the busy room %v", alone, crowded)
		require.Less(t, crowded, max(2*time.Second, 50*alone), "alone it took %v", alone)
	}
	t.Logf("%d delivered", s.Stats().Delivered-before)
}
