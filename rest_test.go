package chat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// restPage is what the message endpoints answer.
type restPage struct {
	Messages []struct {
		ID, Content, Room string
		Seq, Rev          int64
	}
	More  bool
	Epoch string
	Head  int64
}

func decoded[T any](t *testing.T, b []byte) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(b, &v), "%s", b)
	return v
}

func openToModerators() chat.Options {
	return chat.Options{Authorize: func(_ context.Context, u chat.User, a chat.Action, r chat.RoomInfo) error {
		if a == chat.ActionModerate && u.ID == "mod" {
			return nil
		}
		return chat.DefaultAuthorize(context.Background(), u, a, r)
	}}
}

func TestRESTDoesWhatTheProtocolSays(t *testing.T) {
	srv := newServer(t, openToModerators())
	id := ""
	for _, row := range []struct {
		method, path, body string
		user               string
		status             int
		says               string
	}{
		{"GET", "/rooms", "", "alice", 200, `{"rooms":[],"more":false}`},
		{"POST", "/rooms", `{"id":"r","kind":"public","title":"T","topic":"U","avatar":"https://x.test/a.png","meta":{"a":1}}`, "alice", 201, `"title":"T","topic":"U"`},
		{"POST", "/rooms", `{"id":"r"}`, "bob", 409, `"code":"conflict"`},
		{"GET", "/rooms", "", "bob", 200, `"id":"r","kind":"public"`},
		{"GET", "/rooms/r", "", "bob", 200, `"meta":{"a":1}`},
		{"PATCH", "/rooms/r", `{"title":"T2"}`, "bob", 403, `"code":"forbidden"`},
		{"PATCH", "/rooms/r", `{"title":"T2"}`, "mod", 200, `"title":"T2","topic":"U"`},
		{"GET", "/rooms/r/online", "", "bob", 200, `"users":[],"more":false`},
		{"GET", "/rooms/r/messages", "", "bob", 200, `"messages":[],"more":false,"epoch":"`},
		{"POST", "/rooms/r/messages", `{"content":"hello","nonce":"n1","mentions":["bob"],"meta":{"k":"v"}}`, "alice", 201, `"seq":1`},
		{"POST", "/rooms/r/messages", `{"content":"other","nonce":"n1"}`, "alice", 200, `"content":"hello"`},
		{"POST", "/rooms/r/messages", `{"content":"bob's","nonce":"n1"}`, "bob", 201, `"seq":2`},
		{"GET", "/rooms/r/messages/{id}", "", "bob", 200, `"mentions":["bob"]`},
		{"GET", "/rooms/r/messages/none", "", "bob", 404, `"field":"id"`},
		{"PATCH", "/rooms/r/messages/{id}", `{"content":"edited"}`, "alice", 200, `"content":"edited"`},
		{"PATCH", "/rooms/r/messages/{id}", `{"content":"edited"}`, "bob", 403, `"field":"id"`},
		{"PATCH", "/rooms/r/messages/none", `{"content":"edited"}`, "alice", 404, `"field":"id"`},
		{"DELETE", "/rooms/r/messages/{id}", "", "bob", 403, `"code":"forbidden"`},
		{"DELETE", "/rooms/r/messages/{id}?hard=maybe", "", "alice", 400, `"field":"hard"`},
		{"DELETE", "/rooms/r/messages/{id}", "", "alice", 200, `"deleted_at":"`},
		{"DELETE", "/rooms/r/messages/{id}", "", "alice", 200, `"deleted_at":"`},
		{"PATCH", "/rooms/r/messages/{id}", `{"content":"again"}`, "alice", 404, `"code":"not_found"`},
		{"DELETE", "/rooms/r/messages/{id}?hard=true", "", "mod", 200, `"deleted_at":"`},
		{"GET", "/rooms/nowhere", "", "bob", 404, `{"code":"not_found","message":"no such room","field":"room"}`},
		{"GET", "/rooms/nowhere/messages", "", "bob", 404, `"field":"room"`},
		{"POST", "/rooms/nowhere/messages", `{"content":"x"}`, "bob", 404, `"field":"room"`},
		{"DELETE", "/rooms/r", "", "bob", 403, `"code":"forbidden"`},
		{"DELETE", "/rooms/r", "", "mod", 204, ""},
		{"GET", "/rooms/r", "", "bob", 404, `"code":"not_found"`},
		{"GET", "/healthz", "", "", 200, `{"status":"ok"}`},
		{"GET", "/readyz", "", "", 200, `{"status":"ready"}`},
		{"GET", "/rooms", "", "", 401, `{"code":"unauthenticated","message":"not authenticated"}`},
		{"POST", "/rooms", `{"id":"x"}`, "", 401, `"unauthenticated"`},
	} {
		name := fmt.Sprint(row.user, " ", row.method, " ", row.path, " ", row.body)
		w := asked(t, srv, row.method, strings.ReplaceAll(row.path, "{id}", id), row.body, "Authorization", strings.TrimSpace("Bearer "+row.user))
		require.Equal(t, row.status, w.Code, "%s: %s", name, w.Body)
		require.Contains(t, w.Body.String(), row.says, name)
		if row.status != 204 {
			require.Equal(t, "application/json", w.Header().Get("Content-Type"), name)
			require.True(t, json.Valid(w.Body.Bytes()), name)
		}
		if row.says == `"seq":1` {
			id = decoded[struct{ ID string }](t, w.Body.Bytes()).ID
		}
		require.NotContains(t, w.Body.String(), `"type"`, name)
	}
}

