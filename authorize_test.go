package chat_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

func TestDefaultAuthorizeTable(t *testing.T) {
	public := chat.RoomInfo{ID: "r", Kind: chat.RoomPublic}
	direct := chat.RoomInfo{ID: "~r", Kind: chat.RoomDirect, Peers: []string{"alice", "bob"}}
	for _, row := range []struct {
		room    chat.RoomInfo
		user    string
		allowed string
	}{
		{public, "alice", "create read write"},
		{public, "eve", "create read write"},
		{direct, "alice", "create read write"},
		{direct, "bob", "create read write"},
		{direct, "eve", ""},
		{chat.RoomInfo{ID: "~r", Kind: chat.RoomDirect}, "eve", ""},
		{chat.RoomInfo{ID: "r", Kind: "private"}, "alice", ""},
		{chat.RoomInfo{ID: "r"}, "alice", ""},
	} {
		for _, action := range []chat.Action{chat.ActionCreate, chat.ActionRead, chat.ActionWrite, chat.ActionModerate, "", "anything"} {
			err := chat.DefaultAuthorize(t.Context(), chat.User{ID: row.user, Roles: []string{"admin"}}, action, row.room)
			if action != "" && strings.Contains(row.allowed, string(action)) {
				require.NoError(t, err, "%+v %s %s", row.room, row.user, action)
			} else {
				require.ErrorIs(t, err, chat.ErrForbidden, "%+v %s %s", row.room, row.user, action)
			}
		}
	}
}

// sealed hides the rooms whose id begins with "secret", and what is not there,
// from everybody.
func sealed(_ context.Context, _ chat.User, action chat.Action, room chat.RoomInfo) error {
	if strings.HasPrefix(room.ID, "secret") || action == chat.ActionCreate {
		return errors.New("the reason is nobody's business")
	}
	return nil
}

func TestForbiddenRoomLooksLikeNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Authorize: sealed})
		_, err := srv.Room("secret1").Create(t.Context(), chat.RoomInfo{Title: "the plan"})
		require.NoError(t, err)
		m, err := srv.Room("secret1").Send(t.Context(), chat.Message{User: "boss", Content: "x", Nonce: "n"})
		require.NoError(t, err)
		srv.Dial("boss") // somebody of the room is connected
		alice := srv.Dial("alice")
		epoch := ""
		for _, cmd := range []map[string]any{
			{"type": "join"}, {"type": "join", "after": 1, "epoch": epoch + "x"}, {"type": "message", "content": "x"},
			{"type": "message", "content": "x", "nonce": "n"}, {"type": "edit", "id": m.ID, "content": "x"}, {"type": "delete", "id": m.ID},
			{"type": "typing"}, {"type": "history"}, {"type": "history", "before": 5}, {"type": "members"}, {"type": "presence"}, {"type": "leave"},
		} {
			frames := map[string]string{}
			for _, room := range []string{"secret1", "secret2"} {
				cmd["room"], cmd["ref"] = room, "x"
				alice.Do(cmd)
				ev, ok := alice.Next()
				require.True(t, ok)
				require.Equal(t, chat.CodeNotFound, ev.Code, "%s", ev.Raw)
				frames[room] = strings.ReplaceAll(string(ev.Raw), room, "")
			}
			require.Equal(t, frames["secret2"], frames["secret1"], "%v", cmd)
		}
		for _, row := range [][3]string{
			{"GET", "", ""}, {"PATCH", "", `{"title":"x"}`}, {"DELETE", "", ""}, {"GET", "/online", ""}, {"GET", "/messages", ""},
			{"POST", "/messages", `{"content":"x","nonce":"n"}`}, {"GET", "/messages/" + m.ID, ""},
			{"PATCH", "/messages/" + m.ID, `{"content":"x"}`}, {"DELETE", "/messages/" + m.ID, ""},
		} {
			there := asked(t, srv.Server, row[0], "/rooms/secret1"+row[1], row[2])
			missing := asked(t, srv.Server, row[0], "/rooms/secret2"+row[1], row[2])
			require.Equal(t, 404, there.Code, "%v %s", row, there.Body)
			require.Equal(t, missing.Code, there.Code)
			require.Equal(t, missing.Body.String(), there.Body.String(), "%v", row)
			require.Equal(t, missing.Header(), there.Header())
		}
		require.Equal(t,
			asked(t, srv.Server, "POST", "/rooms", `{"id":"secret2"}`).Body.String(),
			asked(t, srv.Server, "POST", "/rooms", `{"id":"secret1"}`).Body.String())
		require.NotContains(t, asked(t, srv.Server, "GET", "/rooms", "").Body.String(), "secret")
		require.Empty(t, alice.Call(map[string]any{"type": "rooms"}).Users)
	})
}

