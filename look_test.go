package chat_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// quoted is a text as JSON.
func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// nothingSeen are texts of which nobody would see anything.
var nothingSeen = []string{
	" ", "\u00a0", "\u200b", "\u200d\u200c", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066\u2069", "\u061c", "\u034f", "\u115f", "\u3164", "\uffa0",
	"\u2800", "\ufe0f", "\U000e0100", "\U000e0041\U000e007f", "\u0301", "\u20dd\u20e3", "\u180b", "\u17b4", "\ufffc", "\U0001d159",
}

func TestMessagesOfWhichNothingCanBeSeen(t *testing.T) {
	srv := newServer(t, chat.Options{})
	room := srv.Room("r")
	_, err := room.Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	m, err := room.Send(t.Context(), chat.Message{User: "alice", Content: "x"})
	require.NoError(t, err)
	for _, content := range nothingSeen {
		for _, content := range []string{content, "\n" + content + " " + content} {
			_, err := room.Send(t.Context(), chat.Message{User: "alice", Content: content})
			require.ErrorIs(t, err, chat.ErrInvalid, "%+q", content)
			for method, path := range map[string]string{"POST": "/rooms/r/messages", "PATCH": "/rooms/r/messages/" + m.ID} {
				w := asked(t, srv, method, path, `{"content":`+quoted(content)+`}`)
				require.Equal(t, http.StatusBadRequest, w.Code, "%+q: %s", content, w.Body)
				require.Contains(t, w.Body.String(), `"field":"content"`)
			}
		}
	}
	for _, content := range []string{"👍🏽", "1️⃣", "e\u0301", "\u200b.", "🏴\U000e0067\U000e007f"} {
		_, err := room.Send(t.Context(), chat.Message{User: "alice", Content: content})
		require.NoError(t, err, "%+q", content)
	}
	w := asked(t, srv, "POST", "/rooms/r/messages", `{"content":"","attachments":[{"url":"/\\evil.example"}]}`)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), `"field":"attachments[0].url"`)
}

func TestWhatRoomsAreCalled(t *testing.T) {
	srv := newServer(t, chat.Options{Authorize: func(context.Context, chat.User, chat.Action, chat.RoomInfo) error { return nil }})
	_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{Topic: "two\nlines", CreatedBy: "alice"})
	require.NoError(t, err)
	badURLs := []string{"https://x y", "https://[", "https://@", "https://:80"}
	for _, v := range badURLs {
		w := asked(t, srv, "POST", "/rooms/r/messages", `{"content":"x","attachments":[{"url":`+quoted(v)+`}]}`)
		require.Equal(t, http.StatusBadRequest, w.Code, "%q", v)
		require.Contains(t, w.Body.String(), `"field":"attachments[0].url"`)
	}
	for field, values := range map[string][]string{
		"title":  append([]string{"a\nb", "a\x1b[31m", "a\u009b1m", "a\u2028b", "a\tb", "\x7f"}, nothingSeen...),
		"topic":  {"a\x1b]0;x\x07", "a\rb", "\u0085"},
		"avatar": append([]string{"//evil.example/a.png", `/\evil.example`, "/a\n.png", "/a\x1b", "javascript:alert(1)", "https:///x", "x.png"}, badURLs...),
	} {
		for _, v := range values {
			for method, path := range map[string]string{"POST": "/rooms", "PATCH": "/rooms/r"} {
				w := asked(t, srv, method, path, `{"id":"n",`+quoted(field)+`:`+quoted(v)+`}`)
				require.Equal(t, http.StatusBadRequest, w.Code, "%s %s %q: %s", method, field, v, w.Body)
				require.Contains(t, w.Body.String(), `"field":`+quoted(field))
			}
			info := chat.RoomInfo{}
			update := chat.RoomUpdate{}
			switch field {
			case "title":
				info.Title, update.Title = v, &v
			case "topic":
				info.Topic, update.Topic = v, &v
			default:
				info.Avatar, update.Avatar = v, &v
			}
			_, err := srv.Room("n").Create(t.Context(), info)
			require.ErrorIs(t, err, chat.ErrInvalid)
			_, err = srv.Room("r").Update(t.Context(), update)
			require.ErrorIs(t, err, chat.ErrInvalid)
		}
	}
	require.Equal(t, http.StatusOK, asked(t, srv, "PATCH", "/rooms/r", `{"title":"Lobby 👍","avatar":"/a.png"}`).Code)
	require.Equal(t, http.StatusOK, asked(t, srv, "PATCH", "/rooms/r", `{"title":""}`).Code, "none is none")
}

