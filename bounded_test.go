package chat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// full makes rooms full0, full1, … whose newest pages are as large as pages get.
func (h *host) full(rooms int) {
	h.t.Helper()
	for i := range rooms {
		room := h.Room(fmt.Sprint("full", i))
		_, err := room.Create(h.t.Context(), chat.RoomInfo{})
		require.NoError(h.t, err)
		for range 20 {
			_, err := room.Send(h.t.Context(), chat.Message{User: "host", Content: strings.Repeat("漢字", 2000)})
			require.NoError(h.t, err)
		}
	}
}

// Whatever one frame leads to is made as fast as the client reads it, and is
// all there in the end.
func TestOneFrameHoldsOnePage(t *testing.T) {
	const rooms, clients = 16, 6
	frame, _ := json.Marshal(map[string]any{"type": "join", "ref": "all", "rooms": func() (list []any) {
		for i := range rooms {
			list = append(list, map[string]any{"room": fmt.Sprint("full", i), "history": 200})
		}
		return list
	}()})
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{})
		h.full(rooms)
		greedy := make([]*line, clients)
		for i := range greedy {
			say(t, h.Room("r"), 0)
			greedy[i] = h.narrow(fmt.Sprint("greedy", i), 32<<10)
		}
		other := h.dial("other")
		other.Join("r")
		before, commands := heap(), h.Stats().Commands
		for _, l := range greedy {
			require.NoError(t, l.say("%s", frame))
		}
		require.Eventually(t, func() bool { return h.Stats().Commands >= commands+clients }, time.Minute, time.Millisecond)
		for range 100 { // what would be made meanwhile has time to be made
			other.Send("r", "undisturbed")
		}
		require.Less(t, heap()-before, int64(clients*(512<<10)), "a page for each of them, and the session")
		require.Less(t, h.Stats().Commands-commands, int64(100+clients*rooms/2), "the next part waits for the one before")
		for _, l := range greedy {
			for i := 0; i < rooms; {
				_ = l.SetReadDeadline(time.Now().Add(time.Minute))
				p, err := l.hear()
				require.NoError(t, err)
				if !bytes.HasPrefix(p, []byte(`{"type":"joined"`)) {
					continue
				}
				require.LessOrEqual(t, len(p), 256<<10)
				require.True(t, bytes.HasPrefix(p, fmt.Appendf(nil, `{"type":"joined","ref":"all","room":"full%d",`, i)), "%.80s", p)
				i++
			}
		}
	})
}

// What follows a join of many rooms is done after it, and a session that ends
// in the middle of it leaves nothing behind.
func TestJoinOfManyKeepsItsTurn(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{})
		h.full(20)
		say(t, h.Room("r"), 0)
		var list []string
		for i := range 20 {
			list = append(list, fmt.Sprintf(`{"room":"full%d"}`, i))
		}
		join := `{"type":"join","rooms":[` + strings.Join(list, ",") + `]}`
		l := h.narrow("greedy", 32<<10)
		require.NoError(t, l.say("%s", join))
		require.NoError(t, l.say(`{"type":"leave","ref":"after","room":"full19"}`))
		joined := 0
		for {
			_ = l.SetReadDeadline(time.Now().Add(time.Minute))
			p, err := l.hear()
			require.NoError(t, err)
			if bytes.HasPrefix(p, []byte(`{"type":"joined"`)) {
				joined++
			}
			if bytes.Contains(p, []byte(`"ref":"after"`)) {
				require.True(t, bytes.HasPrefix(p, []byte(`{"type":"ack"`)), "%s", p)
				break
			}
		}
		require.Equal(t, 20, joined)

		l = h.narrow("gone", 32<<10)
		require.NoError(t, l.say("%s", join))
		require.Eventually(t, func() bool { return len(online(t, h.Room("full0"))) > 1 }, time.Minute, time.Millisecond)
		_ = l.Conn.(*net.TCPConn).SetLinger(0)
		_ = l.Close()
		require.Eventually(t, func() bool { return !h.User("gone").Online() }, time.Minute, time.Millisecond)
	})
}