func TestRESTPagesLeadThroughARoom(t *testing.T) {
	srv := newServer(t, chat.Options{})
	_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	for i := range 10 {
		_, err := srv.Room("r").Send(t.Context(), chat.Message{User: "bot", Content: fmt.Sprint(i + 1)})
		require.NoError(t, err)
	}
	get := func(query string) (seqs []int64, more bool) {
		w := asked(t, srv, "GET", "/rooms/r/messages?"+query, "")
		require.Equal(t, 200, w.Code, "%s: %s", query, w.Body)
		p := decoded[restPage](t, w.Body.Bytes())
		require.EqualValues(t, 11, p.Head)
		require.NotEmpty(t, p.Epoch)
		for _, m := range p.Messages {
			seqs = append(seqs, m.Seq)
		}
		return seqs, p.More
	}
	for _, row := range []struct {
		query string
		seqs  []int64
		more  bool
	}{
		{"limit=3", []int64{8, 9, 10}, true},
		{"limit=10", []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, false},
		{"before=4&limit=2", []int64{2, 3}, true},
		{"before=3&limit=2", []int64{1, 2}, false},
		{"before=1", nil, false},
		{"before=0", nil, false},
		{"before=99&limit=1", []int64{10}, true},
		{"after=7&limit=2", []int64{8, 9}, true},
		{"after=8&limit=2", []int64{9, 10}, false},
		{"after=10", nil, false},
		{"after=99", nil, false},
		{"after=0&limit=3", []int64{1, 2, 3}, true},
		{"around=5&limit=4", []int64{3, 4, 5, 6}, true},
		{"around=1&limit=3", []int64{1, 2, 3}, true},
	} {
		t.Run(row.query, func(t *testing.T) {
			seqs, more := get(row.query)
			require.Equal(t, row.seqs, seqs)
			require.Equal(t, row.more, more)
		})
	}
	for _, query := range []string{"before=x", "after=-1", "limit=1.5", "limit=-1", "before=1&after=2", "around=1&before=2", "before=99999999999999999999", "limit=x"} {
		w := asked(t, srv, "GET", "/rooms/r/messages?"+query, "")
		require.Equal(t, 400, w.Code, "%s: %s", query, w.Body)
		require.Contains(t, w.Body.String(), `"field":"`, query)
	}
}

