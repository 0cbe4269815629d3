package chat_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// TestRevokeAgainstCommandsUnderWay guards invariant 6: when Revoke has
// returned, and on other servers two seconds later, nothing that shows the room
// is begun, wherever the command was that would have shown it.
func TestRevokeAgainstCommandsUnderWay(t *testing.T) {
	for name, command := range map[string]map[string]any{
		"join":      {"type": "join", "room": "secret"},
		"join many": {"type": "join", "rooms": []map[string]any{{"room": "secret", "history": 10}}},
		"resume":    {"type": "join", "room": "secret", "after": 2, "epoch": ""},
		"history":   {"type": "history", "room": "secret"},
		"members":   {"type": "members", "room": "secret"},
		"presence":  {"type": "presence", "room": "secret"},
		"rooms":     {"type": "rooms"},
	} {
		t.Run(name, func(t *testing.T) {
			interleave(t, func(t *testing.T, p *points, out *sync.Map, here, there *chattest.Server) bool {
				n := p.nth
				p.arm(0)
				say(t, here.Room("secret"), 3)
				alice, bob := here.Dial("alice"), here.Dial("bob")
				epoch := alice.Join("secret").Epoch
				if name == "resume" { // out of the ring
					alice.Send("secret", "x")
					command["epoch"] = epoch
				}
				bob.Barrier()
				synctest.Wait()
				bob.Drain()
				p.arm(n)
				bob.Do(command)
				synctest.Wait()
				if !p.reached() {
					close(p.release)
					return false
				}
				out.Store("bob", true)
				require.NoError(t, there.Revoke(t.Context(), "bob", "secret"))
				if here != there {
					time.Sleep(2 * time.Second)
				}
				synctest.Wait()
				bob.Drain() // what was begun before
				close(p.release)
				synctest.Wait()
				alice.Send("secret", "for those who may")
				time.Sleep(3 * time.Second)
				for _, ev := range bob.Drain() {
					switch ev.Type {
					case "left":
					case "error":
						require.Equal(t, chat.CodeNotFound, ev.Code, string(ev.Raw))
					case "rooms":
						require.NotContains(t, string(ev.Raw), "secret")
					default:
						t.Fatalf("point %d: begun after Revoke: %s", n, ev.Raw)
					}
				}
				return true
			})
		})
	}
}

// TestRevokeAgainstREST is the same for what is asked for over HTTP.
func TestRevokeAgainstREST(t *testing.T) {
	for _, path := range []string{"rooms/secret/messages", "rooms/secret", "rooms/secret/online", "rooms"} {
		t.Run(path, func(t *testing.T) {
			interleave(t, func(t *testing.T, p *points, out *sync.Map, here, there *chattest.Server) bool {
				n := p.nth
				p.arm(0)
				say(t, here.Room("secret"), 3)
				p.arm(n)
				type answer struct {
					status int
					body   string
				}
				answers := make(chan answer, 1)
				go func() {
					res, err := here.HTTP("bob").Get("http://chat.test/chat/" + path)
					if err != nil {
						answers <- answer{}
						return
					}
					body, _ := io.ReadAll(res.Body)
					_ = res.Body.Close()
					answers <- answer{res.StatusCode, string(body)}
				}()
				synctest.Wait()
				if !p.reached() {
					close(p.release)
					a := <-answers
					require.Equal(t, http.StatusOK, a.status)
					require.True(t, path != "rooms" || strings.Contains(a.body, "secret"))
					return false
				}
				out.Store("bob", true)
				require.NoError(t, there.Revoke(t.Context(), "bob", "secret"))
				time.Sleep(2 * time.Second)
				close(p.release)
				a := <-answers
				if path != "rooms" || a.status != http.StatusOK {
					require.GreaterOrEqual(t, a.status, 400, "point %d", n)
				}
				require.NotContains(t, a.body, "secret", "point %d", n)
				return true
			})
		})
	}
}

// TestRoomsThatAMiddlewareKeeps: what it has answered instead of the list is not
// looked up behind its back, however many permissions have ended.
func TestRoomsThatAMiddlewareKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.New(t, &chat.Options{Store: memory.New(), Authenticate: chattest.TokenIsUser, Logger: quiet, Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				if cmd.Type == chat.CmdRooms {
					return nil
				}
				return next(ctx, cmd)
			}
		}}})
		say(t, s.Room("secret"), 1)
		require.NoError(t, s.Revoke(t.Context(), "eve", "secret"))
		require.NotContains(t, string(s.Dial("bob").Call(map[string]any{"type": "rooms"}).Raw), "secret")
		res, err := s.HTTP("bob").Get("http://chat.test/chat/rooms")
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.NotContains(t, string(body), "secret")
	})
}

