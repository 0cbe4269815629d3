package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"
)

// client does what the page does.
type client struct {
	c      *cluster
	secret string
	node   string // that nginx has chosen
	conn   net.Conn

	epoch   string
	after   int64
	seen    []string
	said    int
	waiting []frame // not acknowledged
}

type frame struct {
	Type    string `json:"type"`
	Ref     string `json:"ref,omitempty"`
	Room    string `json:"room,omitempty"`
	Token   string `json:"token,omitempty"`
	Content string `json:"content,omitempty"`
	Nonce   string `json:"nonce,omitempty"`
	Epoch   string `json:"epoch,omitempty"`
	After   *int64 `json:"after,omitempty"`

	Session string `json:"session,omitempty"`
	Head    int64  `json:"head,omitempty"`
	Rev     int64  `json:"rev,omitempty"`
	Reset   bool   `json:"reset,omitempty"`
	Message string `json:"message,omitempty"`
}

func (c *cluster) dial(name string) *client {
	c.t.Helper()
	cl := &client{c: c, secret: "secret-of-" + name + "-1234567890"}
	c.t.Cleanup(func() { cl.close() })
	cl.connect()
	return cl
}

// connect goes through nginx and finds out by the log of the nodes where to.
func (cl *client) connect() {
	t := cl.c.t
	t.Helper()
	d := ws.Dialer{Protocols: []string{"gabble.v1.json"}}
	conn, _, _, err := d.Dial(t.Context(), "ws://"+cl.c.addr+"/chat/ws")
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	cl.conn = conn
	cl.write(frame{Type: "auth", Token: cl.secret})
	session := cl.next("welcome").Session
	cl.node = cl.c.find(`^(node \d+) .*session="?` + session + `\b`)[0]
}

func (cl *client) close() { _ = cl.conn.Close() }

func (cl *client) write(f frame) {
	cl.c.t.Helper()
	require.NoError(cl.c.t, cl.try(f))
}

func (cl *client) try(f frame) error {
	data, err := json.Marshal(f)
	if err == nil {
		err = wsutil.WriteClientText(cl.conn, data)
	}
	return err
}

func (cl *client) join() {
	cl.c.t.Helper()
	cl.write(frame{Type: "join", Ref: "join", Room: "lobby"})
	joined := cl.next("joined")
	cl.epoch, cl.after = joined.Epoch, joined.Head
}

// redial comes back to where it was, and sends again what may have been lost.
func (cl *client) redial() {
	cl.c.t.Helper()
	cl.close()
	cl.connect()
	cl.write(frame{Type: "join", Ref: "join", Room: "lobby", Epoch: cl.epoch, After: &cl.after})
	require.False(cl.c.t, cl.next("joined").Reset)
	for _, f := range cl.waiting {
		cl.write(f)
	}
}

// say sends a message, or leaves it to redial where the connection is gone.
func (cl *client) say(content string) {
	cl.c.t.Helper()
	cl.said++
	ref := fmt.Sprint(cl.said)
	f := frame{Type: "message", Ref: ref, Room: "lobby", Content: content, Nonce: ref}
	cl.waiting = append(cl.waiting, f)
	_ = cl.try(f)
}

// read handles one frame as the page does.
func (cl *client) read() (f frame, err error) {
	data, err := wsutil.ReadServerText(cl.conn)
	if err != nil {
		return f, err
	}
	require.NoError(cl.c.t, json.Unmarshal(data, &f))
	switch f.Type {
	case "message":
		cl.seen, cl.after = append(cl.seen, f.Content), f.Rev
	case "ack":
		cl.forget(f.Ref)
	case "error":
		require.Fail(cl.c.t, "an error", "%+v", f)
	}
	return f, nil
}

func (cl *client) forget(ref string) {
	for i, f := range cl.waiting {
		if f.Ref == ref {
			cl.waiting = append(cl.waiting[:i:i], cl.waiting[i+1:]...)
			return
		}
	}
}

// next reads on to the next frame of the type.
func (cl *client) next(typ string) frame {
	cl.c.t.Helper()
	for {
		f, err := cl.read()
		require.NoError(cl.c.t, err)
		if f.Type == typ {
			return f
		}
	}
}

// until reads on to the message.
func (cl *client) until(content string) {
	cl.c.t.Helper()
	for len(cl.seen) == 0 || cl.seen[len(cl.seen)-1] != content {
		_, err := cl.read()
		require.NoError(cl.c.t, err)
	}
}

// ends reads on to the end of the connection.
func (cl *client) ends() {
	cl.c.t.Helper()
	for {
		if _, err := cl.read(); err != nil {
			require.NotErrorIs(cl.c.t, err, os.ErrDeadlineExceeded)
			return
		}
	}
}
