package chat_test

import (
	"context"

	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/sqlite"
)

// doorstep is a Store whose appends to one room wait at the door until it opens.
type doorstep struct {
	chat.Store
	room string
	open chan struct{}
}

func (d *doorstep) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	if room == d.room && changes[0].Kind == chat.ChangeCreate {
		select {
		case <-d.open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return d.Store.Append(ctx, room, known, changes)
}

func passOn(next chat.Handler) chat.Handler {
	return func(ctx context.Context, cmd *chat.Command) error { return next(ctx, cmd) }
}

// RELIABILITY 38: more messages wait for one room than there are workers.
func TestBurstIsAnsweredWhatWaitsHoldsNoWorker(t *testing.T) {
	const clients, each = 40, 64
	for _, row := range []struct {
		name string
		mw   []chat.Middleware
		file bool
	}{
		{"held append", nil, false},
		{"held append, middleware", []chat.Middleware{passOn}, false},
		{"file", nil, true},
		{"file, middleware", []chat.Middleware{passOn}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var store chat.Store = memory.New()
			open := make(chan struct{})
			if row.file {
				db, err := sqlite.Open(filepath.Join(t.TempDir(), "chat.db"))
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, db.Close()) })
				store = db
				close(open)
			}
			s := doorways[2].open(t, chat.Options{
				Store: &doorstep{store, "r", open}, Middleware: row.mw, Limits: chat.Limits{StoreTimeout: time.Minute},
			})
			_, err := s.Room("r").Create(t.Context(), chat.RoomInfo{})
			require.NoError(t, err)
			chat.Tighten(s.Server, 8, 8, 2)
			h := &host{s.Server, t, s.addr}
			var acked sync.WaitGroup
			for i := range clients {
				l, err := h.upgrade(h.conn(), fmt.Sprint("u", i))
				require.NoError(t, err)
				t.Cleanup(func() { _ = l.Close() })
				acked.Go(func() { requireAcks(t, l, each) })
				for ref := range each {
					require.NoError(t, l.say(`{"type":"message","ref":"%d","room":"r","content":"x"}`, ref))
				}
			}
			switch {
			case row.file:
			case row.mw == nil:
				require.Eventually(t, func() bool { return s.Stats().Commands >= clients*each }, time.Minute, time.Millisecond,
					"all of them have entered the queue of the room")
			default:
				require.Eventually(t, func() bool {
					queued, parked := chat.Waiting(s.Server)
					return queued > 0 && parked == 8
				}, time.Minute, time.Millisecond, "all workers are used up")
				quiet := s.in(t).dial("quiet")
				require.Equal(t, "pong", quiet.Call(map[string]any{"type": "ping"}).Type)
			}
			if !row.file {
				_, err := s.Room("other").Send(t.Context(), chat.Message{User: "bot", Content: "x"})
				require.ErrorIs(t, err, chat.ErrNotFound, "other rooms go on")
				close(open)
			}
			acked.Wait()
			page, err := s.Room("r").History(t.Context(), chat.Query{Limit: 1})
			require.NoError(t, err)
			require.EqualValues(t, clients*each, page.Messages[0].Seq)
		})
	}
}

// requireAcks reads one ack for each message of a session, whose order is that
// in which they were sent.
func requireAcks(t *testing.T, l *line, n int) {
	seqs := make([]int64, n)
	for range n {
		ev, err := l.event()
		for err == nil && ev.Type != "ack" && ev.Type != "error" {
			ev, err = l.event()
		}
		if err != nil || ev.Type != "ack" {
			t.Errorf("%+v: %v", ev, err)
			return
		}
		ref, err := strconv.Atoi(ev.Ref)
		if err != nil || seqs[ref] != 0 {
			t.Errorf("answered twice: %+v", ev)
			return
		}
		seqs[ref] = ev.Seq
	}
	for i := 1; i < n; i++ {
		if seqs[i-1] >= seqs[i] {
			t.Errorf("sent in order, stored in another: %v", seqs)
			return
		}
	}
}

