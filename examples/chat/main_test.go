package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestSignInAndSpeak(t *testing.T) {
	p := start(t, nil)
	status, alice := p.login(`{"name":"Alice"}`)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{"id": "alice", "name": "Alice"}, alice["user"])

	conn, _, _, err := ws.Dialer{Protocols: []string{"gabble.v1.json"}}.Dial(t.Context(), "ws"+strings.TrimPrefix(p.url, "http")+"/chat/ws")
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	next := func(typ string) (frame map[string]any) {
		for frame["type"] != typ {
			data, err := wsutil.ReadServerText(conn)
			require.NoError(t, err)
			frame = nil
			require.NoError(t, json.Unmarshal(data, &frame))
		}
		return frame
	}
	write := func(frame any) {
		data, err := json.Marshal(frame)
		require.NoError(t, err)
		require.NoError(t, wsutil.WriteClientText(conn, data))
	}
	write(map[string]any{"type": "auth", "token": alice["token"]})
	next("welcome")
	write(map[string]any{"type": "join", "room": "lobby"})
	require.Equal(t, "Lobby", next("joined")["state"].(map[string]any)["title"])
	write(map[string]any{"type": "message", "room": "lobby", "content": "hi", "nonce": "n1"})
	require.Equal(t, "hi", next("message")["content"])
}

func TestLoginRefusesWhatIsNoName(t *testing.T) {
	p := start(t, nil)
	for _, body := range []string{
		``, `[]`, `{"name":7}`, `{"name":""}`, `{"name":"  "}`, `{"name":"a\u0000"}`, `{"name":"a\u202eb"}`,
		`{"name":"\u3164"}`, `{"name":"\u0301"}`, `{"name":"` + strings.Repeat("x", 33) + `"}`, `{"name":"a"} {}`,
		`{"name":"` + strings.Repeat("x", 9000) + `"}`,
	} {
		status, answer := p.login(body)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Equal(t, "invalid", answer["code"], body)
		require.NotContains(t, answer, "token")
	}
}

func TestLoginIsRateLimited(t *testing.T) {
	p := start(t, nil)
	var status int
	var answer map[string]any
	for range loginRate.Burst + 20 {
		if status, answer = p.login(`{"name":"x"}`); status != http.StatusOK {
			break
		}
	}
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Equal(t, "rate_limited", answer["code"])
	require.Positive(t, answer["retry_after_ms"])
}

func TestThePageKeepsToItself(t *testing.T) {
	p := start(t, nil)
	res := p.get("/")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
	csp := res.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
		require.Contains(t, csp, want)
	}
	require.NotContains(t, csp, "unsafe")

	// Whatever a file of the page names is in the binary, and nothing is
	// fetched from elsewhere.
	names := regexp.MustCompile(`(?:src|href)="([^"#]+)"|from "\./([^"]+)"|url\("([^"]+)"\)`)
	seen := map[string]bool{}
	var walk func(path string)
	walk = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		res := p.get("/" + path)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.NotEmpty(t, res.Header.Get("Content-Type"), path)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NotContains(t, string(body), "innerHTML", path)
		for _, m := range names.FindAllStringSubmatch(string(body), -1) {
			walk(m[1] + m[2] + m[3])
		}
	}
	walk("")
	require.Greater(t, len(seen), 10)

	again, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/main.js", nil)
	require.NoError(t, err)
	again.Header.Set("If-None-Match", p.get("/main.js").Header.Get("ETag"))
	res, err = http.DefaultClient.Do(again)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusNotModified, res.StatusCode)

	for _, path := range []string{"/main.go", "/web/", "/log.test.mjs", "/../main.go"} {
		require.Equal(t, http.StatusNotFound, p.get(path).StatusCode, path)
	}
	require.Equal(t, http.StatusOK, p.get("/healthz").StatusCode)
	require.Equal(t, http.StatusOK, p.get("/chat/readyz").StatusCode)
}

func TestMistakesNameTheNextStep(t *testing.T) {
	p := start(t, nil)
	for _, c := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{args: []string{"-addr", strings.TrimPrefix(p.url, "http://")}, want: "Try another port"},
		{args: []string{"-addr", "nowhere"}, want: "cannot listen on nowhere"},
		{args: []string{"-store", "mysql:x"}, want: `-store "mysql:x": this version has memory: only`},
		{env: map[string]string{"GABBLE_STORE": "csv:"}, want: `-store "csv:"`},
		{env: map[string]string{"GABBLE_SECRET": "short"}, want: "GABBLE_SECRET"},
		{args: []string{"extra"}, want: `unexpected argument "extra"`},
	} {
		args := append([]string{"-addr", "127.0.0.1:0"}, c.args...)
		err := run(t.Context(), args, func(k string) string { return c.env[k] }, io.Discard)
		require.ErrorContains(t, err, c.want)
	}
}

func TestASecretKeepsPeopleSignedIn(t *testing.T) {
	env := map[string]string{"GABBLE_SECRET": strings.Repeat("s3cr3t-", 6)}
	_, alice := start(t, env).login(`{"name":"alice"}`)
	p := start(t, env)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/chat/rooms", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+alice["token"].(string))
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func TestUserID(t *testing.T) {
	require.Equal(t, "alice", userID("Alice"))
	require.Equal(t, "a.b_c-9", userID("A.b_C-9"))
	ids := map[string]bool{}
	for _, name := range []string{"Ann Lee", "Ann-Lee", "Ann/Lee", "Žofie", "Zofie", "李", "王", "..", "!", "-"} {
		id := userID(name)
		require.Regexp(t, `^[a-z0-9_.-]*[a-z0-9][a-z0-9_.-]*$`, id)
		require.False(t, ids[id], "%s has the id of another: %s", name, id)
		ids[id] = true
	}
}

type program struct {
	t   *testing.T
	url string
}

// start runs the program on a port of its own until the test ends, and asserts
// that it ends well.
func start(t *testing.T, env map[string]string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-addr", "127.0.0.1:0"}, func(k string) string { return env[k] }, w)
		_ = w.CloseWithError(io.EOF)
		done <- err
	}()
	url := make(chan string, 1)
	var logs sync.WaitGroup
	logs.Go(func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if _, after, ok := strings.Cut(lines.Text(), "url=http://localhost:"); ok {
				port, _, _ := strings.Cut(after, " ")
				url <- "http://127.0.0.1:" + port
			}
		}
	})
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		require.NoError(t, <-done)
		logs.Wait()
	})
	select {
	case u := <-url:
		return &program{t, u}
	case err := <-done:
		done <- nil
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.Fail(t, "the program did not say where it is")
	}
	return nil
}

func (p *program) get(path string) *http.Response {
	p.t.Helper()
	res, err := http.Get(p.url + path)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (p *program) login(body string) (int, map[string]any) {
	p.t.Helper()
	res, err := http.Post(p.url+"/login", "application/json", strings.NewReader(body))
	require.NoError(p.t, err)
	defer func() { _ = res.Body.Close() }()
	var answer map[string]any
	require.NoError(p.t, json.NewDecoder(res.Body).Decode(&answer))
	return res.StatusCode, answer
}