func TestJoinOfTheSameRoomTwice(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{})
		say(t, h.Room("r"), 0)
		for frame, field := range map[string]string{
			`{"type":"join","ref":"x","rooms":[{"room":"r"},{"room":"q"},{"room":"r","history":3}]}`:                                          "rooms[2].room",
			`{"type":"join","ref":"x","rooms":[{"user":"bob"},{"user":"bob"}]}`:                                                               "rooms[1].user",
			fmt.Sprintf(`{"type":"join","ref":"x","rooms":[{"room":"%s","after":1,"epoch":"e"},{"user":"bob"}]}`, chat.DirectID("me", "bob")): "rooms[1].user",
		} {
			l := h.narrow("me", 32<<10)
			require.NoError(t, l.say("%s", frame))
			for {
				p, err := l.hear()
				require.NoError(t, err)
				require.False(t, bytes.HasPrefix(p, []byte(`{"type":"joined"`)), "%s", p)
				if bytes.HasPrefix(p, []byte(`{"type":"error"`)) {
					require.Contains(t, string(p), `"ref":"x"`)
					require.Contains(t, string(p), `"code":"invalid"`)
					require.Contains(t, string(p), fmt.Sprintf(`"field":%q`, field))
					break
				}
			}
			_ = l.Close()
		}
	})
}

// hungryStore notes how much one page that it is asked for holds.
type hungryStore struct {
	chat.Store
	largest atomic.Int64
}

func (s *hungryStore) note(list []chat.Message) {
	n := 0
	for i := range list {
		n += len(list[i].Content)
	}
	for {
		was := s.largest.Load()
		if int64(n) <= was || s.largest.CompareAndSwap(was, int64(n)) {
			return
		}
	}
}

func (s *hungryStore) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	p, err := s.Store.History(ctx, room, q)
	s.note(p.Messages)
	return p, err
}

func (s *hungryStore) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	p, err := s.Store.Changes(ctx, room, after, limit)
	var list []chat.Message
	for _, e := range p.Entries {
		if e.Message != nil {
			list = append(list, *e.Message)
		}
	}
	s.note(list)
	return p, err
}

// What goes out is a page, and not much more is read for it; small messages
// come as many as are asked for.
func TestWhatIsReadForAPageIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hungryStore{Store: memory.New()}
		srv := chattest.New(t, &chat.Options{Store: store})
		ctx := t.Context()
		for _, id := range []string{"large", "small"} {
			_, err := srv.Room(id).Create(ctx, chat.RoomInfo{})
			require.NoError(t, err)
			for i := range 210 {
				content := fmt.Sprint("message ", i)
				if id == "large" {
					content = strings.Repeat("漢", 4000)
				}
				_, err := srv.Room(id).Send(ctx, chat.Message{User: "host", Content: content})
				require.NoError(t, err)
			}
		}
		alice := srv.Dial("alice")
		joined := alice.Call(map[string]any{"type": "join", "room": "large", "history": 200})
		require.LessOrEqual(t, store.largest.Load(), int64(64*12000), "not known yet")
		store.largest.Store(0)
		for _, frame := range []map[string]any{
			{"type": "join", "room": "large", "history": 200},
			{"type": "history", "room": "large", "limit": 200},
			{"type": "history", "room": "large", "before": 150, "limit": 200},
			{"type": "history", "room": "large", "after": 50, "limit": 200},
			{"type": "history", "room": "large", "around": 100, "limit": 200},
			{"type": "join", "room": "large", "after": joined.Head - 150, "epoch": joined.Epoch},
			{"type": "join", "room": "large", "after": 1, "epoch": "gone"},
		} {
			ev := alice.Call(frame)
			require.NotEqual(t, "error", ev.Type, "%s", ev.Raw)
			synctest.Wait()
			require.LessOrEqual(t, store.largest.Load(), int64(400<<10), "%v", frame)
		}
		got := 0
		for _, ev := range alice.Drain() {
			if ev.Type == "message" {
				got++
			}
		}
		require.Equal(t, 150, got, "the resume is whole")
		for range 2 {
			for _, frame := range []map[string]any{
				{"type": "join", "room": "small", "history": 200},
				{"type": "history", "room": "small", "limit": 200},
				{"type": "history", "room": "small", "before": 211, "limit": 200},
				{"type": "history", "room": "small", "around": 1, "limit": 200},
				{"type": "history", "room": "small", "after": 5, "limit": 200},
			} {
				ev := alice.Call(frame)
				require.Len(t, ev.Messages, 200, "%v", frame)
				for i, m := range ev.Messages {
					require.Equal(t, ev.Messages[0].Seq+int64(i), m.Seq)
				}
			}
		}
	})
}
