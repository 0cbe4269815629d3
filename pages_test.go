package chat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
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

const pageBytes = 256 << 10

// get is the body of a REST answer.
func get(t *testing.T, srv *chattest.Server, user, path string) []byte {
	t.Helper()
	resp, err := srv.HTTP(user).Get("http://chat.test/chat" + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return body
}

// large is the largest message that a client may send, about.
func large(user string) chat.Message {
	m := chat.Message{User: user, Content: strings.Repeat("漢", 4000), Meta: json.RawMessage(`{"a":"` + strings.Repeat("x", 4000) + `"}`)}
	for range 10 {
		m.Attachments = append(m.Attachments, chat.Attachment{URL: "/" + strings.Repeat("a", 1000), Meta: m.Meta})
	}
	return m
}

// Every page of every command is bounded in bytes, on both ways, and nothing is
// lost by it.
func TestEveryPageIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := func(id string) chat.User {
			return chat.User{ID: id, Name: id + strings.Repeat("ñ", 200), Avatar: "/" + strings.Repeat("a", 2000)}
		}
		srv := chattest.New(t, &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
			u, err := chattest.TokenIsUser(r)
			return named(u.ID), err
		}, Users: func(_ context.Context, ids []string) (list []chat.User, _ error) {
			for _, id := range ids {
				list = append(list, named(id))
			}
			return list, nil
		}})
		for i := range 120 {
			room := srv.Room(fmt.Sprintf("room%03d", i))
			_, err := room.Create(t.Context(), chat.RoomInfo{Title: "t", Topic: strings.Repeat("x", 1000), Meta: json.RawMessage(`{"a":"` + strings.Repeat("x", 4000) + `"}`)})
			require.NoError(t, err)
			_, err = room.Send(t.Context(), large("host"))
			require.NoError(t, err)
		}
		full := srv.Room("room000")
		for range 30 {
			_, err := full.Send(t.Context(), large("host"))
			require.NoError(t, err)
		}
		for i := range 190 {
			srv.Dial(fmt.Sprintf("user%03d", i)).Join("room001")
		}
		alice := srv.Dial("alice")
		check := func(raw []byte) []byte {
			t.Helper()
			require.LessOrEqual(t, len(raw), pageBytes)
			return raw
		}
		for _, room := range []string{"room000", "room001"} {
			joined := alice.Call(map[string]any{"type": "join", "room": room, "history": 200})
			check(joined.Raw)
			require.NotEmpty(t, joined.Messages)
			require.NotEmpty(t, joined.Users)
		}
		alice.Drain()

		// Rooms, on both ways.
		for name, page := range map[string]func(cursor string) []byte{
			"websocket": func(cursor string) []byte {
				return alice.Call(map[string]any{"type": "rooms", "limit": 200, "cursor": cursor}).Raw
			},
			"rest": func(cursor string) []byte {
				return get(t, srv, "alice", "/rooms?limit=200&cursor="+url.QueryEscape(cursor))
			},
		} {
			var seen []string
			for cursor := ""; ; {
				p := decoded[struct {
					Rooms []struct {
						ID   string
						Last struct{ Content string } `json:"last_message"`
					}
					More   bool
					Cursor string
				}](t, check(page(cursor)))
				for _, r := range p.Rooms {
					seen = append(seen, r.ID)
					require.LessOrEqual(t, len([]rune(r.Last.Content)), 201)
				}
				require.Equal(t, p.More, p.Cursor != "")
				if cursor = p.Cursor; !p.More {
					break
				}
				require.NotEmpty(t, p.Rooms)
			}
			require.Len(t, seen, 120, name)
		}
		// Members.
		seen := 0
		for cursor := ""; ; {
			ev := alice.Call(map[string]any{"type": "members", "room": "room001", "limit": 200, "cursor": cursor})
			check(ev.Raw)
			seen += len(ev.Users)
			p := decoded[struct {
				More   bool
				Cursor string
			}](t, ev.Raw)
			if cursor = p.Cursor; !p.More {
				break
			}
		}
		require.Equal(t, 191, seen)
		check(get(t, srv, "alice", "/rooms/room001/online?limit=200"))
		check(get(t, srv, "alice", "/rooms/room000/messages?limit=200"))

		// History, in every direction, and around a message it is there.
		for seq := int64(1); seq <= 31; seq += 5 {
			ev := alice.Call(map[string]any{"type": "history", "room": "room000", "around": seq, "limit": 200})
			check(ev.Raw)
			there := false
			for _, m := range ev.Messages {
				there = there || m.Seq == seq
			}
			require.True(t, there, seq)
			require.Equal(t, ev.Messages[len(ev.Messages)-1].Seq < 31, ev.More)
		}
		next := int64(0)
		for next < 31 {
			ev := alice.Call(map[string]any{"type": "history", "room": "room000", "after": next, "limit": 200})
			check(ev.Raw)
			require.Equal(t, next+1, ev.Messages[0].Seq)
			next = ev.Messages[len(ev.Messages)-1].Seq
			require.Equal(t, next < 31, ev.More)
		}
		for before := int64(32); before > 1; {
			ev := alice.Call(map[string]any{"type": "history", "room": "room000", "before": before, "limit": 200})
			check(ev.Raw)
			require.Equal(t, before-1, ev.Messages[len(ev.Messages)-1].Seq)
			before = ev.Messages[0].Seq
			require.Equal(t, before > 1, ev.More)
		}
		// A resume that starts over, and a presence frame of many.
		reset := alice.Call(map[string]any{"type": "join", "room": "room000", "after": 1, "epoch": "another"})
		require.True(t, reset.Reset)
		check(reset.Raw)
		time.Sleep(2 * time.Second)
		for _, ev := range alice.Drain() {
			check(ev.Raw)
		}
	})
}

