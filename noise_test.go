package chat_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// What is no command is limited, counted and logged, too.
func TestFramesThatAreNoCommandsHaveALimit(t *testing.T) {
	for name, frame := range map[string]string{
		"malformed": `{"type":`, "unknown": `{"type":"dance","ref":"1"}`, "bad field": `{"type":"join","ref":"1","room":7}`, "ping": `{"type":"ping","ref":"1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lines
				srv := chattest.New(t, &chat.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				alice, bob := srv.Dial("alice"), srv.Dial("bob")
				for range 300 {
					alice.Text(frame)
				}
				synctest.Wait()
				answers := map[string]int{}
				for _, ev := range alice.Drain() {
					answers[ev.Type+" "+string(ev.Code)]++
					if ev.Code == chat.CodeRateLimited {
						require.Positive(t, ev.RetryAfter)
					}
				}
				require.Equal(t, 200, answers["error rate_limited"], "%v", answers)
				stats := srv.Stats()
				if name == "ping" {
					require.Equal(t, 100, answers["pong "])
					require.Equal(t, int64(100), stats.Pings)
				} else {
					require.Equal(t, 100, answers["error invalid"])
					require.Equal(t, int64(100), stats.Malformed)
					require.Equal(t, int64(100), stats.Errors[chat.CodeInvalid])
					require.Equal(t, 1, log.count("chat: frame refused"), "sampled")
				}
				require.Equal(t, int64(200), stats.Errors[chat.CodeRateLimited])

				// Another session of hers has the same budget, and others have theirs.
				require.Equal(t, chat.CodeRateLimited, srv.Dial("alice").Call(map[string]any{"type": "ping"}).Code)
				require.Equal(t, "pong", bob.Call(map[string]any{"type": "ping"}).Type)
				alice.Join("r") // commands have limits of their own
				time.Sleep(time.Minute)
				require.Equal(t, "pong", alice.Call(map[string]any{"type": "ping"}).Type)

				for range 700 {
					alice.Text(frame)
				}
				require.Equal(t, 4502, alice.CloseCode(), "who does not listen is sent away")
			})
		})
	}
}

// Strangers, who have no user yet, are held to it by session.
func TestStrangersFramesHaveALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, nil)
		nobody := srv.Dial("")
		for i := range 700 {
			nobody.Text(fmt.Sprintf(`{"type":"rooms","ref":"%d"}`, i))
		}
		require.Equal(t, 4502, nobody.CloseCode())
		require.LessOrEqual(t, srv.Stats().Errors[chat.CodeUnauthenticated], int64(101))
	})
}

// So are requests over REST that are not understood.
func TestRequestsThatAreNoCommandsHaveALimit(t *testing.T) {
	for name, row := range map[string]struct {
		method, path, body string
		status             int
	}{
		"malformed":  {"POST", "/rooms/r/messages", `{"content":`, 400},
		"wrong type": {"PATCH", "/rooms/r/messages/1", `{"content":5}`, 400},
		"too large":  {"POST", "/rooms/r/messages", `{"content":"` + strings.Repeat("x", 1<<16) + `"}`, 413},
		"of a room":  {"POST", "/rooms", `{"id":7}`, 400},
		"of a user":  {"POST", "/direct", `{"user":"\u0001"}`, 400},
		"query":      {"GET", "/rooms/r/messages?before=x", "", 400},
		"limit":      {"GET", "/rooms?limit=-1", "", 400},
		"hard":       {"DELETE", "/rooms/r/messages/1?hard=perhaps", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lines
				srv := newServer(t, chat.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				statuses := map[int]int{}
				for range 300 {
					w := asked(t, srv, row.method, row.path, row.body)
					statuses[w.Code]++
					require.Equal(t, w.Code == http.StatusTooManyRequests, w.Header().Get("Retry-After") != "")
				}
				require.Equal(t, map[int]int{row.status: 100, http.StatusTooManyRequests: 200}, statuses)
				stats := srv.Stats()
				require.Equal(t, int64(100), stats.Malformed)
				require.Equal(t, int64(200), stats.Errors[chat.CodeRateLimited])
				synctest.Wait()
				require.Equal(t, 1, log.count("chat: request refused"), "sampled")

				require.Equal(t, http.StatusOK, asked(t, srv, "GET", "/rooms", "").Code, "commands have limits of their own")
				require.Equal(t, row.status, asked(t, srv, row.method, row.path, row.body, "Authorization", "Bearer bob").Code, "and so have others")
				time.Sleep(time.Minute)
				require.Equal(t, row.status, asked(t, srv, row.method, row.path, row.body).Code)
			})
		})
	}
}

func TestErrorsAreCountedByCode(t *testing.T) {
	srv := newServer(t, chat.Options{})
	asked(t, srv, "GET", "/rooms/none", "")
	asked(t, srv, "GET", "/rooms/none", "", "Origin", "https://evil.example")
	asked(t, srv, "GET", "/ws", "", "Origin", "https://evil.example")
	asked(t, srv, "GET", "/rooms", "", "Authorization", "")
	require.Equal(t, map[chat.Code]int64{chat.CodeNotFound: 1, chat.CodeForbidden: 2, chat.CodeUnauthenticated: 1}, srv.Stats().Errors)
	require.Equal(t, http.StatusOK, asked(t, srv, "GET", "/rooms", "").Code)
}
