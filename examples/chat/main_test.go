package main

import (
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestSignInAndSpeak(t *testing.T) {
	p := start(t, nil)
	status, alice := p.login(`{"name":"Alice"}`)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{"id": "alice", "name": "Alice"}, alice["user"])

	c := p.dial(alice)
	c.write(map[string]any{"type": "join", "room": "lobby"})
	require.Equal(t, "Lobby", c.next("joined")["state"].(map[string]any)["title"])
	c.write(map[string]any{"type": "message", "room": "lobby", "content": "hi", "nonce": "n1"})
	require.Equal(t, "hi", c.next("message")["content"])
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
		{args: []string{"-store", "sqlite://gabble.db"}, want: "is no URL; write sqlite:gabble.db"},
		{args: []string{"-store", "sqlite:" + filepath.Join(t.TempDir(), "none", "gabble.db")}, want: "none"},
		{args: []string{"-store", "sqlite:" + t.TempDir()}, want: "is a directory"},
		{args: []string{"-wait", "0s", "-store", "redis://me:geheim@127.0.0.1:1"}, want: "-store redis://127.0.0.1:1: "},
		{args: []string{"-wait", "0s", "-store", "redis-cluster://me:geheim@127.0.0.1:1,127.0.0.1:2"}, want: "-store redis-cluster://"},
		{args: []string{"-store", "redis://me:geheim@127.0.0.1:x"}, want: "-store redis://…: "},
		{args: []string{"-wait", "0s", "-store", "postgres://me:geheim@127.0.0.1:1/chat"}, want: "-store postgres://127.0.0.1:1/chat: "},
		{args: []string{"-store", "postgres://me:geheim@127.0.0.1:x/chat"}, want: "-store postgres://…: "},
		{args: []string{"-store", "memory:x"}, want: `-store "memory:x"`},
		{args: []string{"-store", "mysql:x"}, want: `-store "mysql:x": is none of memory:, sqlite:FILE, redis://`},
		{env: map[string]string{"GABBLE_STORE": "csv:"}, want: `-store "csv:"`},
		{env: map[string]string{"GABBLE_SECRET": "short"}, want: "GABBLE_SECRET"},
		{args: []string{"extra"}, want: `unexpected argument "extra"`},
	} {
		args := append([]string{"-addr", "127.0.0.1:0", "-store", "memory:"}, c.args...)
		if c.env["GABBLE_STORE"] != "" {
			args = args[:2]
		}
		err := run(t.Context(), args, func(k string) string { return c.env[k] }, io.Discard)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "geheim")
		if strings.Contains(c.want, "-store") {
			require.NotContains(t, err.Error(), "\n")
		}
	}
}

func TestASecretKeepsPeopleSignedIn(t *testing.T) {
	env := map[string]string{"GABBLE_SECRET": strings.Repeat("s3cr3t-", 6)}
	_, alice := start(t, env).login(`{"name":"alice"}`)
	require.Equal(t, http.StatusOK, start(t, env).rooms(alice))
	require.Equal(t, http.StatusUnauthorized, start(t, nil).rooms(alice))
}

func TestUserID(t *testing.T) {
	require.Equal(t, "alice", userID("Alice"))
	require.Equal(t, "a.b_c-9", userID("A.b_C-9"))
	require.Equal(t, userID("ANN LEE"), userID("Ann Lee"))
	ids := map[string]bool{}
	for _, name := range []string{"alice", "Ann Lee", "Ann-Lee", "Ann/Lee", "Žofie", "Zofie", "李", "王", "..", "!", "-", "~YQ", strings.Repeat("李", 31), strings.Repeat("x", maxName)} {
		_, refusal := cleanName(name)
		require.Nil(t, refusal, name)
		id := userID(name)
		require.Regexp(t, `^~?[A-Za-z0-9_.-]*[A-Za-z0-9][A-Za-z0-9_.-]*$`, id)
		require.LessOrEqual(t, len(id), 128)
		require.False(t, ids[id], "%s has the id of another: %s", name, id)
		ids[id] = true
		require.Equal(t, strings.ToLower(name), nameOf(id), "any node can tell the name")
	}
}
