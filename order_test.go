package chat_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/storage/memory"
)

// host is a server on a real socket.
type host struct {
	*chat.Server
	t    testing.TB
	addr string
}

// entrances are the ways into a server: net/http with event loops, the raw one,
// and net/http with a goroutine per connection.
var entrances = []string{"epoll", "raw", "goroutine"}

// eachEntrance runs a test at every entrance.
func eachEntrance(t *testing.T, test func(t *testing.T, entrance string)) {
	for _, entrance := range entrances {
		t.Run(entrance, func(t *testing.T) { test(t, entrance) })
	}
}

// listen starts a server behind the entrance, closed when the test ends.
func listen(t testing.TB, entrance string, o chat.Options) *host {
	t.Helper()
	if o.Store == nil {
		o.Store = memory.New()
	}
	o.Authenticate = chattest.TokenIsUser
	if entrance == "goroutine" {
		o.Engine = entrance
	}
	srv, err := chat.New(&o)
	require.NoError(t, err)
	if entrance == "raw" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = srv.Serve(ln)
		}()
		t.Cleanup(func() {
			_ = srv.Close()
			<-served
		})
		return &host{srv, t, ln.Addr().String()}
	}
	hs := httptest.NewServer(http.StripPrefix("/chat", srv))
	t.Cleanup(func() {
		_ = srv.Close()
		hs.Close()
	})
	return &host{srv, t, hs.Listener.Addr().String()}
}

func (s *host) url() string { return "ws://" + s.addr + "/chat/ws" }

func (s *host) conn() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	require.NoError(s.t, err)
	return c
}

func (s *host) dial(user string) *chattest.Client {
	s.t.Helper()
	return chattest.NewClient(s.t, s.conn(), s.url(), user)
}

// line is a bare client: unlike a chattest.Client it reads only when asked to
// and never fails a test by itself.
type line struct {
	net.Conn
	r *bufio.Reader
}

// upgrade makes a WebSocket of conn, in the user's name.
func (s *host) upgrade(conn net.Conn, user string) (*line, error) {
	u, _ := url.Parse(s.url())
	h := ws.HandshakeHeaderHTTP{"Authorization": {"Bearer " + user}}
	br, _, err := ws.Dialer{Protocols: []string{wire.Subprotocol}, Header: h}.Upgrade(conn, u)
	if br == nil {
		br = bufio.NewReader(conn)
	}
	return &line{conn, br}, err
}

func (l *line) say(format string, args ...any) error {
	return ws.WriteFrame(l, ws.MaskFrame(ws.NewTextFrame(fmt.Appendf(nil, format, args...))))
}

// hear returns the next text frame.
func (l *line) hear() ([]byte, error) {
	for {
		f, err := ws.ReadFrame(l.r)
		switch {
		case err != nil:
			return nil, err
		case f.Header.OpCode == ws.OpText:
			return f.Payload, nil
		case f.Header.OpCode == ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			return nil, closedBy(code)
		}
	}
}

type closedBy ws.StatusCode

func (c closedBy) Error() string { return fmt.Sprint("closed with ", int(c)) }

func (l *line) event() (ev wire.Event, err error) {
	payload, err := l.hear()
	if err == nil {
		err = ev.Decode(payload)
	}
	return ev, err
}

// eachRoom returns the room ids r0, r1, ….
func eachRoom(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint("r", i))
	}
	return ids
}

func TestAllSubscribersSeeOneOrder(t *testing.T) {
	const writers, each, readers = 6, 40, 4
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{})
		rooms := eachRoom(3)
		type told struct{ room, id string }
		var acks [writers]map[told]int64
		var seen [readers]map[string][]string // ids by room
		var all, reading sync.WaitGroup
		reading.Add(readers)
		for i := range readers {
			c := h.dial(fmt.Sprint("reader-", i))
			all.Go(func() {
				seen[i] = make(map[string][]string)
				for _, r := range rooms {
					c.Join(r)
				}
				reading.Done()
				for range writers * each {
					ev := c.Expect("message")
					seen[i][ev.Room] = append(seen[i][ev.Room], ev.ID)
					require.EqualValues(t, len(seen[i][ev.Room]), ev.Seq, "dense, from 1")
				}
			})
		}
		for i := range writers {
			c := h.dial(fmt.Sprint("writer-", i))
			all.Go(func() {
				reading.Wait()
				acks[i] = make(map[told]int64)
				for k := range each {
					ack := c.Send(rooms[(i+k)%len(rooms)], "x")
					acks[i][told{ack.Room, ack.ID}] = ack.Seq
				}
			})
		}
		all.Wait()
		for _, r := range rooms {
			page, err := h.Room(r).History(t.Context(), chat.Query{Limit: 1 << 20})
			require.NoError(t, err)
			require.Len(t, page.Messages, writers*each/len(rooms))
			for i, m := range page.Messages {
				for k := range readers {
					require.Equal(t, m.ID, seen[k][r][i])
				}
				var w int
				_, err := fmt.Sscanf(m.User, "writer-%d", &w)
				require.NoError(t, err)
				require.Equal(t, m.Seq, acks[w][told{r, m.ID}], "what was acknowledged is what is stored")
			}
		}
	})
}

