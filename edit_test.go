package chat_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
)

// editDoors are the ways on which a client edits.
var editDoors = map[string]func(t *testing.T, srv *chattest.Server, c *chattest.Client, id, fields string) chat.Code{
	"websocket": func(t *testing.T, _ *chattest.Server, c *chattest.Client, id, fields string) chat.Code {
		frame := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(fields), &frame))
		frame["type"], frame["room"], frame["id"] = "edit", "r", id
		return c.Call(frame).Code
	},
	"rest": func(t *testing.T, srv *chattest.Server, _ *chattest.Client, id, fields string) chat.Code {
		req, err := http.NewRequest(http.MethodPatch, "http://chat.test/chat/rooms/r/messages/"+id, strings.NewReader(fields))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := srv.HTTP("alice").Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		var e struct{ Code chat.Code }
		require.NoError(t, json.Unmarshal(body, &e))
		return e.Code
	},
}

func eachEditDoor(t *testing.T, o *chat.Options, test func(t *testing.T, srv *chattest.Server, edit func(id, fields string) chat.Code, send func(fields string) string)) {
	for name, door := range editDoors {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := chattest.New(t, o)
				alice := srv.Dial("alice")
				alice.Join("r")
				test(t, srv, func(id, fields string) chat.Code { return door(t, srv, alice, id, fields) }, func(fields string) string {
					frame := map[string]any{}
					require.NoError(t, json.Unmarshal([]byte(fields), &frame))
					frame["type"], frame["room"] = "message", "r"
					ev := alice.Call(frame)
					require.Equal(t, "ack", ev.Type, "%s", ev.Raw)
					return ev.ID
				})
			})
		})
	}
}

func messageOf(t *testing.T, srv *chattest.Server, id string) chat.Message {
	t.Helper()
	m, err := srv.Room("r").Message(t.Context(), id)
	require.NoError(t, err)
	return m
}

// What is refused in a message is refused in a message as an edit leaves it.
func TestEditKeepsTheRules(t *testing.T) {
	o := &chat.Options{Middleware: []chat.Middleware{middleware.Validate(middleware.Rules{
		Content: "max=20", Mentions: "max=1", Attachments: "max=1", Attachment: map[string]string{"url": "startswith=https://"},
		Meta: map[string]string{"priority": "omitempty,oneof=low high"}, OnlyMeta: true,
	})}}
	eachEditDoor(t, o, func(t *testing.T, srv *chattest.Server, edit func(id, fields string) chat.Code, send func(string) string) {
		id := send(`{"content":"harmless"}`)
		for _, bad := range []string{
			`{"content":"` + strings.Repeat("x", 21) + `"}`,
			`{"content":"x","attachments":[{"url":"http://evil.example/a"}]}`,
			`{"content":"x","attachments":[{"url":"https://a.example/1"},{"url":"https://a.example/2"}]}`,
			`{"content":"x","mentions":["a","b"]}`,
			`{"content":"x","meta":{"priority":"urgent"}}`,
			`{"content":"x","meta":{"other":1}}`,
			`{"content":"  "}`,
			`{"content":""}`,
		} {
			require.Equal(t, chat.CodeInvalid, edit(id, bad), bad)
		}
		require.Equal(t, "harmless", messageOf(t, srv, id).Content)
		require.Empty(t, edit(id, `{"content":"y","attachments":[{"url":"https://a.example/1"}],"mentions":["a"],"meta":{"priority":"low"}}`))

		// What a host has sent beside the middleware is looked at whole, too.
		m, err := srv.Room("r").Send(t.Context(), chat.Message{User: "alice", Content: "by the host", Attachments: []chat.Attachment{{URL: "http://evil.example/a"}}})
		require.NoError(t, err)
		require.Equal(t, chat.CodeInvalid, edit(m.ID, `{"content":"caption"}`))
		require.Empty(t, edit(m.ID, `{"content":"caption","attachments":[]}`))
	})
}

