package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chaos is a chat under load while faults strike: writers that retry by nonce,
// readers that resume, on every node.
type chaos struct {
	t       testing.TB
	nodes   []*node
	addrs   []string
	rooms   []string
	writers []*writer
	readers []*reader
	http    *http.Client

	lastAck atomic.Int64 // Unix nanoseconds
	acked   atomic.Int64 // how many
	abandon atomic.Bool  // see writer
	lossy   atomic.Bool
	halt    context.CancelFunc
	writing sync.WaitGroup
	leave   context.CancelFunc
	reading sync.WaitGroup
}

const (
	roomCount   = 3
	writerCount = 6
)

// begin starts so many nodes over the store, and the load.
func begin(t testing.TB, store string, nodes int) *chaos {
	return beginWith(t, slices.Repeat([]string{store}, nodes))
}

// beginWith starts a node over each of the stores' URLs, and the load.
func beginWith(t testing.TB, stores []string) *chaos {
	c := &chaos{t: t, http: &http.Client{Timeout: 3 * time.Second}}
	nodes := len(stores)
	for _, store := range stores {
		n := startNode(t, store)
		c.nodes, c.addrs = append(c.nodes, n), append(c.addrs, n.addr)
	}
	for i := range roomCount {
		room := fmt.Sprintf("room-%d", i)
		c.rooms = append(c.rooms, room)
		c.create(room)
	}
	writing, halt := context.WithCancel(context.Background())
	reading, leave := context.WithCancel(context.Background())
	c.halt, c.leave = halt, leave
	for i, room := range c.rooms {
		for j := range nodes {
			// Each begins at another node and goes round.
			r := &reader{t: t, addrs: append(c.addrs[j:j:j], rotate(c.addrs, j)...), user: fmt.Sprintf("reader-%d-%d", i, j), room: room, lossy: &c.lossy}
			c.readers = append(c.readers, r)
			c.reading.Add(1)
			go func() {
				defer c.reading.Done()
				r.run(reading)
			}()
		}
	}
	for i := range writerCount {
		w := &writer{t: t, addrs: c.addrs, user: fmt.Sprintf("writer-%d", i), rooms: c.rooms, http: c.http, abandon: &c.abandon, lossy: &c.lossy}
		w.last = func(at time.Time) {
			c.acked.Add(1)
			c.lastAck.Store(at.UnixNano())
		}
		c.writers = append(c.writers, w)
		c.writing.Add(1)
		go func() {
			defer c.writing.Done()
			w.run(writing)
		}()
	}
	t.Cleanup(func() { halt(); leave(); c.writing.Wait(); c.reading.Wait(); c.http.CloseIdleConnections() })
	return c
}

func rotate(list []string, n int) []string {
	return append(append([]string(nil), list[n:]...), list[:n]...)
}

func (c *chaos) create(room string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		req, _ := http.NewRequest(http.MethodPost, "http://"+c.addrs[0]+"/chat/rooms", strings.NewReader(`{"id":"`+room+`"}`))
		req.Header.Set("Authorization", "Bearer host")
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.http.Do(req)
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusConflict
	}, 20*time.Second, 50*time.Millisecond, "the room is made")
}

// flows returns once messages are acknowledged, and how long that took.
func (c *chaos) flows() time.Duration {
	c.t.Helper()
	began := time.Now()
	require.Eventually(c.t, func() bool { return c.lastAck.Load() > began.UnixNano() }, 30*time.Second, 5*time.Millisecond, "messages are acknowledged again")
	return time.Unix(0, c.lastAck.Load()).Sub(began)
}

// ready reports whether a node says that it takes clients.
func (c *chaos) ready(node int) bool {
	resp, err := c.http.Get("http://" + c.addrs[node] + "/chat/readyz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// forgetAcks ends the writing and forgets what was acknowledged: the store has
// lost it, and that has been said.
func (c *chaos) forgetAcks() {
	c.halt()
	c.writing.Wait()
	for _, w := range c.writers {
		w.acks = nil
	}
}

// count is how many messages have been acknowledged.
func (c *chaos) count() (n int) {
	for _, w := range c.writers {
		n += len(w.acks)
	}
	return n
}

// settle ends the writing and waits until every reader has everything; the
// log must then be the same from every node and hold every acknowledged
// message exactly once.
func (c *chaos) settle() {
	t := c.t
	c.halt()
	c.writing.Wait()
	began := time.Now()
	logs := make(map[string][]frame)
	for _, room := range c.rooms {
		logs[room] = c.log(c.addrs[0], room)
		for i, m := range logs[room] {
			require.EqualValues(t, i+1, m.Seq, "%s: seq is dense from 1", room)
		}
		for _, addr := range c.addrs[1:] {
			require.Equal(t, logs[room], c.log(addr, room), "%s: the same order everywhere", room)
		}
	}
	for _, w := range c.writers {
		for _, a := range w.acks {
			log := logs[a.Room]
			require.LessOrEqual(t, a.Seq, int64(len(log)), "%s: acknowledged and lost", a.Nonce)
			require.Equal(t, a.ID, log[a.Seq-1].ID, "%s: acknowledged and lost", a.Nonce)
			require.Equal(t, a.Nonce, log[a.Seq-1].Nonce)
		}
	}
	for room, log := range logs {
		seen := make(map[string]int64)
		for _, m := range log {
			require.Zero(t, seen[m.Nonce], "%s: %s is there twice", room, m.Nonce)
			seen[m.Nonce] = m.Seq
		}
	}
	for _, r := range c.readers {
		var wrong string
		for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if wrong = r.differs(logs[r.room]); wrong == "" || time.Now().After(end) {
				break
			}
		}
		require.Empty(t, wrong, "%s has what is in %s", r.user, r.room)
	}
	caughtUp := time.Since(began)
	c.leave()
	c.reading.Wait()
	t.Logf("%d acknowledged, all there once; every reader had everything %v after the last", c.count(), caughtUp.Round(time.Millisecond))
}

// log reads the whole of a room's log from a node.
func (c *chaos) log(addr, room string) (list []frame) {
	c.t.Helper()
	for after := int64(0); ; {
		var page struct {
			Messages []frame `json:"messages"`
			More     bool    `json:"more"`
		}
		require.Eventually(c.t, func() bool {
			req, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/chat/rooms/%s/messages?limit=200&after=%d", addr, room, after), nil)
			req.Header.Set("Authorization", "Bearer host")
			resp, err := c.http.Do(req)
			if err != nil {
				return false
			}
			defer func() { _ = resp.Body.Close() }()
			page.Messages = nil
			return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(&page) == nil
		}, 20*time.Second, 50*time.Millisecond, "history of %s from %s", room, addr)
		list = append(list, page.Messages...)
		if !page.More || len(page.Messages) == 0 {
			return list
		}
		after = page.Messages[len(page.Messages)-1].Seq
	}
}