// What the server hands out passes its own decoder, whatever users are called.
func TestCursorsComeBack(t *testing.T) {
	ids := []string{"ä", "alice", "Ünï \"quoted\"", "漢字", "名前" + strings.Repeat("長", 38), "z", "\u2028", "e\u0301", "a b", "<&>", "👀"}
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
			u, err := chattest.TokenIsUser(r)
			if err == nil {
				u.ID, err = url.PathUnescape(u.ID)
			}
			return chat.User{ID: u.ID}, err
		}})
		for _, id := range ids {
			srv.Dial(url.PathEscape(id)).Join("r")
		}
		asker := srv.Dial("alice")
		for _, typ := range []string{"members", "presence"} {
			var seen []string
			for cursor := ""; ; {
				ev := asker.Call(map[string]any{"type": typ, "room": "r", "limit": 1, "cursor": cursor})
				require.Equal(t, typ, ev.Type, "%s", ev.Raw)
				rest := decoded[struct{ Users []struct{ ID string } }](t, get(t, srv, "alice", "/rooms/r/online?limit=1&cursor="+url.QueryEscape(cursor)))
				require.Equal(t, ev.Users[0], rest.Users[0].ID)
				seen = append(seen, ev.Users...)
				if cursor = decoded[struct{ Cursor string }](t, ev.Raw).Cursor; cursor == "" {
					break
				}
				require.NotContains(t, ids, cursor)
			}
			require.ElementsMatch(t, ids, seen)
		}
		for _, id := range ids {
			if id == "alice" {
				continue
			}
			joined := asker.JoinUser(id)
			require.Equal(t, "joined", joined.Type, "%s", joined.Raw)
			again := asker.Resume(joined.Room, joined.Epoch, joined.Head)
			require.Equal(t, "joined", again.Type)
			sent := asker.Call(map[string]any{"type": "message", "room": joined.Room, "content": "x", "mentions": []string{id}})
			require.Equal(t, "ack", sent.Type, "%s", sent.Raw)
			require.Equal(t, "ack", asker.Call(map[string]any{"type": "message", "room": joined.Room, "content": "y", "reply_to": sent.ID, "thread": sent.ID}).Type)
			require.Equal(t, "ack", asker.Call(map[string]any{"type": "edit", "room": joined.Room, "id": sent.ID, "content": "z"}).Type)
		}
		seen := map[string]bool{}
		for cursor := ""; ; {
			ev := asker.Call(map[string]any{"type": "rooms", "limit": 1, "cursor": cursor})
			require.Equal(t, "rooms", ev.Type, "%s", ev.Raw)
			p := decoded[struct {
				Rooms  []struct{ ID string }
				Cursor string
			}](t, ev.Raw)
			require.False(t, seen[p.Rooms[0].ID])
			seen[p.Rooms[0].ID] = true
			if cursor = p.Cursor; cursor == "" {
				break
			}
		}
		require.Len(t, seen, len(ids))
		for _, typ := range []string{"members", "rooms"} {
			ev := asker.Call(map[string]any{"type": typ, "room": "r", "cursor": "!"})
			require.Equal(t, chat.CodeInvalid, ev.Code)
			require.Equal(t, "cursor", ev.Field)
		}
		_, err := srv.Rooms(t.Context(), "!", 1)
		require.ErrorIs(t, err, chat.ErrInvalid)
	})
}

