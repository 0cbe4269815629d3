package main

import (
	"time"

	"github.com/gorilla/websocket"

	"github.com/gabblehq/chat/examples/scale/peers/job"
	"github.com/gabblehq/chat/internal/wire"
)

// gorillaOut is something to be written: to many connections if it is prepared.
type gorillaOut struct {
	payload  []byte
	prepared *websocket.PreparedMessage
}

// gorillaClient is one connection.
type gorillaClient struct {
	server *gorilla
	conn   *websocket.Conn
	user   wire.User
	send   chan gorillaOut
	rooms  []*gorillaHub // of the goroutine that reads
}

func (c *gorillaClient) readPump() {
	defer c.leave()
	c.conn.SetReadLimit(job.MaxCommand)
	_ = c.conn.SetReadDeadline(time.Now().Add(gorillaPong))
	c.conn.SetPongHandler(func(string) error { return c.conn.SetReadDeadline(time.Now().Add(gorillaPong)) })
	for {
		_, payload, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		cmd := new(wire.Command)
		if err := cmd.Decode(payload); err != nil {
			return
		}
		h := c.server.hub(cmd.Room)
		if cmd.Type == wire.TypeJoin {
			c.rooms = append(c.rooms, h)
		}
		select {
		case h.orders <- gorillaOrder{c, cmd}:
		case <-h.done:
			return
		}
	}
}

func (c *gorillaClient) leave() {
	for _, h := range c.rooms {
		select {
		case h.orders <- gorillaOrder{client: c}:
		case <-h.done:
		}
	}
	_ = c.conn.Close()
	c.server.mu.Lock()
	delete(c.server.clients, c)
	c.server.mu.Unlock()
}

// writePump ends with the first write that fails, at the latest that of the
// next ping.
func (c *gorillaClient) writePump() {
	ping := time.NewTicker(gorillaPing)
	defer ping.Stop()
	defer func() { _ = c.conn.Close() }()
	for {
		var err error
		select {
		case out := <-c.send:
			_ = c.conn.SetWriteDeadline(time.Now().Add(gorillaWrite))
			err = c.write(out)
		case <-ping.C:
			_ = c.conn.SetWriteDeadline(time.Now().Add(gorillaWrite))
			err = c.conn.WriteMessage(websocket.PingMessage, nil)
		case <-c.server.done:
			return
		}
		if err != nil {
			return
		}
	}
}

// write writes everything that waits as one message, a line for each, if there
// is more than one.
func (c *gorillaClient) write(out gorillaOut) error {
	n := len(c.send)
	if n == 0 && out.prepared != nil {
		return c.conn.WritePreparedMessage(out.prepared)
	}
	if n == 0 {
		return c.conn.WriteMessage(websocket.TextMessage, out.payload)
	}
	w, err := c.conn.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	_, _ = w.Write(out.payload) // an error of it comes back from Close
	for range n {
		_, _ = w.Write([]byte{'\n'})
		_, _ = w.Write((<-c.send).payload)
	}
	return w.Close()
}
