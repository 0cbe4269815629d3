package chat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
)

// recorder notes every command that passes.
type cmdRecorder struct {
	mu   sync.Mutex
	list []chat.Command
}

func (r *cmdRecorder) note(cmd *chat.Command) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *cmd
	r.list = append(r.list, c)
}

func (r *cmdRecorder) take() (list []chat.Command) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list, r.list = r.list, nil
	return list
}

// before is a middleware that only looks.
func before(look func(*chat.Command)) chat.Middleware {
	return func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			look(cmd)
			return next(ctx, cmd)
		}
	}
}

func TestMiddlewareOrderIsOutermostFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trail []string
		layer := func(name string) chat.Middleware {
			return func(next chat.Handler) chat.Handler {
				return func(ctx context.Context, cmd *chat.Command) error {
					if cmd.Type != chat.CmdMessage {
						return next(ctx, cmd)
					}
					trail = append(trail, name+" in")
					err := next(ctx, cmd)
					trail = append(trail, name+" out")
					return err
				}
			}
		}
		srv := chattest.New(t, &chat.Options{Middleware: []chat.Middleware{layer("a"), layer("b"), layer("c")}})
		alice := srv.Dial("alice")
		alice.Join("r")
		alice.Send("r", "x")
		require.Equal(t, []string{"a in", "b in", "c in", "c out", "b out", "a out"}, trail)
	})
}

func TestEveryCommandPassesTheMiddleware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec cmdRecorder
		srv := chattest.New(t, &chat.Options{Middleware: []chat.Middleware{before(rec.note)}})
		types := func() (list []chat.CommandType) {
			for _, c := range rec.take() {
				require.NotEmpty(t, c.TraceID, c.Type)
				list = append(list, c.Type)
			}
			return list
		}
		c := srv.Dial("")
		require.Equal(t, []chat.CommandType{chat.CmdConnect}, types(), "an upgrade that shows nothing is no attempt to authenticate")
		c.Call(map[string]any{"type": "auth", "token": "alice"})
		require.Equal(t, []chat.CommandType{chat.CmdAuth}, types())
		c.Join("r")
		m := c.Send("r", "x")
		for _, typ := range []string{"edit", "delete"} {
			c.Call(map[string]any{"type": typ, "room": "r", "id": m.ID, "content": "y"})
		}
		for _, typ := range []string{"typing", "history", "members", "presence", "rooms", "leave", "ping"} {
			c.Call(map[string]any{"type": typ, "room": "r"})
		}
		require.Equal(t, []chat.CommandType{"join", "message", "edit", "delete", "typing", "history", "members", "presence", "rooms", "leave"}, types())
		c.Call(map[string]any{"type": "join", "rooms": []map[string]any{{"room": "a"}, {"user": "bob"}}})
		c.Barrier()
		list := rec.take()
		require.Len(t, list, 2, "each room of a join is a command")
		require.Equal(t, "bob", list[1].Peer)
		require.Equal(t, chat.DirectID("alice", "bob"), list[1].Room)
		require.Equal(t, "alice", list[1].User.ID)
		require.Equal(t, srv.User("alice").Sessions()[0], list[1].Session)

		for _, row := range []struct {
			method, path, body string
			typ                chat.CommandType
		}{
			{"POST", "/rooms", `{"id":"n"}`, "create_room"}, {"GET", "/rooms", "", "rooms"}, {"GET", "/rooms/n", "", "presence"},
			{"PATCH", "/rooms/n", `{}`, "update_room"}, {"DELETE", "/rooms/n", "", "delete_room"}, {"GET", "/rooms/r/online", "", "members"},
			{"GET", "/rooms/r/messages", "", "history"}, {"POST", "/rooms/r/messages", `{"content":"x"}`, "message"},
			{"GET", "/rooms/r/messages/1", "", "history"}, {"PATCH", "/rooms/r/messages/1", `{"content":"x"}`, "edit"},
			{"DELETE", "/rooms/r/messages/1", "", "delete"}, {"POST", "/direct", `{"user":"bob"}`, "create_room"},
		} {
			asked(t, srv.Server, row.method, row.path, row.body)
			require.Equal(t, []chat.CommandType{chat.CmdAuth, row.typ}, types(), row.path)
		}
		asked(t, srv.Server, "GET", "/healthz", "")
		asked(t, srv.Server, "GET", "/readyz", "")
		_, err := srv.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: "x"})
		require.NoError(t, err)
		_, err = srv.Room("r").History(t.Context(), chat.Query{Limit: 1})
		require.NoError(t, err)
		require.Empty(t, types(), "what the host does does not pass")
	})
}

func TestMiddlewareRewritesAndSeesTheResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []chat.Message
		var again []bool
		srv := chattest.New(t, &chat.Options{Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				cmd.Content = strings.ReplaceAll(cmd.Content, "darn", "****")
				err := next(ctx, cmd)
				if cmd.Result != nil && err == nil {
					got, again = append(got, *cmd.Result), append(again, cmd.Duplicate)
				}
				return err
			}
		}}})
		alice := srv.Dial("alice")
		alice.Join("r")
		send := map[string]any{"type": "message", "room": "r", "content": "darn it", "nonce": "n"}
		ack := alice.Call(send)
		require.Equal(t, "**** it", alice.Expect("message").Message.Content)
		require.True(t, alice.Call(send).Duplicate)
		alice.Call(map[string]any{"type": "edit", "room": "r", "id": ack.ID, "content": "darn that"})
		alice.Call(map[string]any{"type": "delete", "room": "r", "id": ack.ID})
		require.Equal(t, []bool{false, true, false, false}, again)
		require.Equal(t, []string{"**** it", "**** it", "**** that", ""}, []string{got[0].Content, got[1].Content, got[2].Content, got[3].Content})
		require.True(t, got[3].Deleted())
		for _, m := range got {
			require.Equal(t, "r", m.Room)
			require.EqualValues(t, 1, m.Seq)
		}
	})
}

func TestMiddlewareErrorsAreMapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := map[string]error{
			"foreign":  errors.New("secret of the database"),
			"ours":     (&chat.Error{Code: chat.CodeForbidden, Message: "not on Sundays", Field: "content"}).WithCause(errors.New("secret")),
			"wrapped":  errors.Join(errors.New("secret"), chat.Errorf(chat.CodeConflict, "twice")),
			"limited":  &chat.Error{Code: chat.CodeRateLimited, Message: "slowly", RetryAfter: 1500 * time.Millisecond},
			"shutdown": chat.ErrServerClosed,
		}
		srv := chattest.New(t, &chat.Options{Logger: slog.New(slog.DiscardHandler), Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				if cmd.Content == "panic" {
					panic("secret")
				}
				if err := fail[cmd.Content]; err != nil {
					return err
				}
				return next(ctx, cmd)
			}
		}}})
		alice := srv.Dial("alice")
		alice.Join("r")
		for content, want := range map[string]string{
			"foreign":  `"code":"internal","message":"internal error"}`,
			"panic":    `"code":"internal","message":"internal error"}`,
			"ours":     `"code":"forbidden","message":"not on Sundays","field":"content"}`,
			"wrapped":  `"code":"conflict","message":"twice"}`,
			"limited":  `"code":"rate_limited","message":"slowly","retry_after_ms":1500}`,
			"shutdown": `"code":"unavailable","message":"the server is shutting down"}`,
		} {
			ev := alice.Call(map[string]any{"type": "message", "room": "r", "content": content})
			require.True(t, strings.HasSuffix(string(ev.Raw), want), "%s: %s", content, ev.Raw)
			w := asked(t, srv.Server, "POST", "/rooms/r/messages", `{"content":"`+content+`"}`)
			require.True(t, strings.HasSuffix("{"+strings.TrimSpace(w.Body.String())[1:], want[strings.Index(want, `"message"`):]), "%s: %s", content, w.Body)
			if content == "limited" {
				require.Equal(t, http.StatusTooManyRequests, w.Code)
				require.Equal(t, "2", w.Header().Get("Retry-After"))
			}
		}
		alice.Send("r", "and on")
	})
}