func TestRESTBodiesAreReadStrictly(t *testing.T) {
	srv := newServer(t, chat.Options{Limits: chat.Limits{MessageBytes: 8 << 10}})
	_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	for _, row := range []struct {
		path, body string
		status     int
		field      string
	}{
		{"/rooms/r/messages", `{"content":"a","content":"b"}`, 400, "content"},
		{"/rooms/r/messages", `{"Content":"a"}`, 400, "content"},
		{"/rooms/r/messages", `{"content":7}`, 400, "content"},
		{"/rooms/r/messages", `{"content":"a"} x`, 400, ""},
		{"/rooms/r/messages", `{"content":"a\u0000"}`, 400, "content"},
		{"/rooms/r/messages", "{\"content\":\"\xff\"}", 400, "content"},
		{"/rooms/r/messages", `[]`, 400, ""},
		{"/rooms/r/messages", `null`, 400, ""},
		{"/rooms/r/messages", ` `, 400, ""},
		{"/rooms/r/messages", `{"content":"a","room":"other","type":"delete","unknown":1}`, 201, ""},
		{"/rooms/r/messages", `{"content":"` + strings.Repeat("x", 4001) + `"}`, 413, "content"},
		{"/rooms/r/messages", `{"content":"` + strings.Repeat("x", 9<<10) + `"}`, 413, ""},
		{"/rooms", `{"id":"a b"}`, 400, "id"},
		{"/rooms", `{}`, 400, "id"},
		{"/rooms", `null`, 400, ""},
		{"/rooms", `{"id":7}`, 400, "id"},
		{"/rooms", `{"id":"n","id":"m"}`, 400, "id"},
		{"/rooms", `{"id":"n","kind":"secret"}`, 400, "kind"},
		{"/rooms", `{"id":"n","title":"` + strings.Repeat("t", 201) + `"}`, 400, "title"},
		{"/rooms", `{"id":"n","title":"a\u0000b"}`, 400, "title"},
		{"/rooms", `{"id":"n","avatar":"javascript:alert(1)"}`, 400, "avatar"},
		{"/rooms", `{"id":"n","meta":[1]}`, 400, "meta"},
		{"/rooms", `{"id":"n","meta":{"a":1,"a":2}}`, 400, "meta"},
		{"/rooms", `{"id":"n","meta":{"a":"` + strings.Repeat("x", 5000) + `"}}`, 413, "meta"},
		{"/rooms", `{"id":"n"}{"id":"m"}`, 400, ""},
		{"/rooms", `{"id":"n2","title":null,"later":true}`, 201, ""},
	} {
		name := fmt.Sprintf("%s %.80s", row.path, row.body)
		t.Run(name, func(t *testing.T) {
			w := asked(t, srv, "POST", row.path, row.body)
			require.Equal(t, row.status, w.Code, "%s", w.Body)
			if row.field != "" {
				require.Equal(t, row.field, decoded[struct{ Field string }](t, w.Body.Bytes()).Field, "%s", w.Body)
			}
		})
	}
	for ct, status := range map[string]int{"application/json; charset=utf-8": 201, "Application/JSON": 201, "text/plain": 400, "application/x-www-form-urlencoded": 400, "": 400} {
		t.Run("as "+ct, func(t *testing.T) {
			w := asked(t, srv, "POST", "/rooms/r/messages", `{"content":"x"}`, "Content-Type", ct)
			require.Equal(t, status, w.Code, "%s", w.Body)
		})
	}
}

func TestMethodsThatAreNotThere(t *testing.T) {
	srv := newServer(t, chat.Options{})
	for path, allow := range map[string]string{"/rooms": "GET, HEAD, POST", "/rooms/r": "DELETE, GET, HEAD, PATCH", "/rooms/r/messages": "GET, HEAD, POST", "/healthz": "GET, HEAD", "/ws": "GET, HEAD", "/direct": "POST"} {
		w := asked(t, srv, "PUT", path, "")
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, "%s: %s", path, w.Body)
		for m := range strings.SplitSeq(allow, ", ") {
			require.Contains(t, w.Header().Get("Allow"), m, path)
		}
		require.True(t, json.Valid(w.Body.Bytes()), "%s: %s", path, w.Body)
	}
}

func TestACommandIsALineOfTheTable(t *testing.T) {
	var seen []chat.CommandType
	srv := newServer(t, chat.Options{Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			seen = append(seen, cmd.Type)
			return next(ctx, cmd)
		}
	}}})
	chat.Learn(srv, "mark", "PUT /rooms/{room}/mark", func(cmd *chat.Command) error {
		require.Equal(t, "r", cmd.Room)
		return nil
	})
	w := asked(t, srv, "PUT", "/rooms/r/mark", "")
	require.Equal(t, http.StatusNotFound, w.Code, "%s", w.Body) // there is no such room
	_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	w = asked(t, srv, "PUT", "/rooms/r/mark", "")
	require.Equal(t, http.StatusNoContent, w.Code, "%s", w.Body)
	require.Equal(t, []chat.CommandType{"auth", "mark", "auth", "mark"}, seen)
	w = asked(t, srv, "POST", "/rooms/r/mark", "")
	require.Equal(t, http.StatusMethodNotAllowed, w.Code, "%s", w.Body)
	require.Equal(t, "PUT", w.Header().Get("Allow"), "of methods that only it is reached by, too")
}

