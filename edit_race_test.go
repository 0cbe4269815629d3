package chat_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// between is a store in which something happens after a message has been read by its id.
type between struct {
	chat.Store
	mu   sync.Mutex
	then func()
}

func (b *between) Unwrap() chat.Store { return b.Store }

func (b *between) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	page, err := b.Store.History(ctx, room, q)
	b.mu.Lock()
	then := b.then
	if q.ID != "" {
		b.then = nil
	}
	b.mu.Unlock()
	if q.ID != "" && then != nil {
		then()
	}
	return page, err
}

// hostDoor edits as the host does.
func hostDoor(t *testing.T, srv *chattest.Server, _ *chattest.Client, id, fields string) chat.Code {
	var m struct { // unlike a Message it keeps none and empty apart
		Content     string
		Mentions    []string
		Attachments []struct{ URL string }
	}
	require.NoError(t, json.Unmarshal([]byte(fields), &m))
	to := chat.Message{ID: id, Content: m.Content, Mentions: m.Mentions}
	if m.Attachments != nil {
		to.Attachments = []chat.Attachment{}
		for _, a := range m.Attachments {
			to.Attachments = append(to.Attachments, chat.Attachment{URL: a.URL})
		}
	}
	_, err := srv.Room("r").Edit(t.Context(), to)
	return chat.CodeOf(err)
}

// raced makes an edit in which another server makes one of its own between the look at
// the message and the change of it, and returns how the first one went and what is stored.
func raced(t *testing.T, door func(*testing.T, *chattest.Server, *chattest.Client, string, string) chat.Code,
	o chat.Options, sent, first, second string) (code chat.Code, left chat.Message) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{SharedStore: storagetest.Shared(memory.New()), t: t}
		node := g.Node()
		store := &between{Store: node}
		o.Store = store
		one, two := g.serve(node, o), g.add(chat.Options{Middleware: o.Middleware})
		synctest.Wait()
		alice := one.Dial("alice")
		alice.Join("r")
		var m chat.Message
		require.NoError(t, json.Unmarshal([]byte(sent), &m))
		m.User = "alice"
		m, err := one.Room("r").Send(t.Context(), m)
		require.NoError(t, err)
		store.mu.Lock()
		store.then = func() { require.Empty(t, hostDoor(t, two, nil, m.ID, second)) }
		store.mu.Unlock()
		code = door(t, one, alice, m.ID, first)
		synctest.Wait()
		left = messageOf(t, two, m.ID)
		require.Equal(t, left, messageOf(t, one, m.ID))
	})
	return code, left
}

func allEditDoors() map[string]func(*testing.T, *chattest.Server, *chattest.Client, string, string) chat.Code {
	doors := map[string]func(*testing.T, *chattest.Server, *chattest.Client, string, string) chat.Code{"host": hostDoor}
	for name, door := range editDoors {
		doors[name] = door
	}
	return doors
}

// An attachment that makes up for a content of which nothing is to be seen is there when
// the content is stored, whatever another server does to it meanwhile.
func TestRacingEditsLeaveNoInvisibleMessage(t *testing.T) {
	const sent, taken = `{"content":"hi","attachments":[{"url":"/a"}]}`, `{"content":"x","attachments":[]}`
	for name, door := range allEditDoors() {
		for _, content := range []string{"", " ", "\u200b", "\u2800\u00ad"} {
			t.Run(name+"/"+content, func(t *testing.T) {
				first, err := json.Marshal(map[string]any{"content": content})
				require.NoError(t, err)
				code, left := raced(t, door, chat.Options{}, sent, string(first), taken)
				require.Equal(t, chat.CodeConflict, code)
				require.True(t, wire.Visible(left.Content) || len(left.Attachments) > 0, "%+q", left)
				require.Empty(t, left.Attachments, "what others have taken away is not put back")
			})
		}
	}
}

// What an edit says is none is none, also where there was none when it was looked at.
func TestEditTakesAwayWhatHasComeMeanwhile(t *testing.T) {
	for name, door := range allEditDoors() {
		t.Run(name, func(t *testing.T) {
			code, left := raced(t, door, chat.Options{}, `{"content":"hi"}`, `{"content":"plain","attachments":[],"mentions":[]}`,
				`{"content":"x","attachments":[{"url":"/a"}],"mentions":["bob"]}`)
			require.Empty(t, code)
			require.Equal(t, "plain", left.Content)
			require.Empty(t, left.Attachments)
			require.Empty(t, left.Mentions)
		})
	}
}

