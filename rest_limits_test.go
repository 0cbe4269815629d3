package chat_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// post opens a connection on which a request is announced and no body comes.
func post(t *testing.T, srv *chattest.Server, path, token string) net.Conn {
	t.Helper()
	c, err := srv.DialContext(t.Context(), "", "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprintf(c, "POST /chat%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", path, token)
	require.NoError(t, err)
	return c
}

// ended waits for a connection's end, at most a minute.
func ended(t *testing.T, c net.Conn) (said string, took time.Duration) {
	t.Helper()
	start := time.Now()
	require.NoError(t, c.SetReadDeadline(start.Add(time.Minute)))
	b, err := io.ReadAll(c)
	require.NoError(t, err, "still open after a minute")
	return string(b), time.Since(start)
}

func status(t *testing.T, srv *chattest.Server, token string) int {
	t.Helper()
	res, err := srv.HTTP(token).Get("http://chat.test/chat/rooms")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// The host's http.Server has no timeouts here: the doors have their own.
func TestBodiesThatNeverCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Limits: chat.Limits{Requests: 8}})
		for _, row := range []struct{ path, token, code string }{
			{"/rooms", "alice", "400"}, {"/direct", "alice", "400"}, {"/rooms/r/messages", "alice", "400"},
			{"/rooms", "", "401"}, {"/nowhere", "alice", "404"}, {"/rooms//x", "alice", "404"}, {"/healthz", "alice", "405"},
		} {
			said, took := ended(t, post(t, srv, row.path, row.token))
			require.True(t, strings.HasPrefix(said, "HTTP/1.1 "+row.code), "%s: %s", row.path, said)
			require.LessOrEqual(t, took, 31*time.Second)
		}
		// One byte now and then is no progress either.
		c := post(t, srv, "/rooms", "alice")
		var drip sync.WaitGroup
		defer drip.Wait()
		drip.Go(func() {
			for range 20 {
				time.Sleep(5 * time.Second)
				if _, err := c.Write([]byte(" ")); err != nil {
					return
				}
			}
		})
		_, took := ended(t, c)
		require.LessOrEqual(t, took, 31*time.Second)
		require.Equal(t, http.StatusOK, status(t, srv, "alice"), "and the places are free again")
	})
}

func TestAnswersThatAreNeverRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Limits: chat.Limits{Requests: 1}})
		_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		for range 5 {
			_, err := srv.Room("r").Send(t.Context(), chat.Message{User: "bob", Content: strings.Repeat("x", 4000)})
			require.NoError(t, err)
		}
		c, err := srv.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		_, err = io.WriteString(c, "GET /chat/rooms/r/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, status(t, srv, "bob"), "the one place is taken")
		require.Equal(t, int64(1), srv.Stats().Rejected)
		time.Sleep(31 * time.Second)
		require.Equal(t, http.StatusOK, status(t, srv, "bob"))
	})
}

func TestRequestsUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Limits: chat.Limits{Requests: 20}})
		var all []net.Conn
		for range 5 {
			all = append(all, post(t, srv, "/rooms", "mallory"))
		}
		synctest.Wait()
		require.Equal(t, http.StatusTooManyRequests, status(t, srv, "mallory"), "a user has a quarter")
		require.Equal(t, http.StatusOK, status(t, srv, "alice"), "others have the rest")
		synctest.Wait() // she has her answer, but for a moment her place, too
		for i := range 15 {
			all = append(all, post(t, srv, "/rooms", fmt.Sprint("user", i)))
		}
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, status(t, srv, "alice"))
		alice := srv.Dial("alice")
		alice.Join("r") // WebSockets have places of their own
		for _, c := range all {
			require.NoError(t, c.Close())
		}
		synctest.Wait()
		require.Equal(t, http.StatusOK, status(t, srv, "alice"))
		require.Equal(t, http.StatusOK, status(t, srv, "mallory"))
	})
}

// The deadlines end with the answer: what else comes over the connection is the host's.
func TestDeadlinesEndWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				if cmd.Type == chat.CmdCreateRoom && cmd.Room == "slow" {
					time.Sleep(2 * time.Minute)
				}
				return next(ctx, cmd)
			}
		}}})
		c, err := srv.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		r := bufio.NewReader(c)
		for i, body := range []string{`{"id":"a"}`, `{"id":"slow"}`, `{"id":"b"}`} {
			time.Sleep(time.Hour)
			_, err = fmt.Fprintf(c, "POST /chat/rooms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer alice\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			require.NoError(t, err)
			res, err := http.ReadResponse(r, nil)
			require.NoError(t, err, i)
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusCreated, res.StatusCode, body)
			require.Empty(t, res.TransferEncoding)
		}
	})
}
