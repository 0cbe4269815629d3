package chattest_test

import (
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/storage/memory"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestClientsTalkInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		joined := alice.Join("general")
		require.Equal(t, "general", joined.Room)
		require.Equal(t, []string{"alice"}, joined.Users)
		require.Equal(t, 1, joined.Online)
		bob.Join("general")
		ack := alice.Send("general", "hello")
		ev := bob.Expect("message")
		require.Equal(t, ack.ID, ev.ID)
		require.Equal(t, ack.Seq, ev.Message.Seq)
		require.Equal(t, "hello", ev.Message.Content)

		bob.Leave("general")
		alice.Send("general", "alone")
		bob.Barrier()
		synctest.Wait()
		for _, ev := range bob.Drain() {
			require.NotEqual(t, "alone", ev.Message.Content)
		}
		back := bob.Resume("general", joined.Epoch, joined.Head)
		require.False(t, back.Reset)
		require.Equal(t, "hello", bob.Expect("message").Message.Content)
		require.Equal(t, "alone", bob.Expect("message").Message.Content)
		bob.Expect("synced")
		require.Equal(t, chat.DirectID("alice", "bob"), alice.JoinUser("bob").Room)
	})
}

func TestExpectKeepsWhatItReadsPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		alice, bob := srv.Dial("alice"), srv.Dial("bob")
		bob.Join("r")
		alice.Join("r")
		alice.Send("r", "one")
		alice.Do(map[string]any{"type": "typing", "room": "r"})
		alice.Barrier()
		require.Equal(t, "alice", bob.Expect("typing").User)
		require.Equal(t, "one", bob.Expect("message").Message.Content, "what came before the typing is still there")
		ev := bob.Call(map[string]any{"type": "history", "room": "nowhere"})
		require.Equal(t, "error", ev.Type, "Call returns errors")
		require.Equal(t, chat.CodeNotFound, ev.Code)
		require.Equal(t, "room", ev.Field)
		require.NotEmpty(t, ev.Text)
	})
}

func TestClosingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		alice, bob, carol := srv.Dial("alice"), srv.Dial("bob"), srv.Dial("carol")
		n, err := srv.User("alice").Disconnect(t.Context(), "out")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, 4501, alice.CloseCode())
		_, ok := alice.Next()
		require.False(t, ok)
		bob.Cut()
		carol.Close()
		time.Sleep(10 * time.Second)
		require.Zero(t, srv.Stats().Connections)
		require.False(t, srv.User("bob").Online())
	})
}

func TestHTTPCarriesTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Store: memory.New()})
		for token, status := range map[string]int{"alice": http.StatusOK, "": http.StatusUnauthorized} {
			res, err := srv.HTTP(token).Get("http://chat.test/chat/rooms")
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			require.NoError(t, res.Body.Close())
			require.Equal(t, status, res.StatusCode)
		}
	})
}

// A room's worth of clients is an ordinary test: none of them may cost much.
func TestClientsAreCheap(t *testing.T) {
	srv := chattest.New(t, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		srv.Dial("alice").Cut()
	}
	runtime.ReadMemStats(&after)
	require.Less(t, (after.TotalAlloc-before.TotalAlloc)/10, uint64(1<<20), "bytes allocated for one client")
}

func TestOptionsAreNotWrittenTo(t *testing.T) {
	var o chat.Options
	chattest.New(t, &o)
	require.Nil(t, o.Store)
	require.Nil(t, o.Authenticate)
}
