package chat_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// tally counts what a list of rooms costs.
type tally struct {
	chat.Store
	asked, lists, read atomic.Int64
}

func (c *tally) Unwrap() chat.Store { return c.Store }

func (c *tally) ListRooms(ctx context.Context, prefix, after string, limit int) ([]chat.RoomSummary, bool, error) {
	rooms, more, err := c.Store.(chat.RoomLister).ListRooms(ctx, prefix, after, limit)
	c.lists.Add(1)
	c.read.Add(int64(len(rooms)))
	return rooms, more, err
}

// ListDirect hides that of the store below: what there is none of costs most.
func (c *tally) ListDirect(ctx context.Context, prefix, _, after string, limit int) ([]chat.RoomSummary, bool, error) {
	return c.ListRooms(ctx, prefix, after, limit)
}

func (c *tally) authorize(_ context.Context, _ chat.User, _ chat.Action, room chat.RoomInfo) error {
	c.asked.Add(1)
	if strings.Contains(room.ID, "hidden") {
		return errors.New("not yours")
	}
	return nil
}

type listed struct {
	Code  chat.Code
	Rooms []struct {
		ID string
	}
	More   bool
	Cursor string
}

// A page of rooms costs no more where there are many that the user may not see, and going
// by more and cursor leads to all others: over both doors, and from one server to another.
func TestRoomsThatAreNotForTheUserAreBounded(t *testing.T) {
	const hidden = 1500
	var want []string
	lists := func(g *group) map[string]func(srv int, cursor string, limit int) listed {
		clients := g.dial("alice", "alice")
		return map[string]func(int, string, int) listed{
			"websocket": func(srv int, cursor string, limit int) listed {
				return decoded[listed](t, clients[srv].Call(map[string]any{"type": "rooms", "limit": limit, "cursor": cursor}).Raw)
			},
			"rest": func(srv int, cursor string, limit int) listed {
				return decoded[listed](t, get(t, g.srvs[srv], "alice", fmt.Sprintf("/rooms?limit=%d&cursor=%s", limit, url.QueryEscape(cursor))))
			},
		}
	}
	together(t, 0, func(t *testing.T, g *group) {
		var counts []*tally
		for range 2 {
			node := g.Node()
			c := &tally{Store: node}
			counts = append(counts, c)
			g.serve(node, chat.Options{Store: c, Authorize: c.authorize})
		}
		synctest.Wait()
		make := func(id string, kind chat.RoomKind, peers ...string) {
			_, err := counts[0].Append(t.Context(), id, chat.Position{}, []chat.Change{{Kind: chat.ChangeCreateRoom, Room: chat.RoomInfo{ID: id, Kind: kind, Peers: peers}}})
			require.NoError(t, err)
		}
		mine := chat.DirectID("alice", "bob")
		make(mine, chat.RoomDirect, "alice", "bob")
		want = append(want, mine)
		for i := range 600 {
			user := fmt.Sprint("user", i)
			make(chat.DirectID(user, "bob"), chat.RoomDirect, "bob", user)
		}
		for i := range hidden {
			make(fmt.Sprintf("room%04d-hidden", i), chat.RoomPublic)
			if i%400 == 200 || i > hidden-3 {
				id := fmt.Sprintf("room%04d-open", i)
				make(id, chat.RoomPublic)
				want = append(want, id)
			}
		}
		for name, list := range lists(g) {
			for _, limit := range []int{1, 3, 200} {
				var seen []string
				pages := 0
				for cursor := ""; ; {
					srv := pages % 2
					pages++
					c := counts[srv]
					asked, calls, read := c.asked.Load(), c.lists.Load(), c.read.Load()
					p := list(srv, cursor, limit)
					require.Empty(t, p.Code)
					require.LessOrEqual(t, c.asked.Load()-asked, int64(256+limit+1), name)
					require.LessOrEqual(t, c.read.Load()-read, int64(256+limit+2*64), name)
					require.LessOrEqual(t, c.lists.Load()-calls, int64(20), name)
					for _, r := range p.Rooms {
						seen = append(seen, r.ID)
					}
					require.Equal(t, p.More, p.Cursor != "")
					at, err := base64.RawURLEncoding.DecodeString(p.Cursor)
					require.NoError(t, err)
					require.LessOrEqual(t, len(p.Cursor), 512)
					require.NotContains(t, string(at), "hidden", "nobody learns of it")
					if strings.HasPrefix(string(at), "~") {
						require.Equal(t, mine, string(at), "nobody learns of it")
					}
					if cursor = p.Cursor; !p.More {
						break
					}
					require.Less(t, pages, 100)
				}
				require.Equal(t, want, seen, "%s, %d at a time", name, limit)
			}
		}
		page, err := g.srvs[0].Rooms(t.Context(), "", 5000)
		require.NoError(t, err)
		require.Len(t, page.Rooms, hidden+600+len(want), "the host sees them all at once")
		require.False(t, page.More)
	})
}

// A cursor at a room that a user may not know of is that user's alone.
func TestCursorsAtHiddenRoomsAreSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &tally{Store: memory.New()}
		srv := chattest.New(t, &chat.Options{Store: c, Authorize: c.authorize})
		for i := range 300 {
			_, err := srv.Room(fmt.Sprintf("hidden%03d", i)).Create(t.Context(), chat.RoomInfo{})
			require.NoError(t, err)
		}
		first := decoded[listed](t, get(t, srv, "alice", "/rooms"))
		require.True(t, first.More)
		require.NotNil(t, first.Rooms)
		require.Empty(t, first.Rooms)
		last := decoded[listed](t, get(t, srv, "alice", "/rooms?cursor="+first.Cursor))
		require.False(t, last.More)
		again := decoded[listed](t, get(t, srv, "alice", "/rooms"))
		require.NotEqual(t, first.Cursor, again.Cursor, "nothing can be compared")

		forged := base64.RawURLEncoding.EncodeToString([]byte("\x00" + strings.Repeat("x", 40)))
		for user, cursor := range map[string]string{"bob": first.Cursor, "alice": forged, "carol": base64.RawURLEncoding.EncodeToString([]byte{0})} {
			resp, err := srv.HTTP(user).Get("http://chat.test/chat/rooms?cursor=" + cursor)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, user)
		}
	})
}