// TestAListOfRoomsIsLookedAtAgain: a permission may end while the list is made.
func TestAListOfRoomsIsLookedAtAgain(t *testing.T) {
	var srv *chat.Server
	ended := false
	srv = newServer(t, chat.Options{Authorize: func(ctx context.Context, user chat.User, _ chat.Action, room chat.RoomInfo) error {
		if room.ID != "secret" {
			return nil
		}
		if ended {
			return chat.ErrForbidden
		}
		ended = true
		return srv.Revoke(ctx, user.ID, room.ID)
	}})
	for _, id := range []string{"open", "secret"} {
		_, err := srv.Room(id).Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
	}
	w := asked(t, srv, "GET", "/rooms", "")
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	require.True(t, ended)
	require.Contains(t, w.Body.String(), "open")
	require.NotContains(t, w.Body.String(), "secret")
}

// TestAReadThatIsKeptIsNotDone: what a middleware keeps to itself shows nothing,
// and is answered as anything else that is kept.
func TestAReadThatIsKeptIsNotDone(t *testing.T) {
	srv := newServer(t, chat.Options{Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			if cmd.Class() == chat.ClassRead {
				return nil
			}
			return next(ctx, cmd)
		}
	}}})
	_, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	require.NoError(t, srv.Revoke(t.Context(), "somebody", "r"))
	for _, path := range []string{"/rooms", "/rooms/r", "/rooms/r/online", "/rooms/r/messages", "/rooms/r/messages/m"} {
		w := asked(t, srv, "GET", path, "")
		require.Equal(t, http.StatusNoContent, w.Code, "%s: %s", path, w.Body)
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	hs := doorway{name: "net", engine: "goroutine"}.open(t, chat.Options{})
	for _, path := range []string{"/chat/healthz", "/chat/readyz"} {
		res, err := http.Head("http://" + hs.addr + path)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestReadyzTellsWhatIsWrong(t *testing.T) {
	store := storagetest.Faulty(memory.New())
	srv := newServer(t, chat.Options{Store: store})
	require.Equal(t, 200, asked(t, srv, "GET", "/readyz", "").Code)
	store.Down(storagetest.FailBefore)
	w := asked(t, srv, "GET", "/readyz", "")
	require.Equal(t, 503, w.Code)
	require.JSONEq(t, `{"status":"not ready","reason":"store"}`, w.Body.String())
	require.Equal(t, 200, asked(t, srv, "GET", "/healthz", "").Code, "the process lives")
	for _, path := range []string{"/rooms/r", "/rooms/r/messages"} {
		w := asked(t, srv, "GET", path, "")
		require.Equal(t, 503, w.Code)
		require.Contains(t, w.Body.String(), `"code":"unavailable"`)
	}
	store.Up()
	require.Eventually(t, func() bool { return asked(t, srv, "GET", "/readyz", "").Code == 200 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, srv.Close())
	w = asked(t, srv, "GET", "/readyz", "")
	require.Equal(t, 503, w.Code)
	require.Contains(t, w.Body.String(), "draining")
	require.Equal(t, 503, asked(t, srv, "GET", "/rooms", "").Code)
}

func TestWrongMountNamesTheFix(t *testing.T) {
	srv := newServer(t, chat.Options{})
	for path, says := range map[string]string{
		"/chat/ws":              `http.StripPrefix(\"/chat\", srv)`,
		"/api/v1/chat/rooms":    `http.StripPrefix(\"/api/v1/chat\", srv)`,
		"/chat/rooms/r":         `http.StripPrefix(\"/chat\", srv)`,
		"/chat/healthz":         `http.StripPrefix(\"/chat\", srv)`,
		"/nothing":              "/ws, /rooms",
		"/":                     "/ws, /rooms",
		"/rooms/r/messages/1/x": "nothing at GET /rooms/r/messages/1/x",
		"/rooms/r/rooms":        "nothing at GET /rooms/r/rooms",
	} {
		t.Run(path, func(t *testing.T) {
			w := asked(t, srv, "GET", path, "")
			require.Equal(t, 404, w.Code)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), says)
			require.Contains(t, w.Body.String(), `"code":"not_found"`)
		})
	}
}

func TestRedirectsStayInsideTheMount(t *testing.T) {
	srv := newServer(t, chat.Options{})
	mounted := http.StripPrefix("/chat", srv)
	w := asked(t, mounted, "GET", "/chat//rooms", "")
	require.NotContains(t, []string{"/rooms"}, w.Header().Get("Location"), "a redirect must not lead out of the mount")
}
