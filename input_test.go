package chat_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// strict fails unless a client that knows no mercy can read the frame.
func strict(t *testing.T, frame []byte) {
	t.Helper()
	var v map[string]any
	require.NoError(t, jsonv2.Unmarshal(frame, &v), "%s", frame)
}

// What a host sends is held to the rules for what clients send, in every part.
func TestWhatAHostSendsIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		room := srv.Room("r")
		ctx := t.Context()
		_, err := room.Create(ctx, chat.RoomInfo{})
		require.NoError(t, err)
		good := chat.Message{User: "bot", Content: "x"}
		first, err := room.Send(ctx, good)
		require.NoError(t, err)
		attached := func(a chat.Attachment) func(*chat.Message) {
			return func(m *chat.Message) { m.Attachments = []chat.Attachment{{URL: "/ok"}, a} }
		}
		for name, c := range map[string]struct {
			field string
			spoil func(*chat.Message)
		}{
			"attachment meta no JSON":   {"attachments[1].meta", attached(chat.Attachment{URL: "/a", Meta: json.RawMessage(`{`)})},
			"attachment meta forges":    {"attachments[1].meta", attached(chat.Attachment{URL: "/a", Meta: json.RawMessage(`{}}],"user":{"id":"eve"},"x":[{"y":{}`)})},
			"attachment meta no UTF-8":  {"attachments[1].meta", attached(chat.Attachment{URL: "/a", Meta: json.RawMessage("{\"a\":\"\xff\"}")})},
			"attachment meta no object": {"attachments[1].meta", attached(chat.Attachment{URL: "/a", Meta: json.RawMessage(`[]`)})},
			"attachment meta large":     {"attachments[1].meta", attached(chat.Attachment{URL: "/a", Meta: json.RawMessage(`{"a":"` + strings.Repeat("x", 5000) + `"}`)})},
			"attachment name no UTF-8":  {"attachments[1].name", attached(chat.Attachment{URL: "/a", Name: "\xff"})},
			"attachment url no UTF-8":   {"attachments[1].url", attached(chat.Attachment{URL: "/\xff"})},
			"attachment type":           {"attachments[1].type", attached(chat.Attachment{URL: "/a", Type: "a\nb"})},
			"attachment size":           {"attachments[1].size", attached(chat.Attachment{URL: "/a", Size: 1 << 60})},
			"attachment width":          {"attachments[1].width", attached(chat.Attachment{URL: "/a", Width: -1})},
			"meta no JSON":              {"meta", func(m *chat.Message) { m.Meta = json.RawMessage(`{"a"}`) }},
			"meta twice the name":       {"meta", func(m *chat.Message) { m.Meta = json.RawMessage(`{"a":1,"a":2}`) }},
			"content no UTF-8":          {"content", func(m *chat.Message) { m.Content = "\xff" }},
			"content NUL":               {"content", func(m *chat.Message) { m.Content = "a\x00" }},
			"mention no UTF-8":          {"mentions[0]", func(m *chat.Message) { m.Mentions = []string{"\xff"} }},
			"mention empty":             {"mentions[0]", func(m *chat.Message) { m.Mentions = []string{""} }},
		} {
			m := good
			c.spoil(&m)
			_, err := room.Send(ctx, m)
			require.Error(t, err, name)
			require.Equal(t, c.field, asChat(t, err).Field, name)
			m.ID = first.ID
			_, err = room.Edit(ctx, m)
			require.Error(t, err, name)
			require.Equal(t, c.field, asChat(t, err).Field, "edit: "+name)
		}
		for name, m := range map[string]chat.Message{
			"user no UTF-8": {User: "a\xff", Content: "x"},
			"nonce":         {User: "bot", Content: "x", Nonce: "a b"},
			"reply_to":      {User: "bot", Content: "x", ReplyTo: "\xff"},
			"thread":        {User: "bot", Content: "x", Thread: strings.Repeat("x", 65)},
			"kind":          {User: "bot", Content: "x", Kind: "loud"},
		} {
			_, err := room.Send(ctx, m)
			require.ErrorIs(t, err, chat.ErrInvalid, name)
		}
		for name, info := range map[string]chat.RoomInfo{
			"title no UTF-8":    {Title: "\xff"},
			"topic NUL":         {Topic: "\x00"},
			"title long":        {Title: strings.Repeat("x", 201)},
			"topic long":        {Topic: strings.Repeat("x", 1001)},
			"avatar long":       {Avatar: strings.Repeat("x", 2049)},
			"created by nobody": {CreatedBy: "a\xff"},
			"meta no JSON":      {Meta: json.RawMessage("{")},
			"meta no object":    {Meta: json.RawMessage("1")},
		} {
			_, err := srv.Room("other").Create(ctx, info)
			require.Error(t, err, name)
			_, err = room.Update(ctx, chat.RoomUpdate{Title: &info.Title, Topic: &info.Topic, Avatar: &info.Avatar, Meta: info.Meta})
			if name != "created by nobody" {
				require.Error(t, err, name)
			}
		}
		_, err = srv.Direct("alice", "b\xffb").Create(ctx, chat.RoomInfo{})
		require.ErrorIs(t, err, chat.ErrInvalid)
		_, err = room.Message(ctx, "")
		require.ErrorIs(t, err, chat.ErrNotFound)
		_, err = room.Delete(ctx, "\xff", false)
		require.ErrorIs(t, err, chat.ErrNotFound)
	})
}