// A middleware that keeps a command to itself must not bring anything down: a
// shadow ban is one.
func TestMiddlewareThatSwallowsCommands(t *testing.T) {
	swallow := func(which chat.CommandType) *chat.Options {
		return &chat.Options{Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				if cmd.Type == which {
					return nil
				}
				return next(ctx, cmd)
			}
		}}}
	}
	t.Run("message over WebSocket", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			alice := chattest.New(t, swallow(chat.CmdMessage)).Dial("alice")
			alice.Join("r")
			alice.Do(map[string]any{"type": "message", "ref": "m", "room": "r", "content": "x"})
			alice.Barrier()
			events := alice.Drain()
			require.NotEmpty(t, events, "a command with a ref is answered")
			require.Equal(t, "m", events[len(events)-1].Ref)
		})
	})
	for _, typ := range []chat.CommandType{
		chat.CmdMessage, chat.CmdEdit, chat.CmdDelete, chat.CmdHistory, chat.CmdMembers, chat.CmdPresence, chat.CmdRooms,
	} {
		t.Run(string(typ)+" is held", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				alice := chattest.New(t, swallow(typ)).Dial("alice")
				alice.Join("r")
				ack := alice.Call(map[string]any{"type": string(typ), "room": "r", "id": "1", "content": "x"})
				require.True(t, ack.Held)
				require.JSONEq(t, `{"type":"ack","ref":"`+ack.Ref+`","room":"r","held":true}`, string(ack.Raw), "and nothing of what has not happened")
			})
		})
	}
	for _, row := range []struct {
		typ                chat.CommandType
		method, path, body string
	}{
		{chat.CmdMessage, "POST", "/rooms/r/messages", `{"content":"x"}`}, {chat.CmdEdit, "PATCH", "/rooms/r/messages/1", `{"content":"x"}`},
		{chat.CmdDelete, "DELETE", "/rooms/r/messages/1", ""}, {chat.CmdCreateRoom, "POST", "/rooms", `{"id":"n"}`},
		{chat.CmdUpdateRoom, "PATCH", "/rooms/r", `{}`}, {chat.CmdPresence, "GET", "/rooms/r", ""},
	} {
		t.Run(string(row.typ)+" over REST", func(t *testing.T) {
			o := swallow(row.typ)
			srv := newServer(t, *o)
			_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
			require.NoError(t, err)
			require.NotPanics(t, func() { asked(t, srv, row.method, row.path, row.body) })
		})
	}
	t.Run("auth", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := chattest.New(t, swallow(chat.CmdAuth))
			res, says := shown(t, srv, "", bearer("alice"))
			require.NotContains(t, says, "welcome", "nobody has said who this is: %d", res.StatusCode)
			require.Equal(t, http.StatusUnauthorized, asked(t, srv.Server, "POST", "/rooms", `{"id":"n"}`).Code)
		})
	})
}

func TestTraceLeadsFromTheCommandToItsDelivery(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		srv := chattest.New(t, &chat.Options{Logger: logger, Middleware: []chat.Middleware{middleware.Log(logger)}})
		alice := srv.Dial("alice")
		alice.Join("r")
		alice.Send("r", "x")
	})
	traces := map[string]string{}
	for line := range strings.Lines(log.String()) {
		var l struct{ Msg, Type, Trace string }
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		traces[l.Msg+" "+l.Type] = l.Trace
	}
	require.NotEmpty(t, traces["chat: command message"], "%s", &log)
	require.Equal(t, traces["chat: command message"], traces["chat: published "], "%s", &log)
}
