package chat_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// chatter sends messages until its connection ends; acked are those that were
// acknowledged.
func chatter(h *host, user string, acked *sync.Map) (ended chan int) {
	c := h.dial(user)
	c.Join("r")
	ended = make(chan int, 1)
	go func() {
		told := false
		for i := 0; ; i++ {
			c.Do(map[string]any{"type": "message", "room": "r", "ref": "x", "content": fmt.Sprint(user, " ", i)})
			ev, ok := c.Next()
			for ; ok && ev.Type != "ack"; ev, ok = c.Next() {
				told = told || ev.Type == "reconnect"
			}
			if !ok {
				break
			}
			acked.Store(ev.ID, ev.Seq)
		}
		if !told {
			h.t.Errorf("%s was not told to come back", user)
		}
		ended <- c.CloseCode()
	}()
	return ended
}

func TestShutdownUnderTrafficLosesAndLeavesNothing(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		goroutines, fds := runtime.NumGoroutine(), leak.FDs()
		store := memory.NewWith(memory.Options{MaxMessages: -1})
		var acked sync.Map
		t.Run("traffic", func(t *testing.T) { // whose clients end with it
			h := listen(t, entrance, chat.Options{Store: store})
			var ends []chan int
			for i := range 8 {
				ends = append(ends, chatter(h, fmt.Sprint("user-", i), &acked))
			}
			var host sync.WaitGroup
			for range 2 {
				host.Go(func() {
					for {
						m, err := h.Room("r").Send(context.Background(), chat.Message{User: "host", Content: "x"})
						if err != nil {
							require.ErrorIs(t, err, chat.ErrServerClosed)
							return
						}
						acked.Store(m.ID, m.Seq)
						runtime.Gosched()
					}
				})
			}
			require.Eventually(t, func() bool { return h.Stats().Commands > 100 }, time.Minute, time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() { require.NoError(t, h.Shutdown(ctx)) })
			}
			both.Wait()
			host.Wait()
			for _, e := range ends {
				require.Equal(t, 4000, <-e)
			}
			require.Zero(t, h.Stats().Connections)
			require.NoError(t, h.Shutdown(ctx), "once more")
			require.NoError(t, h.Close())
			_, err := h.Room("r").Send(ctx, chat.Message{User: "host", Content: "late"})
			require.ErrorIs(t, err, chat.ErrServerClosed)
			_, err = h.Room("r").Edit(ctx, chat.Message{ID: "x", Content: "late"})
			require.ErrorIs(t, err, chat.ErrServerClosed)
		})
		require.Eventually(t, func() bool { return leak.FDs() <= fds }, time.Minute, time.Millisecond, "descriptors are left")
		require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+1 }, time.Minute, time.Millisecond)
		page, err := store.History(t.Context(), "r", chat.Query{Limit: 1 << 20})
		require.NoError(t, err)
		stored := make(map[string]int64)
		for _, m := range page.Messages {
			stored[m.ID] = m.Seq
		}
		acked.Range(func(id, seq any) bool {
			require.Equal(t, seq, stored[id.(string)], "an acknowledged message is lost")
			return true
		})
	})
}

func TestShutdownRefusesNewConnectionsWith503(t *testing.T) {
	h := listen(t, "epoll", chat.Options{})
	hold := h.dial("alice")
	ending := make(chan error, 1)
	go func() { ending <- h.Shutdown(context.Background()) }()
	hold.Expect("reconnect")
	r, err := http.NewRequest(http.MethodGet, "http://"+h.addr+"/chat/ws", nil)
	require.NoError(t, err)
	for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "gabble.v1.json"} {
		r.Header.Set(k, v)
	}
	for range 2 { // while it drains, and when it has ended
		resp, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
		select {
		case err := <-ending:
			require.NoError(t, err)
			ending <- nil
		case <-time.After(10 * time.Second):
			t.Fatal("Shutdown does not return")
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestShutdownCutsWhoStaysWhenItsContextEnds(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		for i := range 100 {
			srv.Dial(fmt.Sprint("user-", i)).Join("r")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := srv.Shutdown(ctx)
		require.Less(t, time.Since(start), 2*time.Second)
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Zero(t, srv.Stats().Connections)
	})
}

// Upgrades that are under way when Shutdown comes, held in host code.
func TestShutdownWaitsForNoOneWhoCameDuringIt(t *testing.T) {
	var inside, goOn chan struct{}
	o := &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
		if r.Header.Get("X-Slow") != "" {
			inside <- struct{}{}
			<-goOn
		}
		return chattest.TokenIsUser(r)
	}}
	synctest.Test(t, func(t *testing.T) {
		inside, goOn = make(chan struct{}, 1), make(chan struct{})
		srv := chattest.New(t, o)
		conn, err := srv.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		defer conn.Close()
		_, err = fmt.Fprint(conn, "GET /chat/ws HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: gabble.v1.json\r\n"+
			"Authorization: Bearer alice\r\nX-Slow: 1\r\n\r\n")
		require.NoError(t, err)
		<-inside
		for i := range 100 { // so that it takes 200 ms to let all go
			srv.Dial(fmt.Sprint("user-", i))
		}
		var closed atomic.Bool
		go func() {
			_ = srv.Shutdown(context.Background())
			closed.Store(true)
		}()
		time.Sleep(100 * time.Millisecond)
		close(goOn)
		go func() { // a peer that answers pings would keep the connection for ever
			buf := make([]byte, 4096)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				if n >= 2 && buf[n-2] == 0x89 {
					_, _ = conn.Write([]byte{0x8a, 0x80, 0, 0, 0, 0})
				}
			}
		}()
		time.Sleep(5 * time.Minute)
		require.True(t, closed.Load(), "Shutdown hangs on a connection that it has not told to go")
	})
}