// TestRemovalAgainstJoin: a room that is removed while somebody joins it shows
// nothing of what it was.
func TestRemovalAgainstJoin(t *testing.T) {
	interleave(t, func(t *testing.T, p *points, _ *sync.Map, here, _ *chattest.Server) bool {
		n := p.nth
		p.arm(0)
		say(t, here.Room("r"), 3)
		bob := here.Dial("bob")
		p.arm(n)
		bob.Do(map[string]any{"type": "join", "room": "r"})
		synctest.Wait()
		if !p.reached() {
			close(p.release)
			return false
		}
		require.NoError(t, here.Room("r").Remove(t.Context()))
		bob.Drain()
		close(p.release)
		synctest.Wait()
		for _, ev := range bob.Drain() {
			require.Empty(t, ev.Messages, string(ev.Raw))
			require.NotEqual(t, "message", ev.Type)
		}
		return true
	})
}

// TestSettingsOfARoomThatNobodyFollows: a timer that holds a room does not keep
// its settings fresh.
func TestSettingsOfARoomThatNobodyFollows(t *testing.T) {
	together(t, 2, func(t *testing.T, g *group) {
		c := g.dial("alice", "bob")
		c[0].Join("r")
		c[1].Join("r")
		c[1].Cut() // and the room stays, for as long as bob may come back
		time.Sleep(time.Second)
		synctest.Wait()
		for i := range 3 {
			title := fmt.Sprint("title ", i)
			_, err := g.srvs[0].Room("r").Update(t.Context(), chat.RoomUpdate{Title: &title})
			require.NoError(t, err)
			info, err := g.srvs[1].Room("r").Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, title, info.Title)
			time.Sleep(time.Second)
		}
	})
}

// TestRefreshWithFewerRoles: a token that says less ends what it does not say
// any more, at once; and so does whatever command finds out.
func TestRefreshWithFewerRoles(t *testing.T) {
	var fewer atomic.Bool // what the next token says
	var cold sync.Map     // users whom the host has cut off without a word
	o := &chat.Options{
		Authenticate: func(r *http.Request) (chat.User, error) {
			u, err := chattest.TokenIsUser(r)
			if !fewer.Load() {
				u.Roles = []string{"staff"}
			}
			return u, err
		},
		Authorize: func(_ context.Context, u chat.User, _ chat.Action, room chat.RoomInfo) error {
			if _, ok := cold.Load(u.ID); ok && room.ID == "staff" || room.ID == "staff" && len(u.Roles) == 0 {
				return chat.ErrForbidden
			}
			return nil
		},
	}
	lefts := func(t *testing.T, c *chattest.Client, alice *chattest.Client) (rooms []string) {
		c.Barrier()
		alice.Send("staff", "between us")
		alice.Send("lobby", "hello")
		time.Sleep(time.Second)
		for _, ev := range c.Drain() {
			if ev.Type == "left" {
				rooms = append(rooms, ev.Room)
			}
			if ev.Type == "message" {
				require.Equal(t, "lobby", ev.Room, "%s", ev.Raw)
			}
		}
		return rooms
	}
	enter := func(srv *chattest.Server) (alice, bob *chattest.Client) {
		alice, bob = srv.Dial("alice"), srv.Dial("bob")
		for _, c := range []*chattest.Client{alice, bob} {
			c.Join("staff")
			c.Join("lobby")
		}
		bob.Drain()
		return alice, bob
	}
	t.Run("refresh", func(t *testing.T) {
		fewer.Store(false)
		bubble(t, o, func(t *testing.T, srv *chattest.Server) {
			alice, bob := enter(srv)
			require.Equal(t, "welcome", bob.Call(map[string]any{"type": "auth", "token": "bob"}).Type)
			alice.Send("staff", "it says the same")
			bob.Expect("message")
			fewer.Store(true)
			require.Equal(t, "welcome", bob.Call(map[string]any{"type": "auth", "token": "bob"}).Type)
			require.Equal(t, []string{"staff"}, lefts(t, bob, alice))
		})
	})
	for name, command := range map[string]map[string]any{
		"history":  {"type": "history", "room": "staff"},
		"members":  {"type": "members", "room": "staff"},
		"join":     {"type": "join", "room": "staff"},
		"message":  {"type": "message", "room": "staff", "content": "x"},
		"typing":   {"type": "typing", "room": "staff", "active": true},
		"presence": {"type": "presence", "room": "staff"},
	} {
		t.Run(name, func(t *testing.T) {
			fewer.Store(false)
			bubble(t, o, func(t *testing.T, srv *chattest.Server) {
				alice, bob := enter(srv)
				second := srv.Dial("bob")
				second.Join("staff")
				cold.Store("bob", true)
				defer cold.Delete("bob")
				require.Equal(t, chat.CodeNotFound, bob.Call(command).Code)
				require.Equal(t, []string{"staff"}, lefts(t, bob, alice))
				require.Equal(t, []string{"staff"}, lefts(t, second, alice), "the other device")
			})
		})
	}
}
