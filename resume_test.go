package chat_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// bubble runs a test with a server in memory, in fake time.
func bubble(t *testing.T, o *chat.Options, test func(t *testing.T, srv *chattest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, chattest.New(t, o)) })
}

// say has the host write n messages into the room, which it makes on the way.
func say(t *testing.T, room *chat.Room, n int) (ids []string) {
	t.Helper()
	ctx := context.Background()
	if _, err := room.Create(ctx, chat.RoomInfo{}); err != nil {
		require.ErrorIs(t, err, chat.ErrConflict)
	}
	for i := range n {
		m, err := room.Send(ctx, chat.Message{User: "host", Content: fmt.Sprint("message ", i)})
		require.NoError(t, err)
		ids = append(ids, m.ID)
	}
	return ids
}

func headOf(t *testing.T, room *chat.Room) chat.Position {
	t.Helper()
	page, err := room.History(context.Background(), chat.Query{})
	require.NoError(t, err)
	return page.Head
}

// settle lets everything happen that is about to, and returns what the client
// has got of the room's log, as "type rev".
func settle(c *chattest.Client) (list []string) {
	time.Sleep(3 * time.Second)
	for _, ev := range c.Drain() {
		if ev.Type != "presence" {
			list = append(list, fmt.Sprint(ev.Type, " ", max(ev.Rev, ev.Head)))
		}
	}
	return list
}

// change edits an old message and deletes another, then writes two new ones and
// edits the first of them.
func change(t *testing.T, room *chat.Room, old []string) {
	t.Helper()
	ctx := context.Background()
	_, err := room.Edit(ctx, chat.Message{ID: old[0], Content: "edited"})
	require.NoError(t, err)
	_, err = room.Delete(ctx, old[1], false)
	require.NoError(t, err)
	fresh := say(t, room, 2)
	_, err = room.Edit(ctx, chat.Message{ID: fresh[0], Content: "edited"})
	require.NoError(t, err)
}

func TestResumeSendsEverythingAfterThePosition(t *testing.T) {
	live := []string{"edit 5", "delete 6", "message 7", "message 8", "edit 9", "synced 9"}
	folded := []string{"edit 5", "delete 6", "message 8", "message 9", "synced 9"}
	for _, tt := range []struct {
		name   string
		ring   int
		keeper bool // somebody stays in the room
		away   time.Duration
		want   []string
	}{
		{"from the ring", 0, true, time.Second, live},
		{"from the ring, partly", 3, true, time.Second, folded},
		{"from the store", 1, true, time.Second, folded},
		{"after the ring was dropped", 0, true, 5 * time.Minute, folded},
		{"of a room that nobody is in", 0, false, time.Minute, folded},
		{"of a room that nobody is in, within the grace", 0, false, time.Second, folded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, &chat.Options{Limits: chat.Limits{RingFrames: tt.ring}}, func(t *testing.T, srv *chattest.Server) {
				room := srv.Room("r")
				old := say(t, room, 3)
				if tt.keeper {
					srv.Dial("keeper").Join("r")
				}
				alice := srv.Dial("alice")
				was := alice.Join("r")
				alice.Cut()
				synctest.Wait()
				change(t, room, old)
				time.Sleep(tt.away)

				alice = srv.Dial("alice")
				joined := alice.Resume("r", was.Epoch, was.Head)
				require.False(t, joined.Reset)
				require.Empty(t, joined.Messages)
				require.EqualValues(t, 9, joined.Head)
				require.Equal(t, tt.want, settle(alice))
				say(t, room, 1)
				require.Equal(t, []string{"message 10"}, settle(alice), "live from here on")
			})
		})
	}
}

func TestResumeAtTheHeadIsSyncedAtOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		say(t, srv.Room("r"), 3)
		for range 2 { // a room that is not live, and one that is
			c := srv.Dial("alice")
			head := headOf(t, srv.Room("r"))
			require.EqualValues(t, 4, c.Resume("r", head.Epoch, head.Rev).Head)
			require.Equal(t, []string{"synced 4"}, settle(c))
		}
	})
}

