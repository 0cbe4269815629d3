package chat_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// halted is host code that comes to a halt, whatever its context says, until
// it is let go.
type halted struct {
	entered, release chan struct{}
	once             sync.Once
}

func newHalted() *halted {
	return &halted{entered: make(chan struct{}), release: make(chan struct{})}
}

func (h *halted) halt() {
	h.once.Do(func() { close(h.entered) })
	<-h.release
}

// inMessages has messages come to a halt in a middleware.
func (h *halted) inMessages() []chat.Middleware {
	return []chat.Middleware{func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			if cmd.Type == chat.CmdMessage {
				h.halt()
			}
			return next(ctx, cmd)
		}
	}}
}

// returns fails the test if f has not returned in time.
func returns(t *testing.T, d time.Duration, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		t.Fatal(what + " does not return")
		return nil
	}
}

// ends are the ways to end a Shutdown that waits for ever.
var ends = []struct {
	name string
	is   error
	end  func(srv *chat.Server) error
}{
	{"Close", chat.ErrServerClosed, (*chat.Server).Close},
	{"expired", context.DeadlineExceeded, func(srv *chat.Server) error {
		ctx, cancel := context.WithDeadline(context.Background(), time.Now())
		defer cancel()
		return srv.Shutdown(ctx)
	}},
	{"canceled meanwhile", context.Canceled, func(srv *chat.Server) error {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		return srv.Shutdown(ctx)
	}},
}

// TestCloseEndsShutdownThatWaits guards invariants 7 and 8: a middleware that
// hangs holds up neither.
func TestCloseEndsShutdownThatWaits(t *testing.T) {
	for _, e := range ends {
		t.Run(e.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHalted()
				defer synctest.Wait()
				defer close(h.release)
				srv := chattest.New(t, &chat.Options{Middleware: h.inMessages(), Logger: quiet})
				alice := srv.Dial("alice")
				alice.Join("r")
				alice.Do(map[string]any{"type": "message", "room": "r", "content": "x"})
				<-h.entered
				waiting := make(chan error, 1)
				go func() { waiting <- srv.Shutdown(context.Background()) }()
				time.Sleep(time.Minute)
				require.Empty(t, waiting, "it waits for what is under way")
				err := returns(t, time.Minute, e.name, func() error { return e.end(srv.Server) })
				require.ErrorContains(t, err, "have not returned")
				err = returns(t, time.Millisecond, "Shutdown", func() error { return <-waiting })
				require.ErrorContains(t, err, "have not returned")
				require.NotErrorIs(t, err, e.is, "nobody was left to be cut")
				_, err = srv.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: "late"})
				require.ErrorIs(t, err, chat.ErrServerClosed)
			})
		})
	}
}

// TestCloseEndsDrain guards invariant 8: it cuts clients that a Shutdown lets
// go slowly.
func TestCloseEndsDrain(t *testing.T) {
	for _, e := range ends {
		t.Run(e.name, func(t *testing.T) {
			bubble(t, &chat.Options{Logger: quiet}, func(t *testing.T, srv *chattest.Server) {
				for range 100 { // peers that never answer a close
					conn, err := srv.DialContext(t.Context(), "", "")
					require.NoError(t, err)
					defer conn.Close()
					_, err = conn.Write([]byte("GET /chat/ws HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
						"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer alice\r\n\r\n"))
					require.NoError(t, err)
					go func() {
						for buf := make([]byte, 4096); err == nil; {
							_, err = conn.Read(buf)
						}
					}()
				}
				synctest.Wait()
				require.Equal(t, 100, srv.Stats().Connections)
				began := time.Now()
				waiting := make(chan error, 1)
				go func() { waiting <- srv.Shutdown(context.Background()) }()
				synctest.Wait()
				err := returns(t, 2*time.Second, e.name, func() error { return e.end(srv.Server) })
				if e.name == "Close" {
					require.NoError(t, err, "to cut is what it is for")
					require.Zero(t, time.Since(began))
				} else {
					require.ErrorIs(t, err, e.is)
				}
				require.ErrorIs(t, returns(t, time.Millisecond, "Shutdown", func() error { return <-waiting }), e.is)
				require.Zero(t, srv.Stats().Connections)
				require.NoError(t, srv.Close(), "once more")
			})
		})
	}
}

func TestCloseBesideClose(t *testing.T) {
	bubble(t, nil, func(t *testing.T, srv *chattest.Server) {
		srv.Dial("alice").Join("r")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { require.NoError(t, srv.Close()) })
		}
		all.Wait()
		require.Zero(t, srv.Stats().Connections)
	})
}