// Invariant 7: host code that has come to a halt uses up its own share alone.
func TestHostThatHangsUsesUpItsOwnShare(t *testing.T) {
	stuck := func(id string) bool { return strings.HasPrefix(id, "stuck") }
	for name, hang := range map[string]func(o *chat.Options, halt func()){
		"Authorize": func(o *chat.Options, halt func()) {
			o.Authorize = func(ctx context.Context, u chat.User, a chat.Action, r chat.RoomInfo) error {
				if stuck(u.ID) && a == chat.ActionWrite {
					halt()
				}
				return chat.DefaultAuthorize(ctx, u, a, r)
			}
		},
		"middleware before": func(o *chat.Options, halt func()) {
			o.Middleware = []chat.Middleware{func(next chat.Handler) chat.Handler {
				return func(ctx context.Context, cmd *chat.Command) error {
					if stuck(cmd.User.ID) && cmd.Type == chat.CmdMessage {
						halt()
					}
					return next(ctx, cmd)
				}
			}}
		},
		"middleware after": func(o *chat.Options, halt func()) {
			o.Middleware = []chat.Middleware{func(next chat.Handler) chat.Handler {
				return func(ctx context.Context, cmd *chat.Command) error {
					err := next(ctx, cmd)
					if stuck(cmd.User.ID) && cmd.Type == chat.CmdMessage {
						halt()
					}
					return err
				}
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				o := &chat.Options{Limits: chat.Limits{StoreTimeout: time.Second}}
				hang(o, func() { <-release })
				srv := chattest.New(t, o)
				quiet := srv.Dial("quiet")
				quiet.Join("r")
				crowd := make([]*chattest.Client, 12)
				for i := range crowd {
					crowd[i] = srv.Dial(fmt.Sprint("stuck", i))
				}
				chat.Tighten(srv.Server, 4, 4, 2)
				for _, c := range crowd {
					for range 3 {
						c.Do(map[string]any{"type": "message", "ref": "m", "room": "r", "content": "x"})
					}
				}
				synctest.Wait()
				queued, _ := chat.Waiting(srv.Server)
				require.Positive(t, queued, "all workers are used up")
				require.Equal(t, "pong", quiet.Call(map[string]any{"type": "ping"}).Type, "heartbeats go on")
				require.Equal(t, "pong", crowd[0].Call(map[string]any{"type": "ping"}).Type, "of those who wait, too")
				for len(quiet.Drain()) > 0 {
				}
				m, err := srv.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: "news"})
				require.NoError(t, err, "rooms are committed to")
				require.Equal(t, m.ID, quiet.Expect("message").ID)
				late := srv.Dial("late") // who comes is authenticated
				n, err := srv.User("late").Disconnect(t.Context(), "go")
				require.NoError(t, err)
				require.Equal(t, 1, n)
				_ = late
				ended := make(chan error, 1)
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					ended <- srv.Shutdown(ctx)
				}()
				require.ErrorContains(t, <-ended, "have not returned")
				close(release)
			})
		})
	}
}

// A host that cannot say who somebody is keeps newcomers waiting, and nobody else.
func TestAuthenticateThatHangsHarmsNobodyWhoIsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := chattest.New(t, &chat.Options{
			Limits: chat.Limits{AuthTimeout: 3 * time.Second},
			Authenticate: func(r *http.Request) (chat.User, error) {
				if strings.Contains(r.Header.Get("Authorization"), "stuck") {
					<-release // whatever the request's context says
				}
				return chattest.TokenIsUser(r)
			},
		})
		quiet := srv.Dial("quiet")
		quiet.Join("r")
		chat.Tighten(srv.Server, 4, 4, 2)
		var crowd []*chattest.Client
		for i := range 12 {
			c := srv.Dial("")
			c.Do(map[string]any{"type": "auth", "token": fmt.Sprint("stuck", i)})
			crowd = append(crowd, c)
		}
		synctest.Wait()
		require.EqualValues(t, 1, quiet.Send("r", "I am in").Seq)
		for _, c := range crowd {
			require.Equal(t, 4002, c.CloseCode(), "who is nobody in time has to come back")
		}
		close(release)
		synctest.Wait()
		srv.Dial("late").Join("r")
	})
}

// unsettled is a Store that says of the first append to each room that its
// outcome is unknown, and lets nobody read changes until it opens.
type unsettled struct {
	chat.Store
	open chan struct{}

	mu   sync.Mutex
	seen map[string]bool
	read map[string]bool // rooms whose changes are being read, or were
}

func (u *unsettled) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	results, err := u.Store.Append(ctx, room, known, changes)
	u.mu.Lock()
	defer u.mu.Unlock()
	if first := !u.seen[room]; err == nil && first && changes[0].Kind == chat.ChangeCreate {
		u.seen[room] = true
		return nil, fmt.Errorf("lost the connection: %w", chat.ErrUnknown)
	}
	return results, err
}

func (u *unsettled) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	u.mu.Lock()
	u.read[room] = true
	u.mu.Unlock()
	select {
	case <-u.open:
	case <-ctx.Done():
		return chat.Page{}, ctx.Err()
	}
	return u.Store.Changes(ctx, room, after, limit)
}

// Rooms that wait until they may read what they have missed go on meanwhile.
func TestRepairsThatWaitHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms, places = 20, 3
		store := &unsettled{Store: memory.New(), open: make(chan struct{}), seen: map[string]bool{}, read: map[string]bool{}}
		srv := chattest.New(t, &chat.Options{Store: store, Limits: chat.Limits{Backfill: places, StoreTimeout: time.Minute}})
		readers := make([]*chattest.Client, rooms)
		for i := range rooms {
			readers[i] = srv.Dial(fmt.Sprint("u", i))
			readers[i].Join(fmt.Sprint("r", i))
		}
		chat.Tighten(srv.Server, 2, 2, 2)
		for i := range rooms {
			_, err := srv.Room(fmt.Sprint("r", i)).Send(t.Context(), chat.Message{User: "bot", Content: "one"})
			require.ErrorIs(t, err, chat.ErrUnknown)
		}
		synctest.Wait()
		require.Len(t, store.read, places)
		answered := make(map[string]bool)
		for i := range rooms {
			if room := fmt.Sprint("r", i); !store.read[room] {
				answered[room] = true
				require.Equal(t, "ack", readers[i].Call(map[string]any{"type": "message", "room": room, "content": "two"}).Type,
					"a room that waits for its repair goes on")
			}
		}
		close(store.open)
		synctest.Wait()
		for i := range rooms {
			require.Equal(t, "one", readers[i].Expect("message").Message.Content)
			if room := fmt.Sprint("r", i); answered[room] {
				require.Equal(t, "two", readers[i].Expect("message").Message.Content, room)
			}
		}
	})
}
