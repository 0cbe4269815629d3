package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// distant is a way to a server that is far off, or not there for a while.
type distant struct {
	ln    net.Listener
	delay time.Duration // each way

	network, to string

	mu     sync.Mutex
	open   chan struct{} // closed while bytes pass
	absent time.Time     // until then nobody is there
	conns  []net.Conn
	all    sync.WaitGroup
}

// far puts a way to the server of a URL in between, and returns the URL with it.
func far(t *testing.T, rawURL string, delay time.Duration) (*distant, string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := &distant{ln: ln, network: "tcp", to: u.Host, delay: delay, open: make(chan struct{})}
	close(d.open)
	if q := u.Query(); q.Get("host") != "" { // PostgreSQL's, behind a socket
		d.network, d.to = "unix", q.Get("host")+"/.s.PGSQL."+cmp.Or(u.Port(), q.Get("port"), "5432")
		q.Del("host")
		q.Del("port")
		u.RawQuery = q.Encode()
	}
	u.Host = ln.Addr().String()
	d.all.Go(d.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		d.mu.Lock()
		for _, c := range d.conns {
			_ = c.Close()
		}
		d.mu.Unlock()
		d.all.Wait()
	})
	return d, u.String()
}

func (d *distant) accept() {
	for {
		near, err := d.ln.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		absent := time.Now().Before(d.absent)
		d.mu.Unlock()
		there, err := net.Dial(d.network, d.to)
		if err != nil || absent {
			_ = near.Close()
			if err == nil {
				_ = there.Close()
			}
			continue
		}
		d.mu.Lock()
		d.conns = append(d.conns, near, there)
		d.mu.Unlock()
		d.all.Go(func() { d.carry(near, there) })
		d.all.Go(func() { d.carry(there, near) })
	}
}

// carry takes bytes from one to the other, later.
func (d *distant) carry(from, to net.Conn) {
	type part struct {
		due   time.Time
		bytes []byte
	}
	parts := make(chan part, 1<<12)
	d.all.Go(func() {
		defer close(parts)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				parts <- part{time.Now().Add(d.delay), buf[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range parts {
		time.Sleep(time.Until(p.due))
		d.mu.Lock()
		open := d.open
		d.mu.Unlock()
		<-open
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
	for range parts { // the reader must not wait for us
		continue
	}
}

// stop lets nothing pass until go on is called.
func (d *distant) stop() (goOn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := make(chan struct{})
	d.open = open
	return sync.OnceFunc(func() { close(open) })
}

// say sends a message over HTTP and returns the status.
func (p *program) say(who map[string]any, nonce string) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/chat/rooms/lobby/messages",
		strings.NewReader(fmt.Sprintf(`{"content":"x","nonce":%q}`, nonce)))
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer "+who["token"].(string))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	require.NoError(p.t, res.Body.Close())
	return res.StatusCode
}

// A database that is 110 ms away each way is served again after it has not been
// heard of for three seconds, as it was before.
func TestADistantStoreIsServedAgainAfterADip(t *testing.T) {
	for kind, open := range shared {
		t.Run(kind, func(t *testing.T) {
			d, store := far(t, open(t), 110*time.Millisecond)
			p := start(t, map[string]string{"GABBLE_STORE": store, "GABBLE_SECRET": testSecret})
			alice := p.signIn("alice")
			for i := range 5 {
				require.Less(t, p.say(alice, fmt.Sprint("before-", i)), 300)
			}
			require.NotContains(t, p.log(), "the store does not answer", "it is slow, not down")
			goOn := d.stop()
			defer goOn()
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
				require.Equal(t, http.StatusServiceUnavailable, p.say(alice, "during"))
				time.Sleep(50 * time.Millisecond) // as often as an eager client asks
			}
			goOn()
			require.Eventually(t, func() bool { return p.say(alice, "during") < 300 }, 30*time.Second, 50*time.Millisecond)
			for i := range 10 {
				require.Less(t, p.say(alice, fmt.Sprint("after-", i)), 300)
			}
		})
	}
}

// A database that starts later than the program is waited for, and that is said.
func TestAStoreThatStartsLaterIsWaitedFor(t *testing.T) {
	for kind, open := range shared {
		t.Run(kind, func(t *testing.T) {
			d, store := far(t, open(t), 0)
			d.mu.Lock()
			d.absent = time.Now().Add(2 * time.Second)
			d.mu.Unlock()
			p := start(t, map[string]string{"GABBLE_STORE": store, "GABBLE_SECRET": testSecret})
			require.Contains(t, p.log(), "waiting for the store")
			require.Less(t, p.say(p.signIn("alice"), "n"), 300)
		})
	}
}