func asChat(t *testing.T, err error) *chat.Error {
	t.Helper()
	var e *chat.Error
	require.ErrorAs(t, err, &e)
	return e
}

// spoiled is a store whose records are not what they were.
type spoiled struct{ *memory.Store }

func (s spoiled) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	p, err := s.Store.History(ctx, room, q)
	for i := range p.Messages {
		m := &p.Messages[i]
		m.Meta = json.RawMessage(`{},"user":{"id":"eve"},"x":{}`)
		m.Attachments = []chat.Attachment{{URL: "/a", Meta: json.RawMessage("\xff")}}
		m.Content += "\xff\x00"
	}
	if p.Room != nil {
		info := *p.Room
		info.Meta, info.Title = json.RawMessage(`{`), "\xff"
		p.Room = &info
	}
	return p, err
}

// Names, avatars and metas of whatever origin leave every frame readable.
func TestFramesAreReadableWhateverComesIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := func(id string) chat.User {
			return chat.User{ID: id, Name: "na\xffme\x00" + strings.Repeat("漢", 1000), Avatar: "/\xff"}
		}
		srv := chattest.New(t, &chat.Options{
			Store: spoiled{memory.New()},
			Authenticate: func(r *http.Request) (chat.User, error) {
				u, err := chattest.TokenIsUser(r)
				return odd(u.ID), err
			},
			Users: func(_ context.Context, ids []string) (list []chat.User, _ error) {
				for _, id := range ids {
					list = append(list, odd(id))
				}
				return list, nil
			},
			Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
				return func(ctx context.Context, cmd *chat.Command) error {
					err := next(ctx, cmd)
					if cmd.Result != nil {
						cmd.Result.Meta = json.RawMessage("}{")
					}
					if cmd.Content == "refuse" {
						return &chat.Error{Code: chat.CodeForbidden, Message: "\xff\x00", Field: "\xff", RetryAfter: -time.Second}
					}
					return err
				}
			}},
		})
		room := srv.Room("r")
		_, err := room.Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		_, err = room.Send(t.Context(), chat.Message{User: "host", Content: "x"})
		require.NoError(t, err)
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		joined := alice.Join("r")
		strict(t, joined.Raw)
		require.Less(t, len(joined.Raw), 4<<10)
		require.Equal(t, "host", joined.Messages[0].User)
		bob.Join("r")
		srv.Room("r").Typing(chat.User{ID: "ty\xff", Name: "x"}, true)
		srv.Room("r").Typing(odd("typist"), true)
		alice.Do(map[string]any{"type": "message", "room": "r", "content": "hello"})
		refused := alice.Call(map[string]any{"type": "message", "room": "r", "content": "refuse"})
		require.Equal(t, chat.CodeForbidden, refused.Code)
		strict(t, refused.Raw)
		for _, typ := range []string{"history", "members", "presence", "rooms"} {
			frame := map[string]any{"type": typ, "room": "r"}
			strict(t, alice.Call(frame).Raw)
		}
		synctest.Wait()
		for _, c := range []*chattest.Client{alice, bob} {
			for _, ev := range c.Drain() {
				strict(t, ev.Raw)
				require.NotEqual(t, "ty\xff", ev.User)
				require.NotEqual(t, "ty\ufffd", ev.User)
			}
		}
		resp, err := srv.HTTP("alice").Post("http://chat.test/chat/rooms/r/messages", "application/json", strings.NewReader(`{"content":"over REST"}`))
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, http.StatusCreated, resp.StatusCode)
		strict(t, body)
	})
}