// pipeline sends n commands without waiting, and returns the answers by ref.
func pipeline(t *testing.T, c *chattest.Client, n int, command func(i int) string) map[string]chattest.Event {
	t.Helper()
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range n {
			c.Do(json.RawMessage(command(i)))
		}
	})
	defer sending.Wait()
	answers := make(map[string]chattest.Event)
	for len(answers) < n {
		ev, ok := c.Next()
		require.True(t, ok)
		if ev.Ref != "" {
			require.NotContains(t, answers, ev.Ref, "answered twice")
			answers[ev.Ref] = ev
		}
	}
	return answers
}

func TestPipelinedCommandsAreAllAnsweredAndKeepTheirOrder(t *testing.T) {
	for _, outstanding := range []int{0, 1, 2} {
		t.Run(fmt.Sprint("outstanding ", outstanding), func(t *testing.T) {
			eachEntrance(t, func(t *testing.T, entrance string) {
				h := listen(t, entrance, chat.Options{Limits: chat.Limits{Outstanding: outstanding}})
				c := h.dial("alice")
				c.Join("r0")
				c.Join("r1")
				const n = 200 // of which 64 may be under way
				answers := pipeline(t, c, n, func(i int) string {
					if i%10 == 9 {
						return fmt.Sprintf(`{"type":"history","ref":"%d","room":"r%d"}`, i, i%2)
					}
					return fmt.Sprintf(`{"type":"message","ref":"%d","room":"r%d","content":"%d"}`, i, i%2, i)
				})
				for r := range 2 {
					page, err := h.Room(fmt.Sprint("r", r)).History(t.Context(), chat.Query{Limit: n})
					require.NoError(t, err)
					last := -1
					for _, m := range page.Messages {
						i, err := strconv.Atoi(m.Content)
						require.NoError(t, err)
						require.Greater(t, i, last, "in the order of sending")
						require.Equal(t, m.Seq, answers[m.Content].Seq)
						last = i
					}
				}
			})
		})
	}
}

// Rooms are joined while others write and come and go in them.
func TestJoinedComesBeforeEverythingElseOfItsRoom(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		h := listen(t, entrance, chat.Options{Limits: chat.Limits{RingFrames: 4}})
		rooms := eachRoom(4)
		stop := make(chan struct{})
		var noise sync.WaitGroup
		for i, r := range rooms {
			c := h.dial(fmt.Sprint("noise-", i))
			noise.Go(func() {
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					default:
					}
					c.Call(map[string]any{"type": "join", "room": r, "history": 0})
					c.Send(r, "x")
					c.Do(map[string]any{"type": "typing", "room": r, "active": k%2 == 0})
					c.Drain()
				}
			})
		}
		defer noise.Wait()
		defer close(stop)
		for i := range 12 {
			c := h.dial("alice")
			var joins []map[string]any
			for _, r := range rooms {
				joins = append(joins, map[string]any{"room": r, "history": i % 3})
			}
			c.Do(map[string]any{"type": "join", "rooms": joins})
			joined, after := make(map[string]int64), 0
			for len(joined) < len(rooms) || after < 8 {
				ev, ok := c.Next()
				require.True(t, ok)
				if ev.Type == "joined" {
					joined[ev.Room] = ev.Head
					continue
				}
				require.Contains(t, joined, ev.Room, "%s", ev.Raw)
				if ev.Type == "message" {
					require.Equal(t, joined[ev.Room]+1, ev.Rev, "nothing is skipped behind joined")
					joined[ev.Room] = ev.Rev
					after++
				}
			}
			c.Cut()
		}
	})
}
