package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"
)

// program is one run of it.
type program struct {
	t      *testing.T
	url    string
	cancel context.CancelFunc
	done   chan error
	ended  sync.Once

	logs sync.WaitGroup
	mu   sync.Mutex
	text strings.Builder
}

// start runs the program on a port of its own until stop or the end of the
// test. It keeps messages in memory unless env says otherwise.
func start(t *testing.T, env map[string]string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{t: t, cancel: cancel, done: make(chan error, 1)}
	args := []string{"-addr", "127.0.0.1:0"}
	if _, ok := env["GABBLE_STORE"]; !ok {
		args = append(args, "-store", "memory:")
	}
	r, w := io.Pipe()
	go func() {
		err := run(ctx, args, func(k string) string { return env[k] }, w)
		_ = w.CloseWithError(io.EOF)
		p.done <- err
	}()
	url := make(chan string, 1)
	p.logs.Go(func() { p.read(r, url) })
	t.Cleanup(p.stop)
	select {
	case p.url = <-url:
	case err := <-p.done:
		p.done <- nil
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		require.Fail(t, "the program did not say where it is", p.log())
	}
	return p
}

// read keeps what the program logs and finds its address in it.
func (p *program) read(r io.Reader, url chan<- string) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.text.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		if _, after, ok := strings.Cut(lines.Text(), "url=http://localhost:"); ok {
			port, _, _ := strings.Cut(after, " ")
			url <- "http://127.0.0.1:" + port
		}
	}
}

// stop asserts that the program ends well.
func (p *program) stop() {
	p.ended.Do(func() {
		http.DefaultClient.CloseIdleConnections()
		p.cancel()
		require.NoError(p.t, <-p.done)
		p.logs.Wait()
	})
}

func (p *program) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
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

// signIn returns the answer to a sign-in that works.
func (p *program) signIn(name string) map[string]any {
	p.t.Helper()
	status, answer := p.login(`{"name":"` + name + `"}`)
	require.Equal(p.t, http.StatusOK, status)
	return answer
}

// rooms asks for the rooms as who has signed in so, and returns the status.
func (p *program) rooms(who map[string]any) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/chat/rooms", nil)
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer "+who["token"].(string))
	res, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	require.NoError(p.t, res.Body.Close())
	return res.StatusCode
}

type client struct {
	t    *testing.T
	conn net.Conn
}

// dial connects as who has signed in so, there or on another node.
func (p *program) dial(who map[string]any) *client {
	p.t.Helper()
	d := ws.Dialer{Protocols: []string{"gabble.v1.json"}}
	conn, buffered, _, err := d.Dial(p.t.Context(), "ws"+strings.TrimPrefix(p.url, "http")+"/chat/ws")
	require.NoError(p.t, err)
	require.Nil(p.t, buffered, "nothing comes before the first frame")
	p.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(p.t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	c := &client{p.t, conn}
	c.write(map[string]any{"type": "auth", "token": who["token"]})
	c.next("welcome")
	return c
}

func (c *client) write(frame map[string]any) {
	c.t.Helper()
	data, err := json.Marshal(frame)
	require.NoError(c.t, err)
	require.NoError(c.t, wsutil.WriteClientText(c.conn, data))
}

// next reads on to the next frame of the type.
func (c *client) next(typ string) (frame map[string]any) {
	c.t.Helper()
	for frame["type"] != typ {
		data, err := wsutil.ReadServerText(c.conn)
		require.NoError(c.t, err)
		frame = nil
		require.NoError(c.t, json.Unmarshal(data, &frame))
	}
	return frame
}