func TestAuthorizeIsAskedFromCurrentState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var quiet atomic.Bool
		srv := chattest.New(t, &chat.Options{Logger: slog.New(slog.DiscardHandler), Authorize: func(ctx context.Context, u chat.User, a chat.Action, r chat.RoomInfo) error {
			switch {
			case u.ID == "panic" && a == chat.ActionWrite:
				panic("in Authorize")
			case u.ID == "away" && a == chat.ActionWrite:
				return chat.Errorf(chat.CodeUnavailable, "no directory")
			case a == chat.ActionWrite && (quiet.Load() || strings.Contains(string(r.Meta), "closed")):
				return chat.Errorf(chat.CodeForbidden, "the room is closed")
			case a == chat.ActionModerate && u.ID == "mod":
				return nil
			}
			return chat.DefaultAuthorize(ctx, u, a, r)
		}})
		alice, mod := srv.Dial("alice"), srv.Dial("mod")
		alice.Join("r")
		m := alice.Send("r", "x")
		quiet.Store(true)
		say := map[string]any{"type": "message", "room": "r", "content": "x"}
		ev := alice.Call(say)
		require.Equal(t, chat.CodeForbidden, ev.Code)
		require.Equal(t, "the room is closed", ev.Text)
		quiet.Store(false)
		_, err := srv.Room("r").Update(t.Context(), chat.RoomUpdate{Meta: json.RawMessage(`{"state":"closed"}`)})
		require.NoError(t, err)
		require.Equal(t, chat.CodeForbidden, alice.Call(say).Code, "the very next command sees the new settings")
		_, err = srv.Room("r").Update(t.Context(), chat.RoomUpdate{Meta: json.RawMessage(`{"state":"open"}`)})
		require.NoError(t, err)
		require.Equal(t, "ack", alice.Call(say).Type)

		require.Equal(t, chat.CodeInternal, srv.Dial("panic").Call(say).Code)
		require.Equal(t, chat.CodeUnavailable, srv.Dial("away").Call(say).Code)
		require.Equal(t, "ack", mod.Call(map[string]any{"type": "edit", "room": "r", "id": m.ID, "content": "by mod"}).Type)
		require.Equal(t, "ack", mod.Call(map[string]any{"type": "delete", "room": "r", "id": m.ID, "hard": true}).Type)
		require.Equal(t, chat.CodeForbidden, alice.Call(map[string]any{"type": "delete", "room": "r", "id": m.ID}).Code, "nobody's message is nobody's to touch")
	})
}

// bannable lets a test end one user's right to read.
type bannable struct{ user atomic.Value }

func (b *bannable) authorize(ctx context.Context, u chat.User, a chat.Action, r chat.RoomInfo) error {
	if b.user.Load() == u.ID {
		return chat.ErrForbidden
	}
	return chat.DefaultAuthorize(ctx, u, a, r)
}

func TestRevokeEndsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ban bannable
		srv := chattest.New(t, &chat.Options{Authorize: ban.authorize})
		alice, phone, bob := srv.Dial("alice"), srv.Dial("alice"), srv.Dial("bob")
		for _, c := range []*chattest.Client{alice, phone, bob} {
			c.Join("r")
			c.Join("other")
		}
		require.NoError(t, srv.Revoke(t.Context(), "alice", "r"))
		alice.Barrier()
		bob.Send("r", "who may read stays")
		require.Equal(t, "r", alice.Expect("message").Room)
		ban.user.Store("alice")
		require.NoError(t, srv.Revoke(t.Context(), "alice", "r"))
		bob.Send("r", "secret")
		bob.Send("other", "she is still there, until that is revoked too")
		for _, c := range []*chattest.Client{alice, phone} {
			ev := c.Expect("left")
			require.Equal(t, "r", ev.Room)
			require.Equal(t, chat.CodeForbidden, ev.Code)
			c.Barrier()
			synctest.Wait()
			for _, ev := range c.Drain() {
				require.NotContains(t, string(ev.Raw), "secret")
			}
		}
		require.Equal(t, []string{"bob"}, online(t, srv.Room("r")))
		require.Equal(t, []string{"alice", "bob"}, online(t, srv.Room("other")))
		require.Equal(t, chat.CodeNotFound, alice.Call(map[string]any{"type": "join", "room": "r"}).Code)
		require.NoError(t, srv.Revoke(t.Context(), "nobody", "r"))
		require.NoError(t, srv.Revoke(t.Context(), "alice", "nowhere"))
	})
}

// A join that has asked whether it may, and waits for the host's Users, must
// not come out of it as a subscription that Revoke has not seen.
func TestRevokeReachesJoinsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ban bannable
		entered, release := make(chan struct{}, 9), make(chan struct{})
		srv := chattest.New(t, &chat.Options{Authorize: ban.authorize, Users: func(context.Context, []string) ([]chat.User, error) {
			entered <- struct{}{}
			<-release
			return nil, nil
		}})
		let := func() {
			select {
			case <-release:
			default:
				close(release)
			}
		}
		defer let()
		alice := srv.Dial("alice")
		room := srv.Room("r")
		_, err := room.Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		go func() { _, _ = room.Send(context.Background(), chat.Message{User: "alice", Content: "x"}) }()
		synctest.Wait()
		carol := make(chan error, 1)
		go func() {
			_, err := room.Send(context.Background(), chat.Message{User: "carol", Content: "y"})
			carol <- err
		}()
		synctest.Wait()
		let()
		require.NoError(t, <-carol)
		for len(entered) > 0 {
			<-entered
		}
		time.Sleep(time.Hour) // carol's name is forgotten
		release = make(chan struct{})
		alice.Do(map[string]any{"type": "join", "room": "r"})
		<-entered
		ban.user.Store("alice")
		require.NoError(t, srv.Revoke(t.Context(), "alice", "r"))
		let()
		synctest.Wait()
		_, err = room.Send(t.Context(), chat.Message{User: "bot", Content: "secret"})
		require.NoError(t, err)
		synctest.Wait()
		for _, ev := range alice.Drain() {
			require.NotContains(t, string(ev.Raw), "secret", "Revoke had returned before this was sent")
		}
	})
}