func TestCloseDuringJoins(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		for range 5 {
			h := listen(t, entrance, chat.Options{})
			for i := range 8 {
				c := h.dial(fmt.Sprint("user-", i))
				for k := range 20 {
					c.Do(map[string]any{"type": "join", "room": fmt.Sprint("r", k)})
				}
			}
			require.NoError(t, h.Close())
			require.Zero(t, h.Stats().Connections)
			require.Zero(t, h.Stats().Users)
		}
	})
}

func TestStoreThatStandsStillHarmsOnlyItsRoom(t *testing.T) {
	store := storagetest.Faulty(memory.New())
	bubble(t, &chat.Options{Store: store}, func(t *testing.T, srv *chattest.Server) {
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		alice.Join("stuck")
		bob.Join("fine")
		hold := store.HoldNext()
		start := time.Now()
		alice.Do(map[string]any{"type": "message", "ref": "held", "room": "stuck", "content": "x", "nonce": "n"})
		<-hold.Entered()
		for range 20 {
			bob.Send("fine", "x")
		}
		alice.Join("fine") // the session goes on, and so do its other rooms
		alice.Send("fine", "x")
		require.Zero(t, time.Since(start))
		ev := alice.Expect("error")
		require.Equal(t, chat.CodeUnavailable, ev.Code)
		require.Equal(t, "held", ev.Ref)
		require.LessOrEqual(t, time.Since(start), 5*time.Second+time.Millisecond)
		require.False(t, send(alice, "stuck", "x", "n").Duplicate)
		time.Sleep(time.Second)
		require.Contains(t, settle(alice), "message 2")
		requireCount(t, srv.Room("stuck"), 1)
	})
}

// panicky is a store that panics when told to.
type panicky struct {
	chat.Store
	next atomic.Bool
}

func (p *panicky) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	if p.next.Swap(false) {
		panic("of the store")
	}
	return p.Store.Append(ctx, room, known, changes)
}

func TestStoreThatPanicsHarmsOneCommit(t *testing.T) {
	store := &panicky{Store: memory.New()}
	bubble(t, &chat.Options{Store: store}, func(t *testing.T, srv *chattest.Server) {
		alice := srv.Dial("alice")
		alice.Join("r")
		store.next.Store(true)
		require.Equal(t, chat.CodeInternal, send(alice, "r", "x", "n").Code)
		require.EqualValues(t, 1, send(alice, "r", "x", "n").Seq)
	})
}