// An edit leaves alone what it says nothing of, and takes away what it says is
// none; a caption may go as long as the picture stays.
func TestEditTakesAway(t *testing.T) {
	seen := 0
	for name, o := range map[string]*chat.Options{"plain": nil, "middleware": {Middleware: []chat.Middleware{before(func(*chat.Command) { seen++ })}}} {
		t.Run(name, func(t *testing.T) {
			eachEditDoor(t, o, func(t *testing.T, srv *chattest.Server, edit func(id, fields string) chat.Code, send func(string) string) {
				id := send(`{"content":"caption","attachments":[{"url":"/a","meta":{"w":1}}],"mentions":["bob"],"meta":{"k":1}}`)
				check := func(content string, attachments, mentions int) {
					t.Helper()
					m := messageOf(t, srv, id)
					require.Equal(t, content, m.Content)
					require.Len(t, m.Attachments, attachments)
					require.Len(t, m.Mentions, mentions)
					require.JSONEq(t, `{"k":1}`, string(m.Meta))
				}
				require.Empty(t, edit(id, `{"content":"other"}`))
				check("other", 1, 1)
				require.Empty(t, edit(id, `{"content":""}`))
				check("", 1, 1)
				require.Equal(t, chat.CodeInvalid, edit(id, `{"content":"","attachments":[]}`))
				require.Equal(t, chat.CodeInvalid, edit(id, `{"content":" ","attachments":[]}`))
				check("", 1, 1)
				require.Empty(t, edit(id, `{"content":"","mentions":[]}`))
				check("", 1, 0)
				require.Empty(t, edit(id, `{"content":"text","attachments":[]}`))
				check("text", 0, 0)
				require.Equal(t, chat.CodeInvalid, edit(id, `{"content":""}`))
				require.Equal(t, chat.CodeNotFound, edit("none", `{"content":"x"}`))
				_, err := srv.Room("r").Delete(t.Context(), id, false)
				require.NoError(t, err)
				require.Equal(t, chat.CodeNotFound, edit(id, `{"content":"x"}`))
			})
		})
	}
	require.NotZero(t, seen)
}

func TestEditByTheHostTakesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		room := srv.Room("r")
		_, err := room.Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		m, err := room.Send(t.Context(), chat.Message{User: "bot", Content: "caption", Attachments: []chat.Attachment{{URL: "/a"}}, Mentions: []string{"bob"}, Meta: json.RawMessage(`{"k":1}`)})
		require.NoError(t, err)
		m, err = room.Edit(t.Context(), chat.Message{ID: m.ID})
		require.NoError(t, err)
		require.Empty(t, m.Content)
		require.Len(t, m.Attachments, 1)
		m, err = room.Edit(t.Context(), chat.Message{ID: m.ID, Mentions: []string{}, Meta: json.RawMessage{}})
		require.NoError(t, err)
		require.Empty(t, m.Mentions)
		require.Empty(t, m.Meta)
		require.Len(t, m.Attachments, 1)
		_, err = room.Edit(t.Context(), chat.Message{ID: m.ID, Attachments: []chat.Attachment{}})
		require.ErrorIs(t, err, chat.ErrInvalid)
		m, err = room.Edit(t.Context(), chat.Message{ID: m.ID, Content: "text", Attachments: []chat.Attachment{}})
		require.NoError(t, err)
		require.Empty(t, m.Attachments)
	})
}

// Middleware sees an edited message whole, and what it changes is changed; what
// nobody has touched is left to what others do to it meanwhile.
func TestMiddlewareSeesWhatAnEditLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []chat.Command
		var meanwhile func()
		var change func(*chat.Command)
		srv := chattest.New(t, &chat.Options{Middleware: []chat.Middleware{before(func(cmd *chat.Command) {
			if cmd.Type != chat.CmdEdit {
				return
			}
			got = append(got, *cmd)
			if meanwhile != nil {
				meanwhile()
			}
			if change != nil {
				change(cmd)
			}
		})}})
		alice := srv.Dial("alice")
		alice.Join("r")
		id := alice.Call(map[string]any{"type": "message", "room": "r", "content": "caption", "mentions": []string{"bob"}, "reply_to": "x", "attachments": []any{map[string]any{"url": "/a"}}}).ID
		edit := func(content string) {
			t.Helper()
			ev := alice.Call(map[string]any{"type": "edit", "room": "r", "id": id, "content": content})
			require.Equal(t, "ack", ev.Type, "%s", ev.Raw)
		}
		meanwhile = func() {
			_, err := srv.Room("r").Edit(t.Context(), chat.Message{ID: id, Content: "host", Mentions: []string{"carol"}})
			require.NoError(t, err)
		}
		edit("new")
		require.Len(t, got, 2, "it sees the edit again on what others have made of the message")
		for i, mentions := range []string{"bob", "carol"} {
			require.Equal(t, fmt.Sprint("new", []string{mentions}, "x", "/a"), fmt.Sprint(got[i].Content, got[i].Mentions, got[i].ReplyTo, got[i].Attachments[0].URL))
		}
		require.Equal(t, []string{"carol"}, messageOf(t, srv, id).Mentions, "a change of somebody else's is not taken back")
		meanwhile, change = nil, func(cmd *chat.Command) { cmd.Attachments, cmd.Mentions = nil, append(cmd.Mentions, "dave") }
		edit("newer")
		m := messageOf(t, srv, id)
		require.Empty(t, m.Attachments)
		require.Equal(t, []string{"carol", "dave"}, m.Mentions)
	})
}
