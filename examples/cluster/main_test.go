package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
)

// TestMain is also the program that the tested one starts as a node.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == nodeCommand {
		main()
		return
	}
	leak.Main(m)
}

// Two clients are on different nodes. The node of one is killed while it
// writes: it goes on on the other, and nothing is lost or there twice.
func TestAClientSurvivesItsNode(t *testing.T) {
	c := start(t)
	alice, bob := c.dial("alice"), c.dial("bob")
	for alice.node == bob.node { // round robin counts requests of others, too
		bob.close()
		bob = c.dial("bob")
	}
	alice.join()
	bob.join()
	alice.say("hello from " + alice.node)
	bob.until("hello from " + alice.node)
	bob.say("hello from " + bob.node)
	alice.until("hello from " + bob.node)

	for i := range 8 { // within the rate limit, all in all
		alice.say(fmt.Sprint("before ", i))
	}
	bob.until("before 3")
	killed := alice.node
	c.kill(killed)
	for i := range 4 {
		alice.say(fmt.Sprint("into the void ", i))
	}
	alice.ends()
	alice.redial()
	require.NotEqual(t, killed, alice.node)
	for i := range 4 {
		alice.say(fmt.Sprint("after ", i))
	}
	alice.until("after 3")
	bob.until("after 3")
	require.Equal(t, alice.seen, bob.seen, "both see the same, in the same order")
	want := []string{"hello from " + killed, "hello from " + bob.node}
	for _, said := range []struct {
		when string
		n    int
	}{{"before ", 8}, {"into the void ", 4}, {"after ", 4}} {
		for i := range said.n {
			want = append(want, fmt.Sprint(said.when, i))
		}
	}
	require.Equal(t, want, bob.seen, "each once, in the order in which they were written")
}

func TestThePageIsThereThroughNginx(t *testing.T) {
	c := start(t)
	for path, want := range map[string]string{"/": "many nodes", "/cluster.js": "WebSocket", "/chat/healthz": ""} {
		res, err := http.Get("http://" + c.addr + path)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Contains(t, string(body), want)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	_, err := find("no-such-program", "pkg")
	require.EqualError(t, err, "no-such-program is not installed: apt-get install pkg")
}

// A child that cannot start ends the rest, and it is said why.
func TestARedisThatIsNotThereEndsTheCluster(t *testing.T) {
	need(t)
	err := run(t.Context(), []string{"-addr", freeAddr(t), "-redis", "redis://127.0.0.1:1"}, t.Output())
	require.ErrorContains(t, err, "node 1 has not started")
}

func need(t *testing.T) {
	t.Helper()
	for program, pkg := range map[string]string{"nginx": "nginx-light", "redis-server": "redis-server"} {
		if _, err := find(program, pkg); err != nil && os.Getenv("GABBLE_REQUIRE") == "1" {
			t.Fatal("GABBLE_REQUIRE=1:", err)
		} else if err != nil {
			t.Skip(err)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// cluster is a run of the program.
type cluster struct {
	t    *testing.T
	addr string

	mu   sync.Mutex
	more chan struct{} // closed and made anew when there is more output
	out  []string
	over bool // there will be no more
}

// start runs the program until the end of the test.
func start(t *testing.T) *cluster {
	t.Helper()
	need(t)
	c := &cluster{t: t, addr: freeAddr(t), more: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-addr", c.addr}, w)
		_ = w.CloseWithError(err)
		done <- err
	}()
	var reader sync.WaitGroup
	reader.Go(func() { c.read(r) })
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		reader.Wait()
		if t.Failed() {
			t.Log(strings.Join(c.out, "\n"))
		}
	})
	c.find(`^Open http://`)
	return c
}

func (c *cluster) read(r io.Reader) {
	for lines, over := bufio.NewScanner(r), false; !over; {
		over = !lines.Scan()
		c.mu.Lock()
		c.out, c.over = append(c.out, lines.Text()), over
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
	}
}

// find waits for a line of the output and returns what its groups match.
func (c *cluster) find(pattern string) []string {
	c.t.Helper()
	re, deadline := regexp.MustCompile(pattern), time.After(time.Minute)
	for {
		c.mu.Lock()
		more, out, over := c.more, c.out, c.over
		c.mu.Unlock()
		for _, line := range out {
			if m := re.FindStringSubmatch(line); m != nil {
				return m[1:]
			}
		}
		if !over {
			select {
			case <-more:
				continue
			case <-deadline:
			}
		}
		require.Fail(c.t, "not in the output", "%s\n%s", pattern, strings.Join(out, "\n"))
	}
}

// kill ends a node without a word, by the pid that the program has printed.
func (c *cluster) kill(node string) {
	c.t.Helper()
	pid, err := strconv.Atoi(c.find(node + ` +is pid (\d+)`)[0])
	require.NoError(c.t, err)
	p, err := os.FindProcess(pid)
	require.NoError(c.t, err)
	require.NoError(c.t, p.Kill())
}