// Somebody whose name nobody can see is shown by id.
func TestNamesOfWhichNothingCanBeSeen(t *testing.T) {
	for _, name := range append([]string{"Alice"}, nothingSeen...) {
		srv := chattest.New(t, &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
			u, err := chattest.TokenIsUser(r)
			u.Name = name
			return u, err
		}})
		welcome := srv.Dial("").Call(map[string]any{"type": "auth", "token": "alice"})
		require.Equal(t, name == "Alice", strings.Contains(string(welcome.Raw), `"name"`), "%+q: %s", name, welcome.Raw)
	}
}

// A user's avatar is the host's word, and still nothing that a page should load blindly.
func TestAvatarsThatLeadElsewhereAreNotShown(t *testing.T) {
	for avatar, want := range map[string]string{
		"https://a.example/x.png": "https://a.example/x.png", "/x.png": "/x.png",
		"//evil.example/x.png": "", `/\evil.example`: "", "/x\x1b.png": "", "javascript:alert(1)": "",
	} {
		srv := chattest.New(t, &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
			u, err := chattest.TokenIsUser(r)
			u.Avatar = avatar
			return u, err
		}})
		alice := srv.Dial("")
		welcome := alice.Call(map[string]any{"type": "auth", "token": "alice"})
		require.Equal(t, want != "", strings.Contains(string(welcome.Raw), `"avatar"`), "%q: %s", avatar, welcome.Raw)
		_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		alice.Send("r", "x")
		msg := alice.Call(map[string]any{"type": "history", "room": "r"})
		require.Equal(t, want != "", strings.Contains(string(msg.Raw), `"avatar"`), "%q: %s", avatar, msg.Raw)
	}
}

// A mux would send DELETE /chat/rooms/a/../b on to another room.
func TestPathsAreNotRedirected(t *testing.T) {
	srv := newServer(t, chat.Options{})
	for _, id := range []string{"a", "b"} {
		_, err := srv.Room(id).Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/chat/", http.StripPrefix("/chat", srv))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, h := range []http.Handler{chat.ExactPaths(mux), http.StripPrefix("/chat", srv)} {
		for _, method := range []string{"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"} {
			for _, path := range []string{
				"/chat//rooms", "/chat/rooms/", "/chat/rooms/a/../b", "/chat/rooms//a", "/chat/rooms/./a", "/chat/rooms/a/.", "/chat/rooms/a/..", "/chat/rooms/a//",
				"/chat/../chat/rooms/a", "/chat/rooms/%2e%2e/b", "/chat/rooms/%2e", "/chat/rooms/a%2f..%2fb", "/chat/rooms/a%2Fmessages", "/chat/rooms/a/messages/../../b",
				"/chat/rooms/%252e%252e/b", "/chat/rooms/a%2f%2fb", "/chat/./ws", "/chat//ws",
			} {
				r := httptest.NewRequest(method, path, strings.NewReader(`{}`))
				r.Header.Set("Authorization", "Bearer alice")
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.Contains(t, []int{http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNoContent}, w.Code, "%s %s", method, path)
				require.Equal(t, method == "OPTIONS" && w.Code == http.StatusNoContent, w.Code == http.StatusNoContent, "%s %s", method, path)
				require.Empty(t, w.Header().Get("Location"), "%s %s", method, path)
			}
		}
	}
	for _, id := range []string{"a", "b"} {
		require.Equal(t, http.StatusOK, asked(t, srv, "GET", "/rooms/"+id, "").Code)
	}
}
