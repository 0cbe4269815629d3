package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gabblehq/chat/examples/scale/peers/job"
	"github.com/gabblehq/chat/internal/wire"
)

// The times of gorilla's chat example.
const (
	gorillaWrite = 10 * time.Second
	gorillaPong  = time.Minute
	gorillaPing  = gorillaPong * 9 / 10
)

// gorilla is the shape of gorilla's chat example: a goroutine that reads and one
// that writes for each connection, a channel between, and a hub that owns the
// members, one for each room. The hub closes a client whose channel is full.
type gorilla struct {
	door     *job.Door
	upgrader websocket.Upgrader
	done     chan struct{}
	running  sync.WaitGroup
	mu       sync.Mutex
	hubs     map[string]*gorillaHub
	clients  map[*gorillaClient]struct{}
}

func gorillaServer(addr string, d *job.Door) (*peer, error) {
	g := &gorilla{
		door: d, done: make(chan struct{}), hubs: make(map[string]*gorillaHub), clients: make(map[*gorillaClient]struct{}),
		upgrader: websocket.Upgrader{
			ReadBufferSize: 1024, WriteBufferSize: 4096, Subprotocols: []string{job.Protocol},
			WriteBufferPool: &sync.Pool{}, // so that only those that write have a buffer
		},
	}
	return overHTTP(addr, g, g.end)
}

func (g *gorilla) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u, ok := g.door.Admit(w, r)
	if !ok {
		return
	}
	conn, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	c := &gorillaClient{server: g, conn: conn, user: u, send: make(chan gorillaOut, job.Queue)}
	c.send <- gorillaOut{payload: job.Welcome(u)}
	g.mu.Lock()
	g.clients[c] = struct{}{}
	g.mu.Unlock()
	// Not here: the handler would hold on to the request.
	g.running.Go(c.writePump)
	g.running.Go(c.readPump)
}

func (g *gorilla) hub(room string) *gorillaHub {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.hubs[room]
	if h == nil {
		h = &gorillaHub{log: job.NewLog(room), members: make(map[*gorillaClient]struct{}), orders: make(chan gorillaOrder), done: g.done}
		g.hubs[room] = h
		g.running.Go(h.run)
	}
	return h
}

func (g *gorilla) end() error {
	g.mu.Lock()
	for c := range g.clients {
		_ = c.conn.Close()
	}
	g.mu.Unlock()
	close(g.done)
	g.running.Wait()
	return nil
}

// gorillaOrder is what a hub is asked for; cmd nil: the client has gone.
type gorillaOrder struct {
	client *gorillaClient
	cmd    *wire.Command
}

// gorillaHub is one room.
type gorillaHub struct {
	log     *job.Log
	members map[*gorillaClient]struct{}
	orders  chan gorillaOrder
	done    chan struct{}
}

func (h *gorillaHub) run() {
	for {
		select {
		case o := <-h.orders:
			h.carry(o)
		case <-h.done:
			return
		}
	}
}

func (h *gorillaHub) carry(o gorillaOrder) {
	switch {
	case o.cmd == nil:
		delete(h.members, o.client)
	case o.cmd.Type == wire.TypeJoin:
		h.members[o.client] = struct{}{}
		h.post(o.client, gorillaOut{payload: h.log.Joined(o.cmd.Ref)})
	case o.cmd.Type == wire.TypeMessage:
		message, ack := h.log.Append(o.client.user, o.cmd)
		h.post(o.client, gorillaOut{payload: ack})
		out := gorillaOut{payload: message}
		out.prepared, _ = websocket.NewPreparedMessage(websocket.TextMessage, message)
		for c := range h.members {
			h.post(c, out)
		}
	}
}

// post gives a client something to write, and gives the client up if it has too
// much of that already.
func (h *gorillaHub) post(c *gorillaClient, out gorillaOut) {
	select {
	case c.send <- out:
	default:
		delete(h.members, c)
		_ = c.conn.Close()
	}
}
