package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/examples/scale/peers/job"
	"github.com/gabblehq/chat/internal/leak"
)

// Some of the libraries start goroutines when the program does, for good, and
// centrifuge lets some of its own sleep on after a shutdown.
func TestMain(m *testing.M) {
	leak.Main(m, goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("github.com/centrifugal/centrifuge/internal/dissolve.(*Dissolver).runWorker"))
}

var key = bytes.Repeat([]byte("k"), 32)

// talk is how a client speaks to a server.
type talk interface {
	join(room string) string
	send(room, nonce string) string
	// hear says what a line means; begun: the client may send.
	hear(line []byte) (h heard, begun bool)
}

type heard struct {
	kind  string // joined, ack, message, or anything else
	nonce string
	rev   int64
}

// Two clients send a hundred messages each. Both are told of every one of their
// own that it has been taken, and both receive all of them in the same order,
// numbered without a hole.
func TestJob(t *testing.T) {
	for name, open := range libraries() {
		t.Run(name, func(t *testing.T) {
			door, err := job.NewDoor(key)
			require.NoError(t, err)
			p, err := open("127.0.0.1:0", door)
			require.NoError(t, err)
			defer func() { require.NoError(t, p.close()) }()

			var all [2][]heard
			var failed [2]error
			joined := new(sync.WaitGroup)
			joined.Add(2)
			var running sync.WaitGroup
			for i := range all {
				running.Go(func() {
					all[i], failed[i] = client(t.Context(), p.addr, fmt.Sprint("user-", i), name, joined)
				})
			}
			running.Wait()
			for i := range all {
				require.NoError(t, failed[i])
				require.Len(t, all[i], 2*each)
				for k, h := range all[i] {
					require.EqualValues(t, k+1, h.rev)
				}
			}
			require.Equal(t, all[0], all[1])
		})
	}
}

const each = 100

// client returns the messages that it has received, when it has them all.
func client(ctx context.Context, addr, user, lib string, joined *sync.WaitGroup) ([]heard, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	arrived := sync.OnceFunc(joined.Done)
	defer arrived()
	conn, err := dial(ctx, addr, user)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.CloseNow() }()
	var tk talk = &gabble{}
	if lib == "centrifuge" {
		tk = &centrifugal{}
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"id":1,"connect":{}}`)); err != nil {
			return nil, err
		}
	}
	write := func(s string) error { return conn.Write(ctx, websocket.MessageText, []byte(s)) }
	var got []heard
	sent, acked := 0, 0
	next := func() error {
		if sent == each {
			return nil
		}
		sent++
		return write(tk.send("lobby", fmt.Sprintf("%s/%d", user, sent)))
	}
	for len(got) < 2*each || acked < each {
		_, payload, err := conn.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("%d messages, %d acks: %w", len(got), acked, err)
		}
		for line := range bytes.SplitSeq(payload, []byte{'\n'}) {
			h, begun := tk.hear(line)
			switch {
			case begun:
				err = write(tk.join("lobby"))
			case h.kind == "joined":
				arrived()
				joined.Wait() // or the first would be alone with its first messages
				err = next()
			case h.kind == "ack":
				acked++
				err = next()
			case h.kind == "message":
				got = append(got, h)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return got, nil
}

func dial(ctx context.Context, addr, user string) (*websocket.Conn, error) {
	token, err := auth.Sign(key, chat.User{ID: user, Name: user}, time.Hour)
	if err != nil {
		return nil, err
	}
	conn, res, err := websocket.Dial(ctx, "ws://"+addr+job.Path, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		HTTPHeader:   http.Header{"Authorization": {"Bearer " + token}},
		Subprotocols: []string{job.Protocol},
	})
	if err == nil && res.Body != nil {
		err = res.Body.Close()
	}
	return conn, err
}

// gabble is the documented protocol.
type gabble struct{}

func (gabble) join(room string) string {
	return fmt.Sprintf(`{"type":"join","ref":"j","room":%q,"history":0}`, room)
}

func (gabble) send(room, nonce string) string {
	return fmt.Sprintf(`{"type":"message","ref":%q,"room":%q,"nonce":%q,"content":"hello"}`, nonce, room, nonce)
}

func (gabble) hear(line []byte) (h heard, begun bool) {
	var f struct {
		Type, Nonce string
		Rev         int64
	}
	if json.Unmarshal(line, &f) != nil {
		return h, false
	}
	return heard{f.Type, f.Nonce, f.Rev}, f.Type == "welcome"
}

// centrifugal is centrifuge's.
type centrifugal struct{ id int }

func (c *centrifugal) join(room string) string {
	return fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, room)
}

func (c *centrifugal) send(room, nonce string) string {
	c.id++
	return fmt.Sprintf(`{"id":%d,"publish":{"channel":%q,"data":{"content":"hello","nonce":%q}}}`, c.id+2, room, nonce)
}

func (c *centrifugal) hear(line []byte) (h heard, begun bool) {
	var f struct {
		Connect, Subscribe, Publish *struct{}
		Push                        struct {
			Pub struct {
				Offset int64
				Data   struct{ Nonce string }
			}
		}
	}
	switch err := json.Unmarshal(line, &f); {
	case err != nil:
	case f.Connect != nil:
		begun = true
	case f.Subscribe != nil:
		h.kind = "joined"
	case f.Publish != nil:
		h.kind = "ack"
	case f.Push.Pub.Offset != 0:
		h = heard{"message", f.Push.Pub.Data.Nonce, f.Push.Pub.Offset}
	}
	return h, begun
}

// Nobody gets in without a token.
func TestDoor(t *testing.T) {
	for name, open := range libraries() {
		t.Run(name, func(t *testing.T) {
			door, err := job.NewDoor(key)
			require.NoError(t, err)
			p, err := open("127.0.0.1:0", door)
			require.NoError(t, err)
			defer func() { require.NoError(t, p.close()) }()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.addr+job.Path, nil)
			require.NoError(t, err)
			req.Close = true
			res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusUnauthorized, res.StatusCode)
		})
	}
}

// The program says where it serves, and ends with its standard input.
func TestProgram(t *testing.T) {
	in, parent := io.Pipe()
	out, child := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run([]string{"-lib", "gorilla"}, base64.StdEncoding.EncodeToString(key), in, child)
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	var at struct{ Addr string }
	require.NoError(t, json.Unmarshal(line, &at))
	require.NotEmpty(t, at.Addr)
	require.NoError(t, parent.Close())
	require.NoError(t, <-ended)
	require.ErrorContains(t, run([]string{"-lib", "none"}, "", in, child), "-lib")
	require.ErrorContains(t, run([]string{"-lib", "gws"}, "c2hvcnQ=", in, child), "PEERS_KEY")
}