func TestResumeThatCannotBeContinuedIsReset(t *testing.T) {
	store := func(keep int) chat.Store { return memory.NewWith(memory.Options{MaxMessages: keep}) }
	for _, tt := range []struct {
		name  string
		keep  int
		epoch string
		after int64
		reset bool
	}{
		{"another epoch", 0, "another", 31, true},
		{"the future", 0, "", 32, true},
		{"far too far behind", 0, "", 0, true},
		{"one change too far behind", 0, "", 20, true},
		{"as far behind as is allowed", 0, "", 21, false},
		{"trimmed", 5, "", 25, true},
		{"just not trimmed", 5, "", 26, false},
	} {
		for _, live := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, ", live ", live), func(t *testing.T) {
				o := &chat.Options{Store: store(tt.keep), Limits: chat.Limits{Resume: 10, History: 4, RingFrames: 3}}
				bubble(t, o, func(t *testing.T, srv *chattest.Server) {
					room := srv.Room("r")
					say(t, room, 1)
					if live {
						srv.Dial("keeper").Join("r")
					}
					say(t, room, 29)
					head := headOf(t, room)
					if tt.epoch != "" {
						head.Epoch = tt.epoch
					}
					c := srv.Dial("alice")
					joined := c.Resume("r", head.Epoch, tt.after)
					require.Equal(t, tt.reset, joined.Reset)
					require.EqualValues(t, 31, joined.Head)
					got := settle(c)
					if tt.reset {
						require.Len(t, joined.Messages, 4)
						require.EqualValues(t, 30, joined.Messages[3].Seq)
						require.NotEqual(t, "another", joined.Epoch)
						require.Empty(t, got)
					} else {
						require.Empty(t, joined.Messages)
						require.Len(t, got, int(31-tt.after)+1)
					}
					say(t, room, 1)
					require.Equal(t, []string{"message 32"}, settle(c))
				})
			})
		}
	}
}

func TestFiftyRoomsResumeInOneFrame(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		var joins []map[string]any
		for i := range 50 {
			room := srv.Room(fmt.Sprint("room-", i))
			say(t, room, 1+i%5)
			joins = append(joins, map[string]any{"room": room.ID(), "epoch": headOf(t, room).Epoch, "after": 2})
		}
		c := srv.Dial("alice")
		c.Do(map[string]any{"type": "join", "ref": "all", "rooms": joins})
		time.Sleep(3 * time.Second)
		got := make(map[string][]string)
		for _, ev := range c.Drain() {
			if ev.Type == "joined" {
				require.Equal(t, "all", ev.Ref)
			}
			if ev.Type != "presence" {
				got[ev.Room] = append(got[ev.Room], ev.Type)
			}
		}
		for i := range 50 {
			want := []string{"joined"}
			for range i % 5 {
				want = append(want, "message")
			}
			require.Equal(t, append(want, "synced"), got[fmt.Sprint("room-", i)])
		}
	})
}

func TestSecondJoinStartsOver(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		room := srv.Room("r")
		say(t, room, 3)
		c := srv.Dial("alice")
		first := c.Join("r")
		again := c.Resume("r", first.Epoch, 2)
		require.Empty(t, again.Messages)
		require.Equal(t, 1, again.Online)
		require.Equal(t, []string{"message 3", "message 4", "synced 4"}, settle(c))
		require.Len(t, c.Join("r").Messages, 3)
		say(t, room, 1)
		require.Equal(t, []string{"message 5"}, settle(c), "once, not once for each join")
		c.Leave("r")
		require.Equal(t, chat.CodeNotFound, c.Call(map[string]any{"type": "leave", "room": "r"}).Code)
		say(t, room, 1)
		require.Empty(t, settle(c))
		require.Empty(t, online(t, room))
	})
}

// A log that is replaced while somebody follows it.
func TestReplacedLogResetsWhoFollowsIt(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace func(t *testing.T, s *memory.Store)
		head    int64
		pages   int
	}{
		{"new epoch", func(t *testing.T, s *memory.Store) {
			_, err := s.NewEpoch(context.Background(), "r")
			require.NoError(t, err)
		}, 5, 4},
		{"removed and made again", func(t *testing.T, s *memory.Store) {
			require.NoError(t, s.RemoveRoom(context.Background(), "r"))
		}, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := memory.New()
			bubble(t, &chat.Options{Store: store}, func(t *testing.T, srv *chattest.Server) {
				room := srv.Room("r")
				say(t, room, 3)
				a, b := srv.Dial("alice"), srv.Dial("bob")
				was := a.Join("r")
				b.Join("r")
				tt.replace(t, store)
				say(t, room, 1)
				for _, c := range []*chattest.Client{a, b} {
					time.Sleep(3 * time.Second)
					reset := c.Expect("reset")
					require.NotEqual(t, was.Epoch, reset.Epoch)
					// What is not in the page, because that was read in between,
					// comes behind it.
					live := settle(c)
					require.EqualValues(t, tt.head-reset.Head, len(live))
					require.Len(t, reset.Messages, tt.pages-len(live))
				}
				say(t, room, 1)
				require.Equal(t, []string{fmt.Sprint("message ", tt.head+1)}, settle(a))
				c := srv.Dial("carol")
				require.True(t, c.Resume("r", was.Epoch, was.Head).Reset)
				require.Empty(t, settle(c))
			})
		})
	}
}

func TestRemovedRoomIsLeft(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		room := srv.Room("r")
		say(t, room, 1)
		c := srv.Dial("alice")
		c.Join("r")
		require.NoError(t, room.Remove(context.Background()))
		require.Equal(t, chat.CodeNotFound, c.Expect("left").Code)
		say(t, room, 1)
		require.Empty(t, settle(c))
	})
}