// Two users whom the wire would show as one cannot both be.
func TestUserIDsAreUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Logger: quiet})
		resp, err := srv.HTTP("al\xffice").Get("http://chat.test/chat/rooms")
		if err == nil {
			_ = resp.Body.Close()
			require.NotEqual(t, http.StatusOK, resp.StatusCode)
		}
	})
}

// A middleware may change what a client sends, but not into what no client
// could have sent.
func TestWhatAMiddlewareChangesIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var change func(*chat.Command)
		srv := chattest.New(t, &chat.Options{Logger: quiet, Middleware: []chat.Middleware{before(func(cmd *chat.Command) {
			if cmd.Type == chat.CmdMessage && change != nil {
				change(cmd)
			}
		})}})
		alice := srv.Dial("alice")
		alice.Join("r")
		for name, c := range map[string]struct {
			change func(*chat.Command)
			field  string
		}{
			"meta":            {func(c *chat.Command) { c.Meta = json.RawMessage("{") }, "meta"},
			"content":         {func(c *chat.Command) { c.Content = "\xff" }, "content"},
			"nonce":           {func(c *chat.Command) { c.Nonce = "\xff" }, "nonce"},
			"mention":         {func(c *chat.Command) { c.Mentions = []string{"\xff"} }, "mentions[0]"},
			"attachment meta": {func(c *chat.Command) { c.Attachments = []chat.Attachment{{URL: "/", Meta: json.RawMessage("]")}} }, "attachments[0].meta"},
			"reply_to":        {func(c *chat.Command) { c.ReplyTo = "a b" }, "reply_to"},
			"room":            {func(c *chat.Command) { c.Room = "a/b" }, "room"},
		} {
			change = c.change
			ev := alice.Call(map[string]any{"type": "message", "room": "r", "content": "x"})
			require.Equal(t, chat.CodeInvalid, ev.Code, name)
			require.Equal(t, c.field, ev.Field, name)
		}
		change = func(c *chat.Command) { c.User.ID = "a\xff" }
		require.Equal(t, chat.CodeInternal, alice.Call(map[string]any{"type": "message", "room": "r", "content": "x"}).Code)
		change = nil
		require.Equal(t, "ack", alice.Call(map[string]any{"type": "message", "room": "r", "content": "x"}).Type)
	})
}

