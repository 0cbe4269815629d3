package chat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

func ptr(s string) *string { return &s }

func TestRoomSettingsReachEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		room := srv.Room("r")
		_, err := room.Update(t.Context(), chat.RoomUpdate{Title: ptr("x")})
		require.ErrorIs(t, err, chat.ErrNotFound)
		made, err := room.Create(t.Context(), chat.RoomInfo{Title: "One", Topic: "all", Meta: json.RawMessage(` {"a": 1} `)})
		require.NoError(t, err)
		require.Equal(t, chat.RoomInfo{ID: "r", Kind: chat.RoomPublic, Title: "One", Topic: "all", Meta: json.RawMessage(`{"a":1}`), CreatedAt: made.CreatedAt, Rev: 1}, made)
		_, err = room.Create(t.Context(), chat.RoomInfo{})
		require.ErrorIs(t, err, chat.ErrConflict)

		alice := srv.Dial("alice")
		require.Contains(t, string(alice.Join("r").Raw), `"title":"One"`)
		info, err := room.Update(t.Context(), chat.RoomUpdate{Title: ptr("Two")})
		require.NoError(t, err)
		require.Equal(t, "Two", info.Title)
		require.Equal(t, "all", info.Topic, "what is not named stays")
		ev := alice.Expect("room")
		require.Equal(t, "r", ev.Room)
		require.Equal(t, info.Rev, ev.Rev)
		require.Contains(t, string(ev.Raw), `"state":{"id":"r","kind":"public","title":"Two","topic":"all","meta":{"a":1}`)
		_, err = room.Update(t.Context(), chat.RoomUpdate{Title: ptr("Two")})
		require.NoError(t, err)
		_, err = room.Update(t.Context(), chat.RoomUpdate{Title: ptr("")})
		require.NoError(t, err)
		ev = alice.Expect("room")
		require.Equal(t, info.Rev+1, ev.Rev, "a change that changes nothing takes no rev")
		require.NotContains(t, string(ev.Raw), `"title"`)
		got, err := room.Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, ev.Rev, got.Rev)
		require.Empty(t, got.Title)
		late := srv.Dial("bob").Join("r")
		require.Equal(t, ev.Rev, late.Head)
	})
}

func TestModerateIsDeniedByDefault(t *testing.T) {
	srv := newServer(t, chat.Options{})
	require.Equal(t, 201, asked(t, srv, "POST", "/rooms", `{"id":"mine","title":"x"}`).Code)
	for _, row := range [][2]string{{"PATCH", `{"title":"y"}`}, {"DELETE", ""}} {
		w := asked(t, srv, row[0], "/rooms/mine", row[1])
		require.Equal(t, 403, w.Code, "not even who created it: %s", w.Body)
		require.Contains(t, w.Body.String(), `"code":"forbidden"`)
	}
	info, err := srv.Room("mine").Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, "x", info.Title)
	require.Equal(t, "alice", info.CreatedBy)
}

func TestRemoveTellsEverybodyInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		first := alice.Join("r")
		bob.Join("r")
		bob.Join("other")
		alice.Send("r", "old")
		alice.Expect("message")
		bob.Expect("message")
		require.NoError(t, srv.Room("r").Remove(t.Context()))
		for _, c := range []*chattest.Client{alice, bob} {
			ev := c.Expect("left")
			require.Equal(t, "r", ev.Room)
			require.Equal(t, chat.CodeNotFound, ev.Code)
		}
		_, err := srv.Room("r").Info(t.Context())
		require.ErrorIs(t, err, chat.ErrNotFound)
		require.ErrorIs(t, srv.Room("r").Remove(t.Context()), chat.ErrNotFound)
		require.Equal(t, chat.CodeNotFound, bob.Call(map[string]any{"type": "message", "room": "r", "content": "x"}).Code)
		require.Empty(t, online(t, srv.Room("r")))
		require.Equal(t, []string{"bob"}, online(t, srv.Room("other")))

		again := bob.Resume("r", first.Epoch, first.Head)
		require.True(t, again.Reset, "the new room is another log")
		require.NotEqual(t, first.Epoch, again.Epoch)
		require.Empty(t, again.Messages)
		require.EqualValues(t, 1, bob.Send("r", "new").Seq)
		synctest.Wait()
		for _, ev := range alice.Drain() {
			require.NotEqual(t, "message", ev.Type, "whoever was put out does not hear of the new room: %s", ev.Raw)
		}
	})
}

func TestChangesEndWithTheirRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		room := srv.Room("r")
		_, err := room.Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() {
			for _, err := range room.Changes(t.Context(), chat.Position{}) {
				if err != nil {
					ended <- err
					return
				}
			}
		}()
		synctest.Wait()
		require.NoError(t, room.Remove(t.Context()))
		time.Sleep(10 * time.Second)
		select {
		case err := <-ended:
			require.True(t, errors.Is(err, chat.ErrReset) || errors.Is(err, chat.ErrNotFound), "%v", err)
		default:
			t.Fatal("the log is gone, and the loop waits for ever")
		}
	})
}

func TestRoomListShowsOnlyWhatMayBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		var all []string
		for i := range 7 {
			id := fmt.Sprintf("room%d", i)
			_, err := srv.Room(id).Create(t.Context(), chat.RoomInfo{Title: "R"})
			require.NoError(t, err)
			_, err = srv.Room(id).Send(t.Context(), chat.Message{User: "bot", Content: "last in " + id})
			require.NoError(t, err)
			all = append(all, id)
			_, err = srv.Direct("bob", fmt.Sprint("peer", i)).Create(t.Context(), chat.RoomInfo{})
			require.NoError(t, err)
		}
		own, err := srv.Direct("bob", "alice").Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		all = append([]string{own.ID}, all...)

		type page struct {
			Rooms []struct {
				ID          string
				Online      int
				LastMessage struct{ Content string } `json:"last_message"`
			}
			More   bool
			Cursor string
		}
		alice := srv.Dial("alice")
		alice.Join("room3")
		ask := map[string]func(cursor string) []byte{
			"wire": func(cursor string) []byte {
				ev := alice.Call(map[string]any{"type": "rooms", "limit": 3, "cursor": cursor})
				require.Equal(t, "rooms", ev.Type)
				return ev.Raw
			},
			"rest": func(cursor string) []byte {
				w := asked(t, srv.Server, "GET", "/rooms?limit=3&cursor="+cursor, "")
				require.Equal(t, 200, w.Code)
				return w.Body.Bytes()
			},
		}
		for name, ask := range ask {
			var got []string
			cursor := ""
			for {
				var p page
				require.NoError(t, json.Unmarshal(ask(cursor), &p))
				require.LessOrEqual(t, len(p.Rooms), 3)
				for _, r := range p.Rooms {
					got = append(got, r.ID)
					if strings.HasPrefix(r.ID, "room") {
						require.Equal(t, "last in "+r.ID, r.LastMessage.Content)
					}
					require.Equal(t, r.ID == "room3", r.Online == 1, r.ID)
				}
				require.Equal(t, p.More, p.Cursor != "", name)
				if cursor = p.Cursor; !p.More {
					break
				}
			}
			require.Equal(t, all, got, name)
		}
		host, err := srv.Rooms(t.Context(), "", 100)
		require.NoError(t, err)
		require.Len(t, host.Rooms, 15, "the host sees all")
	})
}

func TestHostCodeIsHeldToTheRules(t *testing.T) {
	srv := newServer(t, chat.Options{})
	room := srv.Room("r")
	_, err := room.Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	for name, m := range map[string]chat.Message{
		"user":        {Content: "x"},
		"content":     {User: "bot"},
		"kind":        {User: "bot", Content: "x", Kind: "shouted"},
		"nonce":       {User: "bot", Content: "x", Nonce: "a b"},
		"reply_to":    {User: "bot", Content: "x", ReplyTo: "é"},
		"meta":        {User: "bot", Content: "x", Meta: json.RawMessage(`[]`)},
		"mentions":    {User: "bot", Content: "x", Mentions: make([]string, 51)},
		"attachments": {User: "bot", Attachments: []chat.Attachment{{URL: "javascript:x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := room.Send(t.Context(), m)
			require.ErrorIs(t, err, chat.ErrInvalid)
			e, ok := errors.AsType[*chat.Error](err)
			require.True(t, ok)
			require.True(t, strings.HasPrefix(e.Field, name), "%v, field %q", err, e.Field)
		})
	}
	for name, content := range map[string]string{"NUL": "a\x00b", "not UTF-8": "a\xffb"} {
		t.Run(name+" in content", func(t *testing.T) {
			_, err := room.Send(t.Context(), chat.Message{User: "bot", Content: content})
			require.ErrorIs(t, err, chat.ErrInvalid, "no client could send that, and no client can read it")
		})
		t.Run(name+" in title", func(t *testing.T) {
			_, err = room.Update(t.Context(), chat.RoomUpdate{Title: &content})
			require.ErrorIs(t, err, chat.ErrInvalid)
		})
	}
	_, err = srv.Room("not/a room").Send(t.Context(), chat.Message{User: "bot", Content: "x"})
	require.ErrorIs(t, err, chat.ErrInvalid)
	require.NoError(t, srv.Close())
	for _, f := range []func() error{
		func() error { _, err := room.Send(t.Context(), chat.Message{User: "bot", Content: "x"}); return err },
		func() error { _, err := room.Edit(t.Context(), chat.Message{ID: "1", Content: "x"}); return err },
		func() error { _, err := room.Delete(t.Context(), "1", false); return err },
		func() error { _, err := room.History(t.Context(), chat.Query{}); return err },
		func() error { _, err := room.Info(t.Context()); return err },
		func() error { return room.Remove(t.Context()) },
		func() error { _, err := srv.Rooms(t.Context(), "", 1); return err },
		func() error { return srv.Revoke(t.Context(), "a", "r") },
	} {
		require.ErrorIs(t, f(), chat.ErrServerClosed)
	}
}