// TestCloseDoesNotWaitForAuthenticate guards invariant 7, at every entrance.
func TestCloseDoesNotWaitForAuthenticate(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := newHalted()
		left := make(chan struct{})
		srv := listen(t, entrance, chat.Options{Logger: quiet, Limits: chat.Limits{StoreTimeout: 50 * time.Millisecond}, Middleware: []chat.Middleware{
			func(next chat.Handler) chat.Handler {
				return func(ctx context.Context, cmd *chat.Command) error {
					if cmd.Type == chat.CmdConnect {
						defer close(left)
						h.halt()
					}
					return next(ctx, cmd)
				}
			},
		}})
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			r, _ := http.NewRequest(http.MethodGet, "http://"+srv.addr+"/chat/ws", nil)
			for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
				r.Header.Set(k, v)
			}
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			if resp, err := tr.RoundTrip(r); err == nil {
				_ = resp.Body.Close()
			}
		}()
		<-h.entered
		waiting := make(chan error, 1)
		go func() { waiting <- srv.Shutdown(context.Background()) }()
		_ = returns(t, 10*time.Second, "Close", srv.Close)
		_ = returns(t, 10*time.Second, "Shutdown", func() error { return <-waiting })
		close(h.release)
		<-left
		<-asked
	})
}

// haltedStore comes to a halt in one kind of call.
type haltedStore struct {
	chat.Store
	halted
	at string
}

func (s *haltedStore) Unwrap() chat.Store { return s.Store }

func (s *haltedStore) enter(at string) {
	if s.at == at {
		s.halt()
	}
}

func (s *haltedStore) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	if len(changes) > 0 && changes[0].Kind == chat.ChangeCreate {
		s.enter("Append")
	}
	return s.Store.Append(ctx, room, known, changes)
}

func (s *haltedStore) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	s.enter("Changes")
	return s.Store.Changes(ctx, room, after, limit)
}

func (s *haltedStore) Head(ctx context.Context, room string) (chat.Position, error) {
	s.enter("Head") // the probe
	return s.Store.Head(ctx, room)
}

func (s *haltedStore) Attend(ctx context.Context, node string, lease time.Duration, changes []chat.Attendance) ([]string, bool, error) {
	if len(changes) > 0 {
		s.enter("Attend")
	}
	return s.Store.(chat.PresenceKeeper).Attend(ctx, node, lease, changes)
}

func (s *haltedStore) Attendances(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
	return s.Store.(chat.PresenceKeeper).Attendances(ctx, rooms)
}

// TestCloseDoesNotWaitForStore guards invariant 7: a store that obeys no
// context is left behind, whatever it hangs in.
func TestCloseDoesNotWaitForStore(t *testing.T) {
	for _, at := range []string{"Append", "Changes", "Head", "Attend"} {
		t.Run(at, func(t *testing.T) {
			together(t, 0, func(t *testing.T, g *group) {
				node := g.Node()
				store := &haltedStore{Store: node, halted: halted{entered: make(chan struct{}), release: make(chan struct{})}, at: at}
				if at == "Head" {
					store.at = "" // not at the start
				}
				srv := g.serve(node, chat.Options{Store: store, Limits: chat.Limits{RingFrames: 1}})
				defer synctest.Wait()
				defer close(store.release)
				alice := srv.Dial("alice")
				joined := alice.Call(map[string]any{"type": "join", "room": "r"})
				for range 3 {
					alice.Do(map[string]any{"type": "message", "room": "r", "content": "x"})
				}
				synctest.Wait()
				switch at {
				case "Changes":
					alice.Do(map[string]any{"type": "join", "room": "r", "epoch": joined.Epoch, "after": joined.Head})
				case "Head":
					store.at = "Head"
					over, cancel := context.WithCancel(t.Context())
					cancel()
					_, err := srv.Room("r").History(over, chat.Query{}) // has the store doubted
					require.Error(t, err)
				}
				synctest.Wait()
				waiting := make(chan error, 1)
				go func() { waiting <- srv.Shutdown(context.Background()) }()
				time.Sleep(time.Minute)
				err := returns(t, time.Minute, "Close", srv.Close)
				require.ErrorContains(t, err, "have not returned")
				_ = returns(t, time.Millisecond, "Shutdown", func() error { return <-waiting })
			})
		})
	}
}
