package chat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// crowd opens n connections that never say who they are, and sends each of
// them what it should send.
func (s *venue) crowd(n int, send []byte) []net.Conn {
	s.t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = s.conn()
		require.Equal(s.t, http.StatusSwitchingProtocols, s.handshake(conns[i]).StatusCode)
		_, err := conns[i].Write(send)
		require.NoError(s.t, err)
	}
	return conns
}

func TestLyingLengthsReserveNothing(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{})
		pair := s.talk()
		pair.goesOn()
		before := measure()
		t.Run("bombs", func(t *testing.T) {
			s.in(t).crowd(1000, bombHeader(0x81, 64<<10)) // as large as is allowed, and nothing follows
			pair.goesOn()
			require.Less(t, measure().heap, before.heap+48<<20, "both ends and net/http's part of them included")
			for i, c := range s.in(t).crowd(300, bombHeader(0x81, 1<<62-1)) {
				f, err := ws.ReadFrame(c)
				require.NoError(t, err, i)
				code, _ := ws.ParseCloseFrameData(f.Payload)
				require.EqualValues(t, 1009, code)
			}
			require.Less(t, measure().heap, before.heap+64<<20)
			pair.goesOn()
		})
		pair.goesOn()
		before.back(t, 8<<20)
	})
}

func TestHalfFramesDelayNobody(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		n := 2000
		if d.engine == "goroutine" {
			n = 400 // a goroutine each is what that engine is
		}
		s := d.open(t, chat.Options{Limits: chat.Limits{AuthTimeout: time.Hour}})
		pair := s.talk()
		quiet := pair.pace()
		before := measure()
		t.Run("halves", func(t *testing.T) {
			half := maskedFrame(ws.OpText, true, []byte(`{"type":"ping","ref":"`+strings.Repeat("x", 40)+`"}`))
			conns := s.in(t).crowd(n, half[:len(half)-3])
			require.Eventually(t, func() bool { return s.Stats().Connections == n+2 }, time.Minute, time.Millisecond)
			busy := pair.pace()
			t.Logf("quiet %v, beside the halves %v", quiet, busy)
			// Who waited for a frame to be finished would wait for as long as it may take.
			require.Less(t, busy, 2*time.Second, "quiet: %v", quiet)
			for _, c := range conns[:50] {
				_, err := c.Write(half[len(half)-3:])
				require.NoError(t, err)
				f, err := ws.ReadFrame(c)
				require.NoError(t, err)
				require.Contains(t, string(f.Payload), "pong", "the other half makes it whole")
			}
		})
		pair.goesOn()
		before.back(t, 16<<20)
		require.Eventually(t, func() bool { return s.Stats().Connections == 2 }, time.Minute, time.Millisecond)
	})
}

func TestLimitsAreHeldAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Limits: chat.Limits{Content: 5, Meta: 20, Rooms: 2, History: 3, MaxHistory: 4, MessageBytes: 2000}})
		alice := srv.Dial("")
		welcome := alice.Call(map[string]any{"type": "auth", "token": "alice"})
		require.Equal(t, "welcome", welcome.Type)
		for _, part := range []string{`"content":5`, `"meta_bytes":20`, `"rooms":2`, `"history":4`, `"message_bytes":2000`} {
			require.Contains(t, string(welcome.Raw), part)
		}
		alice.Join("r1")
		refused := func(field string, cmd map[string]any) {
			t.Helper()
			ev := alice.Call(cmd)
			require.Equal(t, chat.CodeTooLarge, ev.Code, "%s", ev.Raw)
			require.Equal(t, field, ev.Field, "%s", ev.Raw)
		}
		message := func(content string, meta string) map[string]any {
			return map[string]any{"type": "message", "room": "r1", "content": content, "meta": json.RawMessage(meta)}
		}
		m := alice.Call(message("日本語éé", `{"k": "1234567890"}`))
		require.Equal(t, "ack", m.Type, "characters count, not bytes, and not the white space of meta: %s", m.Raw)
		refused("content", message("123456", `{}`))
		refused("meta", message("12345", `{"k":"12345678901234"}`))
		refused("content", map[string]any{"type": "edit", "room": "r1", "id": m.ID, "content": "123456"})
		alice.Join("r2")
		refused("room", map[string]any{"type": "join", "room": "r3"})
		require.Empty(t, online(t, srv.Room("r3")))
		alice.Join("r1") // again is no third
		alice.Leave("r2")
		alice.Join("r3")
		for range 9 {
			alice.Send("r1", "x")
		}
		page := func(cmd map[string]any) chattest.Event {
			cmd["room"], cmd["type"] = "r1", "history"
			return alice.Call(cmd)
		}
		require.Len(t, page(map[string]any{}).Messages, 3)
		require.Len(t, page(map[string]any{"limit": 2}).Messages, 2)
		require.Len(t, page(map[string]any{"limit": 200}).Messages, 4)
		require.Len(t, alice.Call(map[string]any{"type": "join", "room": "r1", "history": 200}).Messages, 4)
		require.True(t, page(map[string]any{"limit": 4}).More)

		_, err := srv.Room("r1").Send(t.Context(), chat.Message{User: "bot", Content: "123456"})
		require.ErrorIs(t, err, chat.ErrTooLarge, "the host's messages as well")
		_, err = srv.Room("r1").Send(t.Context(), chat.Message{User: "bot", Content: "x", Meta: json.RawMessage(`{"k":"12345678901234"}`)})
		require.ErrorIs(t, err, chat.ErrTooLarge)
	})
}

func TestMetaLimitOfTheHostHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &chat.Options{Store: memory.New(), Authenticate: chattest.TokenIsUser, Limits: chat.Limits{Meta: 8 << 10}}
		if srv, err := chat.New(o); err != nil {
			require.ErrorContains(t, err, "Limits.Meta")
			return
		} else {
			require.NoError(t, srv.Close())
		}
		srv := chattest.New(t, o)
		alice := srv.Dial("alice")
		alice.Join("r")
		ev := alice.Call(map[string]any{"type": "message", "room": "r", "content": "x", "meta": map[string]string{"k": strings.Repeat("x", 6<<10)}})
		require.Equal(t, "ack", ev.Type, "New took a limit of 8 KiB and welcome promises it: %s", ev.Raw)
	})
}

func TestPagesHoldTheirBytes(t *testing.T) {
	for name, fill := range map[string]func(m *chat.Message){
		"content": func(m *chat.Message) { m.Content = strings.Repeat("x", 3000) },
		"escaped": func(m *chat.Message) { m.Content = "x" + strings.Repeat("\x01", 3000) },
		"attachments": func(m *chat.Message) {
			for i := range 8 {
				m.Attachments = append(m.Attachments, chat.Attachment{URL: fmt.Sprint("https://files.example/", i, "/", strings.Repeat("u", 1900))})
			}
		},
		"mentions": func(m *chat.Message) {
			for i := range 50 {
				m.Mentions = append(m.Mentions, fmt.Sprint("user", i, strings.Repeat("m", 110)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := chattest.New(t, &chat.Options{Limits: chat.Limits{PageBytes: 64 << 10}})
				alice := srv.Dial("alice")
				alice.Join("r")
				for range 40 {
					m := chat.Message{User: "bot", Content: "x"}
					fill(&m)
					_, err := srv.Room("r").Send(t.Context(), m)
					require.NoError(t, err)
				}
				page := alice.Call(map[string]any{"type": "history", "room": "r", "limit": 100})
				require.Equal(t, "history", page.Type, "%s", page.Raw)
				require.Less(t, len(page.Raw), 96<<10, "about 64 KiB were allowed")
				require.True(t, page.More)
				require.EqualValues(t, 40, page.Messages[len(page.Messages)-1].Seq, "what gives way is on the far side")
				seen := len(page.Messages)
				for page.More {
					page = alice.Call(map[string]any{"type": "history", "room": "r", "limit": 100, "before": page.Messages[0].Seq})
					require.NotEmpty(t, page.Messages)
					seen += len(page.Messages)
				}
				require.Equal(t, 40, seen, "going by more leads through all of them")
			})
		})
	}
}

// countingLister counts how often rooms are listed.
type countingLister struct {
	*memory.Store
	calls int
}

func (s *countingLister) ListRooms(ctx context.Context, prefix, after string, limit int) ([]chat.RoomSummary, bool, error) {
	s.calls++
	return s.Store.ListRooms(ctx, prefix, after, limit)
}

func TestRoomListReadsInBulk(t *testing.T) {
	store := &countingLister{Store: memory.New()}
	srv := chattest.New(t, &chat.Options{Store: store})
	for i := range 300 {
		_, err := srv.Direct("bob", fmt.Sprint("friend", i)).Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
	}
	alice := srv.Dial("alice")
	ev := alice.Call(map[string]any{"type": "rooms", "limit": 1})
	require.Equal(t, "rooms", ev.Type)
	require.False(t, ev.More)
	require.Less(t, store.calls, 30, "a client that asks for one room must not cost a read for each room of others")
}

func TestCapHoldsAgainstThoseWhoDoNotGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Limits: chat.Limits{Sessions: 2}})
		for range 8 { // in one burst, and nobody answers the close frame
			c, err := srv.DialContext(t.Context(), "", "")
			require.NoError(t, err)
			defer func() { _ = c.Close() }()
			br, _, err := ws.Dialer{Header: ws.HandshakeHeaderHTTP(bearer("alice"))}.Upgrade(c, &url.URL{Scheme: "ws", Host: "chat.test", Path: "/chat/ws"})
			require.NoError(t, err)
			require.Nil(t, br)
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		time.Sleep(10 * time.Second)
		require.Len(t, srv.User("alice").Sessions(), 2)
	})
}

func TestRefreshesDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authenticate: passwords})
		alice := srv.Dial("alice+100h")
		refresh := func(n int) uint64 {
			for range n {
				alice.Call(map[string]any{"type": "auth", "token": "alice+100h"})
			}
			time.Sleep(5 * time.Minute) // what looks every minute has looked
			alice.Drain()
			return measure().heap
		}
		before := refresh(500)
		require.Less(t, refresh(10_000), before+100_000, "a session has one alarm, however often its token was refreshed")
	})
}
