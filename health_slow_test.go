package chat_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// alarms counts how often a server has found its store not to answer.
type alarms struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (a *alarms) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.Write(b)
}

func (a *alarms) logger() *slog.Logger { return slog.New(slog.NewTextHandler(a, nil)) }

func (a *alarms) count(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Count(a.log.String(), what)
}

const notAnswering = "chat: the store does not answer"

// TestSlowStoreIsServedAgainAfterADip: however long its answers take, as long
// as they come in time, a store that has been stopped for a while serves
// everything again.
func TestSlowStoreIsServedAgainAfterADip(t *testing.T) {
	for _, lag := range []time.Duration{220 * time.Millisecond, 450 * time.Millisecond, time.Second, 2 * time.Second} {
		t.Run(lag.String(), func(t *testing.T) {
			store := &sick{Store: memory.New()}
			store.lag.Store(int64(lag))
			var log alarms
			bubble(t, &chat.Options{Store: store, Logger: log.logger()}, func(t *testing.T, srv *chattest.Server) {
				alice := srv.Dial("alice")
				alice.Join("r")
				for i := range 20 {
					ev := send(alice, "r", "x", fmt.Sprint("before-", i))
					require.Equal(t, "ack", ev.Type, string(ev.Raw))
				}
				require.Zero(t, log.count(notAnswering), "it is slow, not down")
				store.hangs.Store(true)
				for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
					ev := send(alice, "r", "x", "during")
					require.Equal(t, chat.CodeUnavailable, ev.Code, string(ev.Raw))
					time.Sleep(100 * time.Millisecond)
				}
				store.hangs.Store(false)
				time.Sleep(time.Second + lag) // a probe begins, and is answered
				time.Sleep(time.Millisecond)
				for i := range 100 {
					ev := send(alice, "r", "x", fmt.Sprint("after-", i))
					require.Equal(t, "ack", ev.Type, "%d: %s", i, ev.Raw)
				}
				require.Equal(t, http.StatusOK, ready(t, srv))
				require.LessOrEqual(t, log.count(notAnswering), 1)
			})
		})
	}
}

// TestStoreThatBecomesSlowIsNotDownForLong: an outage that was none ends with
// the first answer, and the next one like it is taken for what it is.
func TestStoreThatBecomesSlowIsNotDownForLong(t *testing.T) {
	store := &sick{Store: memory.New()}
	var log alarms
	bubble(t, &chat.Options{Store: store, Logger: log.logger()}, func(t *testing.T, srv *chattest.Server) {
		alice := srv.Dial("alice")
		alice.Join("r")
		alice.Send("r", "x")
		store.lag.Store(int64(900 * time.Millisecond))
		send(alice, "r", "x", "perhaps-refused")
		time.Sleep(time.Second)
		for i := range 200 { // three minutes
			require.Equal(t, "ack", send(alice, "r", "x", fmt.Sprint(i)).Type)
		}
		require.LessOrEqual(t, log.count(notAnswering), 1)
	})
}

// TestRealCallsEndAnOutage: a store whose probe fails, but which does what it is
// asked for, is not down.
func TestRealCallsEndAnOutage(t *testing.T) {
	store := &sick{Store: memory.New()}
	bubble(t, &chat.Options{Store: store, Logger: quiet}, func(t *testing.T, srv *chattest.Server) {
		var clients []*chattest.Client
		for i := range 5 {
			clients = append(clients, srv.Dial(fmt.Sprint("user-", i)))
			clients[i].Join("r")
		}
		store.headless.Store(true)
		store.hangs.Store(true)
		require.Equal(t, chat.CodeUnavailable, send(clients[0], "r", "x", "n").Code)
		time.Sleep(5 * time.Second)
		store.calls.Store(0)
		for i, c := range clients { // all at once
			c.Do(map[string]any{"type": "message", "room": "r", "content": "x", "nonce": "n", "ref": fmt.Sprint(i)})
		}
		synctest.Wait()
		require.LessOrEqual(t, store.calls.Load(), int64(1+5), "one real call at a time, beside the probes")
		time.Sleep(10 * time.Second)
		store.hangs.Store(false)
		began := time.Now()
		clients[0].Drain()
		for send(clients[0], "r", "x", "again").Type != "ack" {
			require.Less(t, time.Since(began), 2*time.Second)
			time.Sleep(50 * time.Millisecond)
		}
	})
}

// TestStartWaitsForTheStore: a server that comes up before its store waits for
// it for a while, says so, and then goes on without an error.
func TestStartWaitsForTheStore(t *testing.T) {
	for _, after := range []time.Duration{0, 3 * time.Second, time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			together(t, 0, func(t *testing.T, g *group) {
				node := g.Node()
				store := &sick{Store: node}
				var log alarms
				if after > 0 {
					node.Down()
					time.AfterFunc(after, node.Up)
				}
				began := time.Now()
				srv := chattest.New(t, &chat.Options{Store: store, Logger: log.logger()})
				took := time.Since(began)
				require.LessOrEqual(t, took, min(after, 10*time.Second)+time.Second)
				require.Equal(t, int(min(1, after)), log.count("waiting for the store"))
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				require.NoError(t, srv.Ready(ctx))
				require.LessOrEqual(t, time.Since(began), after+time.Second)
				_, err := srv.Room("r").Create(ctx, chat.RoomInfo{})
				require.NoError(t, err)
			})
		})
	}
}

func TestReadyGivesUpWithItsContext(t *testing.T) {
	store := &sick{Store: memory.New()}
	store.hangs.Store(true)
	bubble(t, &chat.Options{Store: store, Logger: quiet}, func(t *testing.T, srv *chattest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, srv.Ready(ctx), chat.ErrUnavailable)
		require.Equal(t, time.Minute, time.Since(began))
		go func() {
			time.Sleep(time.Second)
			_ = srv.Close()
		}()
		require.ErrorIs(t, srv.Ready(t.Context()), chat.ErrServerClosed)
	})
}
