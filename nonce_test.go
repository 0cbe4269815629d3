package chat_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
)

// send sends a message with a nonce and returns the answer.
func send(c *chattest.Client, room, content, nonce string) chattest.Event {
	return c.Call(map[string]any{"type": "message", "room": room, "content": content, "nonce": nonce})
}

// requireFirstAck holds the answer of a retry to the answer of the first try.
func requireFirstAck(t *testing.T, first, again chattest.Event) {
	t.Helper()
	require.Equal(t, "ack", again.Type, "%s", again.Raw)
	require.True(t, again.Duplicate)
	require.False(t, first.Duplicate)
	require.Equal(t, []any{first.Room, first.ID, first.Seq, first.Rev}, []any{again.Room, again.ID, again.Seq, again.Rev})
	created := func(ev chattest.Event) string {
		_, rest, _ := strings.Cut(string(ev.Raw), `"created_at":`)
		return rest[:26]
	}
	require.Equal(t, created(first), created(again))
}

func requireCount(t *testing.T, room *chat.Room, n int) {
	t.Helper()
	page, err := room.History(context.Background(), chat.Query{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, page.Messages, n)
}

func TestNonceOfTwoSessionsAtOnceIsOneMessage(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{})
		tabs := []*chattest.Client{h.dial("alice"), h.dial("alice"), h.dial("alice")}
		tabs[0].Join("r")
		const n = 30
		for i := range n {
			acks := make([]chattest.Event, len(tabs))
			var all sync.WaitGroup
			for k, c := range tabs {
				all.Go(func() { acks[k] = send(c, "r", "x", fmt.Sprint("n-", i)) })
			}
			all.Wait()
			duplicates := 0
			for _, ack := range acks {
				require.Equal(t, acks[0].ID, ack.ID)
				require.EqualValues(t, i+1, ack.Seq)
				if ack.Duplicate {
					duplicates++
				}
			}
			require.Equal(t, len(tabs)-1, duplicates)
		}
		requireCount(t, h.Room("r"), n)
	})
}

func TestNonceAgainGetsTheFirstAck(t *testing.T) {
	for _, tt := range []struct {
		name, content string
		between       func(t *testing.T, room *chat.Room, id string)
	}{
		{name: "at once", content: "first"},
		{name: "with other content", content: "other"},
		{name: "with content that is not allowed", content: strings.Repeat("x", 5000)},
		{name: "after an edit", content: "first", between: func(t *testing.T, room *chat.Room, id string) {
			_, err := room.Edit(t.Context(), chat.Message{ID: id, Content: "edited"})
			require.NoError(t, err)
		}},
		{name: "after a delete", content: "first", between: func(t *testing.T, room *chat.Room, id string) {
			_, err := room.Delete(t.Context(), id, false)
			require.NoError(t, err)
		}},
		{name: "after a hard delete", content: "first", between: func(t *testing.T, room *chat.Room, id string) {
			_, err := room.Delete(t.Context(), id, true)
			require.NoError(t, err)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
				c := srv.Dial("alice")
				c.Join("r")
				first := send(c, "r", "first", "n")
				send(c, "r", "something else", "m")
				if tt.between != nil {
					tt.between(t, srv.Room("r"), first.ID)
				}
				c.Cut()
				c = srv.Dial("alice")
				requireFirstAck(t, first, send(c, "r", tt.content, "n"))
				requireCount(t, srv.Room("r"), 2)
				msg, err := srv.Room("r").Send(t.Context(), chat.Message{User: "alice", Content: "by the host", Nonce: "n"})
				require.NoError(t, err)
				require.Equal(t, first.ID, msg.ID, "the host's sends have the same nonces")
				requireCount(t, srv.Room("r"), 2)
			})
		})
	}
}

func TestNonceBelongsToOneUserInOneRoom(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		ids := make(map[string]bool)
		for _, room := range []string{"r", "s"} {
			for _, c := range []*chattest.Client{alice, bob} {
				c.Join(room)
				ack := send(c, room, "x", "n")
				require.False(t, ack.Duplicate)
				ids[ack.ID] = true
			}
			requireCount(t, srv.Room(room), 2)
		}
		require.Len(t, ids, 4)
	})
}

func TestNonceIsLookedUpBeforeLimits(t *testing.T) {
	limit := middleware.RateLimitWith(nil, middleware.RateLimits{Write: chat.Rate{PerSecond: 0.001, Burst: 2}})
	bubble(t, &chat.Options{Middleware: []chat.Middleware{limit}}, func(t *testing.T, srv *chattest.Server) {
		c := srv.Dial("alice")
		c.Join("r")
		first := send(c, "r", "first", "n")
		send(c, "r", "second", "m")
		require.Equal(t, chat.CodeRateLimited, send(c, "r", "third", "o").Code)
		requireFirstAck(t, first, send(c, "r", "first", "n"))
		require.Equal(t, chat.CodeRateLimited, send(c, "s", "first", "n").Code, "another room")
		requireCount(t, srv.Room("r"), 2)
	})
}

func TestNonceIsLookedUpAfterPermissionIsLost(t *testing.T) {
	for _, lost := range []chat.Action{chat.ActionWrite, chat.ActionRead} {
		t.Run(string(lost), func(t *testing.T) {
			var muted atomic.Bool
			o := &chat.Options{Authorize: func(_ context.Context, u chat.User, a chat.Action, _ chat.RoomInfo) error {
				if muted.Load() && (a == lost || a == chat.ActionWrite) && u.ID == "alice" {
					return chat.ErrForbidden
				}
				return nil
			}}
			bubble(t, o, func(t *testing.T, srv *chattest.Server) {
				c := srv.Dial("alice")
				c.Join("r")
				first := send(c, "r", "first", "n")
				muted.Store(true)
				require.Equal(t, "error", send(c, "r", "second", "m").Type)
				requireFirstAck(t, first, send(c, "r", "first", "n"))
				bob := srv.Dial("bob")
				require.False(t, send(bob, "r", "bob's", "n").Duplicate)
				requireCount(t, srv.Room("r"), 2)
			})
		})
	}
}