// What is handed out shares nothing with what the server keeps, nor what is
// handed in.
func TestWhatIsHandedOutIsACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const meta = `{"k":"kept"}`
		spoil := func(b []byte) {
			for i := range b {
				b[i] = '#'
			}
		}
		roles := []string{"member"}
		var seen []string
		srv := chattest.New(t, &chat.Options{
			Authenticate: func(r *http.Request) (chat.User, error) {
				u, err := chattest.TokenIsUser(r)
				u.Roles = roles
				return u, err
			},
			Authorize: func(ctx context.Context, u chat.User, a chat.Action, r chat.RoomInfo) error {
				err := chat.DefaultAuthorize(ctx, u, a, r)
				spoil(r.Meta)
				clear(r.Peers)
				return err
			},
			Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
				return func(ctx context.Context, cmd *chat.Command) error {
					seen = append(seen, cmd.User.Roles...)
					clear(cmd.User.Roles)
					err := next(ctx, cmd)
					if m := cmd.Result; m != nil {
						spoil(m.Meta)
						clear(m.Mentions)
						clear(m.Attachments)
					}
					return err
				}
			}},
		})
		room := srv.Room("r")
		_, err := room.Create(t.Context(), chat.RoomInfo{Meta: json.RawMessage(meta)})
		require.NoError(t, err)
		alice := srv.Dial("alice")
		roles[0] = "admin" // the host's slice is the host's
		alice.Join("r")
		mine := chat.Message{User: "bot", Content: "x", Mentions: []string{"bob"}, Meta: json.RawMessage(meta), Attachments: []chat.Attachment{{URL: "/a", Meta: json.RawMessage(meta)}}}
		sent, err := room.Send(t.Context(), mine)
		require.NoError(t, err)
		taint := func(m *chat.Message) {
			spoil(m.Meta)
			for i := range m.Attachments {
				spoil(m.Attachments[i].Meta)
			}
			clear(m.Mentions)
			clear(m.Attachments)
		}
		require.Empty(t, alice.Call(map[string]any{"type": "message", "room": "r", "content": "y", "mentions": []string{"bob"}, "meta": map[string]any{"k": "kept"}, "attachments": []any{map[string]any{"url": "/a", "meta": map[string]any{"k": "kept"}}}}).Code)
		taint(&mine)
		taint(&sent)
		for range 2 {
			info, err := room.Info(t.Context())
			require.NoError(t, err)
			require.JSONEq(t, meta, string(info.Meta))
			spoil(info.Meta)
			page, err := room.History(t.Context(), chat.Query{Limit: 10})
			require.NoError(t, err)
			require.JSONEq(t, meta, string(page.Room.Meta))
			spoil(page.Room.Meta)
			require.Len(t, page.Messages, 2)
			for i := range page.Messages {
				m := &page.Messages[i]
				require.JSONEq(t, meta, string(m.Meta))
				require.Equal(t, []string{"bob"}, m.Mentions)
				require.Equal(t, "/a", m.Attachments[0].URL)
				require.JSONEq(t, meta, string(m.Attachments[0].Meta))
				taint(m)
			}
			ctx, cancel := context.WithCancel(t.Context())
			for e, err := range room.Changes(ctx, chat.Position{}) {
				require.NoError(t, err)
				if e.Room != nil {
					require.JSONEq(t, meta, string(e.Room.Meta))
					spoil(e.Room.Meta)
					continue
				}
				require.JSONEq(t, meta, string(e.Message.Meta))
				taint(e.Message)
				if e.Message.Seq == 2 {
					break
				}
			}
			cancel()
			rooms, err := srv.Rooms(t.Context(), "", 10)
			require.NoError(t, err)
			require.JSONEq(t, meta, string(rooms.Rooms[0].Room.Meta))
			require.JSONEq(t, meta, string(rooms.Rooms[0].LastMessage.Meta))
			spoil(rooms.Rooms[0].Room.Meta)
			taint(rooms.Rooms[0].LastMessage)
		}
		direct, err := srv.Direct("alice", "bob").Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		clear(direct.Peers)
		require.Equal(t, "joined", alice.JoinUser("bob").Type)
		require.Equal(t, "joined", alice.JoinUser("bob").Type)
		require.NotEmpty(t, seen)
		for _, role := range seen {
			require.Equal(t, "member", role)
		}
	})
}