// watchedStore counts the rooms that lists are made of.
type watchedStore struct {
	*memory.Store
	listed atomic.Int64
}

func (s *watchedStore) ListRooms(ctx context.Context, prefix, after string, limit int) ([]chat.RoomSummary, bool, error) {
	list, more, err := s.Store.ListRooms(ctx, prefix, after, limit)
	s.listed.Add(int64(len(list)))
	return list, more, err
}

func (s *watchedStore) ListDirect(ctx context.Context, prefix, user, after string, limit int) ([]chat.RoomSummary, bool, error) {
	list, more, err := s.Store.ListDirect(ctx, prefix, user, after, limit)
	s.listed.Add(int64(len(list)))
	return list, more, err
}

// A first direct message is seen however many rooms there are, and a page of
// the list costs what it shows.
func TestDirectRoomsAreFoundByTheirUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watchedStore{Store: memory.New()}
		srv := chattest.New(t, &chat.Options{Store: store})
		for i := range 300 {
			_, err := srv.Room(fmt.Sprintf("room%03d", i)).Create(t.Context(), chat.RoomInfo{})
			require.NoError(t, err)
		}
		for i := range 2000 {
			_, err := srv.Direct(fmt.Sprint("a", i), fmt.Sprint("b", i)).Create(t.Context(), chat.RoomInfo{})
			require.NoError(t, err)
		}
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		direct := alice.JoinUser("bob").Room
		alice.Send(direct, "hello")
		type page struct {
			Rooms []struct {
				ID    string
				Peers []struct{ ID string }
			}
			More   bool
			Cursor string
		}
		ask := func(limit int, cursor string) page {
			before, asked := store.listed.Load(), limit
			p := decoded[page](t, bob.Call(map[string]any{"type": "rooms", "limit": asked, "cursor": cursor}).Raw)
			require.LessOrEqual(t, store.listed.Load()-before, int64(2*(limit+64)))
			return p
		}
		first := ask(200, "")
		require.Len(t, first.Rooms, 200)
		require.Equal(t, direct, first.Rooms[0].ID)
		require.True(t, first.More)
		seen := map[string]bool{}
		for cursor := ""; ; {
			p := ask(50, cursor)
			for _, r := range p.Rooms {
				require.False(t, seen[r.ID], r.ID)
				seen[r.ID] = true
			}
			if cursor = p.Cursor; !p.More {
				break
			}
		}
		require.Len(t, seen, 301)
	})
}

func TestRoomsMadePerUserAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Limits: chat.Limits{NewRooms: 5}})
		alice := srv.Dial("alice")
		for i := range 4 {
			alice.Join(fmt.Sprint("room", i))
		}
		alice.JoinUser("bob")
		ev := alice.Call(map[string]any{"type": "join", "room": "one-more"})
		require.Equal(t, chat.CodeRateLimited, ev.Code)
		require.InDelta(t, (12 * time.Minute).Seconds(), ev.RetryAfter.Seconds(), 1)
		resp, err := srv.HTTP("alice").Post("http://chat.test/chat/rooms", "application/json", strings.NewReader(`{"id":"over-rest"}`))
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
		alice.Join("room0") // what is there may be joined
		alice.JoinUser("bob")
		srv.Dial("bob").Join("bob-makes-one")
		time.Sleep(ev.RetryAfter)
		alice.Join("one-more")
	})
}

// Who was met in a cluster is called what the host calls them, in the end.
func TestNamesOfOthersAreAskedAgain(t *testing.T) {
	together(t, 2, func(t *testing.T, g *group) {
		name := "Alice"
		asked := 0
		users := func(_ context.Context, ids []string) (list []chat.User, _ error) {
			asked++
			for _, id := range ids {
				list = append(list, chat.User{ID: id, Name: name})
			}
			return list, nil
		}
		there, here := g.srvs[0], g.add(chat.Options{Users: users})
		synctest.Wait()
		bob := here.Dial("bob")
		bob.Join("r")
		alice := there.Dial("alice")
		alice.Join("r")
		alice.Send("r", "hello")
		bob.Expect("message")
		alice.Close()
		called := func() string {
			ev := bob.Call(map[string]any{"type": "history", "room": "r"})
			return decoded[struct {
				Messages []struct{ User struct{ Name string } }
			}](t, ev.Raw).Messages[0].User.Name
		}
		require.Equal(t, "alice", called(), "as she said herself")
		name = "Alicia"
		time.Sleep(2 * time.Minute)
		require.Equal(t, "Alicia", called())
		require.Equal(t, 1, asked)
	})
}