// Whatever call of the store fails, and however: after retries all is well.
func TestStoreThatFailsOnceIsGotOver(t *testing.T) {
	fresh := storagetest.Opener(func(testing.TB) chat.Store { return memory.New() })
	storagetest.RunFaults(t, fresh, func(t *testing.T, store *storagetest.FaultyStore) {
		bubble(t, &chat.Options{Store: store, Limits: chat.Limits{RingFrames: 1}}, func(t *testing.T, srv *chattest.Server) {
			alice, bob := srv.Dial("alice"), srv.Dial("bob")
			insist := func(c *chattest.Client, command map[string]any) chattest.Event {
				for range 3 {
					if ev := c.Call(command); ev.Type != "error" {
						return ev
					} else if ev.Code != chat.CodeUnavailable {
						t.Fatalf("%s", ev.Raw)
					}
				}
				t.Fatal("one fault is one error")
				return chattest.Event{}
			}
			joined := insist(bob, map[string]any{"type": "join", "room": "r"})
			insist(alice, map[string]any{"type": "join", "room": "r"})
			for i := range 5 {
				ev := insist(alice, map[string]any{"type": "message", "room": "r", "content": "x", "nonce": fmt.Sprint("n", i)})
				require.EqualValues(t, i+1, ev.Seq)
			}
			time.Sleep(3 * time.Second)
			bob.Cut()
			bob = srv.Dial("bob")
			insist(bob, map[string]any{"type": "join", "room": "r", "epoch": joined.Epoch, "after": joined.Head})
			insist(alice, map[string]any{"type": "message", "room": "r", "content": "x", "nonce": "last"})
			for _, c := range []*chattest.Client{alice, bob} {
				for i := range 6 {
					require.EqualValues(t, i+1, c.Expect("message").Seq)
				}
			}
		})
	})
}

// A message that was stored although the store could not say so reaches the
// room, whether its sender tries again or not.
func TestUnknownOutcomeIsFoundOutWithoutAnotherMessage(t *testing.T) {
	for _, retry := range []bool{false, true} {
		t.Run(fmt.Sprint("retry ", retry), func(t *testing.T) {
			store := storagetest.Faulty(memory.New())
			bubble(t, &chat.Options{Store: store}, func(t *testing.T, srv *chattest.Server) {
				alice, bob := srv.Dial("alice"), srv.Dial("bob")
				alice.Join("r")
				bob.Join("r")
				store.FailNext(storagetest.UnknownAfter)
				require.Equal(t, chat.CodeUnavailable, send(alice, "r", "x", "n").Code)
				if retry {
					require.True(t, send(alice, "r", "x", "n").Duplicate)
				}
				require.Equal(t, []string{"message 2"}, settle(bob))
				require.Equal(t, []string{"message 2"}, settle(alice))
			})
		})
	}
}

func TestPanicInHostCodeHarmsOneCommand(t *testing.T) {
	var armed atomic.Value
	armed.Store("")
	boom := func(where string) {
		if armed.CompareAndSwap(where, "") {
			panic("of the host")
		}
	}
	o := &chat.Options{
		Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				boom("before")
				defer boom("after")
				return next(ctx, cmd)
			}
		}},
		Authenticate: func(r *http.Request) (chat.User, error) { boom("authenticate"); return chattest.TokenIsUser(r) },
		Authorize: func(context.Context, chat.User, chat.Action, chat.RoomInfo) error {
			boom("authorize")
			return nil
		},
		Users: func(context.Context, []string) ([]chat.User, error) { boom("users"); return nil, nil },
	}
	bubble(t, o, func(t *testing.T, srv *chattest.Server) {
		say(t, srv.Room("r"), 1)
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		bob.Join("r")
		alice.Join("r")
		for _, where := range []string{"before", "after", "authenticate", "authorize"} {
			armed.Store(where)
			command := map[string]any{"type": "message", "room": "r", "content": where}
			if where == "authenticate" {
				command = map[string]any{"type": "auth", "token": "alice"}
			}
			require.Equal(t, chat.CodeInternal, alice.Call(command).Code, where)
			alice.Send("r", "the session lives")
		}
		time.Sleep(2 * time.Minute) // names are asked for anew
		armed.Store("users")
		require.Equal(t, "joined", alice.Join("r").Type, "names can be done without")
		require.Empty(t, armed.Load())
		bob.Send("r", "x")
	})
}

// Names are the host's to look up; a lookup that stands still must not hold up
// the room of the message whose author it is about.
func TestNameLookupThatStandsStillDoesNotHoldUpTheRoom(t *testing.T) {
	var stuck atomic.Bool
	release := make(chan struct{})
	o := &chat.Options{Users: func(context.Context, []string) ([]chat.User, error) {
		if stuck.Load() {
			<-release
		}
		return nil, nil
	}}
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{})
		srv := chattest.New(t, o)
		ids := say(t, srv.Room("r"), 1)
		time.Sleep(2 * time.Minute) // nothing is remembered
		alice := srv.Dial("alice")
		alice.Call(map[string]any{"type": "join", "room": "r", "history": 0})
		stuck.Store(true)
		defer close(release)
		go func() { _, _ = srv.Room("r").Edit(context.Background(), chat.Message{ID: ids[0], Content: "edited"}) }()
		synctest.Wait()
		alice.Send("r", "x")
	})
}