// What a middleware does not let pass is not stored by two edits either, each of which it
// lets pass by what the message was before the other.
func TestRacingEditsKeepARuleOfMiddleware(t *testing.T) {
	broken := func(content string, mentions []string) bool {
		return strings.Contains(content, "https://") && len(mentions) > 0
	}
	passes := 0
	rule := before(func(cmd *chat.Command) {
		if cmd.Type == chat.CmdEdit {
			passes++
		}
	})
	refuse := func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			if cmd.Type == chat.CmdEdit && broken(cmd.Content, cmd.Mentions) {
				return chat.Errorf(chat.CodeForbidden, "links mention nobody")
			}
			return next(ctx, cmd)
		}
	}
	for name, door := range editDoors {
		t.Run(name, func(t *testing.T) {
			o := chat.Options{Middleware: []chat.Middleware{rule, refuse}}
			passes = 0
			code, left := raced(t, door, o, `{"content":"hi"}`, `{"content":"https://evil.example"}`, `{"content":"hi","mentions":["bob"]}`)
			require.Equal(t, chat.CodeForbidden, code)
			require.Equal(t, 2, passes)
			require.False(t, broken(left.Content, left.Mentions), "%+v", left)

			passes = 0
			code, left = raced(t, door, o, `{"content":"hi"}`, `{"content":"https://good.example"}`, `{"content":"hi","attachments":[{"url":"/a"}]}`)
			require.Empty(t, code, "it is looked at anew")
			require.Equal(t, 2, passes)
			require.Equal(t, "https://good.example", left.Content)
			require.Len(t, left.Attachments, 1)
		})
	}
}

// An edit that others overtake every time is answered in the end.
func TestEditThatIsAlwaysOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var srv *chattest.Server
		var id string
		passes := 0
		srv = chattest.New(t, &chat.Options{Middleware: []chat.Middleware{before(func(cmd *chat.Command) {
			if cmd.Type == chat.CmdEdit {
				passes++
				_, err := srv.Room("r").Edit(t.Context(), chat.Message{ID: id, Content: "host", Mentions: []string{time.Now().String(), strings.Repeat("x", passes)}})
				require.NoError(t, err)
			}
		})}})
		alice := srv.Dial("alice")
		alice.Join("r")
		id = alice.Call(map[string]any{"type": "message", "room": "r", "content": "x"}).ID
		ev := alice.Call(map[string]any{"type": "edit", "room": "r", "id": id, "content": "mine"})
		require.Equal(t, chat.CodeConflict, ev.Code)
		require.Equal(t, 3, passes)
		require.Equal(t, "host", messageOf(t, srv, id).Content)
	})
}

// TestChangeEditGoesByWhatWasSeen where it leaves something alone, and only there.
func TestChangeEditGoesByWhatWasSeen(t *testing.T) {
	seen := chat.Message{Content: "seen", Mentions: []string{"bob"}, Attachments: []chat.Attachment{{URL: "/a", Meta: json.RawMessage(`{"w":1}`)}}, Meta: json.RawMessage(`{"k":1}`)}
	whole := chat.Message{Content: "to", Mentions: []string{}, Attachments: []chat.Attachment{}, Meta: json.RawMessage{}}
	for name, alter := range map[string]func(m, to *chat.Message){
		"mentions":       func(m, to *chat.Message) { m.Mentions, to.Mentions = nil, nil },
		"attachments":    func(m, to *chat.Message) { m.Attachments, to.Attachments = nil, nil },
		"of attachments": func(m, to *chat.Message) { m.Attachments, to.Attachments = []chat.Attachment{{URL: "/a"}}, nil },
		"meta":           func(m, to *chat.Message) { m.Meta, to.Meta = json.RawMessage(`{"k":2}`), nil },
	} {
		now, to := seen, whole
		alter(&now, &to)
		for _, c := range []struct {
			now, to chat.Message
			seen    *chat.Message
			refused bool
		}{
			{seen, whole, &seen, false},
			{seen, to, &seen, false},
			{now, whole, &seen, false},
			{now, to, nil, false},
			{now, to, &seen, true},
		} {
			m, changed, err := (&chat.Change{Kind: chat.ChangeEdit, Message: c.to, Seen: c.seen}).Edit(c.now)
			require.Equal(t, !c.refused, changed, name)
			if c.refused {
				require.ErrorIs(t, err, chat.ErrConflict, name)
				require.Equal(t, c.now, m, name)
			} else {
				require.NoError(t, err, name)
				require.Equal(t, "to", m.Content, name)
			}
		}
	}
}
