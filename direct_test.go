package chat_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

func TestDirectIDIsTheSameEitherWay(t *testing.T) {
	require.Equal(t, chat.DirectID("alice", "bob"), chat.DirectID("bob", "alice"))
	seen := map[string]string{}
	for _, p := range [][2]string{{"alice", "bob"}, {"alice", "carol"}, {"ab", "c"}, {"a", "bc"}, {"", "abc"}, {"a", "a"}, {"aa", ""}, {"a|b", "c"}, {"a", "b|c"}, {"Alice", "bob"}} {
		id := chat.DirectID(p[0], p[1])
		require.True(t, chat.ValidRoomID(id), id)
		require.True(t, strings.HasPrefix(id, "~"))
		require.Empty(t, seen[id], "%v and %v", seen[id], p)
		seen[id] = p[0] + "," + p[1]
	}
}

func TestTwoUsersHaveOneDirectRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		alice, bob, eve := srv.Dial("alice"), srv.Dial("bob"), srv.Dial("eve")
		a, b := alice.JoinUser("bob"), bob.JoinUser("alice")
		require.Equal(t, a.Room, b.Room)
		require.Equal(t, chat.DirectID("alice", "bob"), a.Room)
		require.Equal(t, a.Epoch, b.Epoch)
		require.Contains(t, string(b.Raw), `"kind":"direct"`)
		require.Contains(t, string(b.Raw), `"peers":[{"id":"alice","name":"alice"},{"id":"bob","name":"bob"}]`)
		alice.Send(a.Room, "between us")
		require.Equal(t, "between us", bob.Expect("message").Message.Content)
		_, err := srv.Direct("bob", "alice").Send(t.Context(), chat.Message{User: "bot", Content: "a hint"})
		require.NoError(t, err)
		require.Equal(t, a.Room, bob.Expect("message").Room)
		require.Equal(t, a.Room, bob.Join(a.Room).Room, "by its id as well")

		require.NotEqual(t, a.Room, eve.JoinUser("bob").Room)
		self := alice.JoinUser("alice")
		require.NotEqual(t, a.Room, self.Room)
		alice.Send(self.Room, "note to self")
	})
}

func TestDirectRoomIsForItsPeersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		bob, eve := srv.Dial("bob"), srv.Dial("eve")
		id := bob.JoinUser("carol").Room
		secret := bob.Send(id, "secret")
		missing := chat.DirectID("bob", "nobody")
		for _, cmd := range []map[string]any{
			{"type": "join"}, {"type": "message", "content": "x"}, {"type": "history"}, {"type": "members"}, {"type": "typing"},
			{"type": "edit", "id": secret.ID, "content": "x"}, {"type": "delete", "id": secret.ID},
		} {
			var frames []string
			for _, room := range []string{id, missing} {
				cmd["room"], cmd["ref"] = room, "x"
				eve.Do(cmd)
				ev, _ := eve.Next()
				require.Equal(t, chat.CodeNotFound, ev.Code, "%s", ev.Raw)
				frames = append(frames, strings.ReplaceAll(string(ev.Raw), room, ""))
			}
			require.Equal(t, frames[1], frames[0], "%v", cmd)
		}
		for _, path := range []string{"", "/messages", "/online", "/messages/" + secret.ID} {
			there, none := asked(t, srv.Server, "GET", "/rooms/"+id+path, ""), asked(t, srv.Server, "GET", "/rooms/"+missing+path, "")
			require.Equal(t, 404, there.Code, "alice is neither of the two: %s", there.Body)
			require.Equal(t, none.Body.String(), there.Body.String())
		}
		require.NotContains(t, asked(t, srv.Server, "GET", "/rooms", "").Body.String(), id)
		own := asked(t, srv.Server, "GET", "/rooms/"+id+"/messages", "", "Authorization", "Bearer carol")
		require.Equal(t, 200, own.Code)
		require.Contains(t, own.Body.String(), "secret", "a peer who has never joined may read")
		require.Contains(t, asked(t, srv.Server, "GET", "/rooms", "", "Authorization", "Bearer carol").Body.String(), id)

		for _, cmd := range [][2]string{{"PATCH", `{"title":"x"}`}, {"DELETE", ""}} {
			require.Equal(t, 403, asked(t, srv.Server, cmd[0], "/rooms/"+id, cmd[1], "Authorization", "Bearer bob").Code, "nobody moderates by default")
		}
		synctest.Wait()
		require.Empty(t, eve.Drain())
	})
}

func TestReservedIDsCannotBeCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		alice := srv.Dial("alice")
		var named []string
		for _, id := range []string{"~", "~user.alice", "~x", chat.DirectID("alice", "bob")} {
			require.Equal(t, chat.CodeNotFound, alice.Call(map[string]any{"type": "join", "room": id}).Code, id)
			w := asked(t, srv.Server, "POST", "/rooms", `{"id":"`+id+`"}`)
			require.Equal(t, 400, w.Code, "%s: %s", id, w.Body)
			named = append(named, w.Body.String())
			_, err := srv.Room(id).Create(t.Context(), chat.RoomInfo{})
			require.ErrorIs(t, err, chat.ErrInvalid)
			_, err = srv.Room(id).Create(t.Context(), chat.RoomInfo{Kind: chat.RoomDirect, Peers: []string{"alice", "eve"}})
			require.ErrorIs(t, err, chat.ErrInvalid)
		}
		_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{Kind: chat.RoomDirect, Peers: []string{"alice", "eve"}})
		require.ErrorIs(t, err, chat.ErrInvalid)
		w := asked(t, srv.Server, "POST", "/rooms", `{"id":"r","kind":"direct"}`)
		require.Equal(t, 400, w.Code)
		require.Contains(t, w.Body.String(), `"field":"kind"`)
		for _, body := range named {
			require.Contains(t, body, `"field":"id"`, "the body has no room")
		}
	})
}

func TestDirectRoomOverREST(t *testing.T) {
	srv := newServer(t, chat.Options{})
	w := asked(t, srv, "POST", "/direct", `{"user":"bob"}`)
	require.Equal(t, 201, w.Code, "%s", w.Body)
	require.Contains(t, w.Body.String(), chat.DirectID("alice", "bob"))
	again := asked(t, srv, "POST", "/direct", `{"user":"alice"}`, "Authorization", "Bearer bob")
	require.Less(t, again.Code, 300)
	require.Equal(t, w.Body.String(), again.Body.String(), "the same two, the same room")
	for _, body := range []string{`{}`, `{"user":""}`, `{"user":7}`, `{"user":"a\u0000b"}`, `{"user":"` + strings.Repeat("u", 129) + `"}`} {
		w := asked(t, srv, "POST", "/direct", body)
		require.Equal(t, 400, w.Code, "%s: %s", body, w.Body)
		require.Contains(t, w.Body.String(), `"field":"user"`, body)
	}
}
