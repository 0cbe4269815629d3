package main

import (
	"net"
	"net/http"
	"os"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"github.com/gabblehq/chat/examples/scale/peers/job"
)

// nbioChat is nbio with its own HTTP engine and non-blocking connections: its
// pollers read, its pool of goroutines handles messages, and whoever sends
// writes to the socket right away.
type nbioChat struct {
	door     *job.Door
	rooms    *job.Rooms
	upgrader *websocket.Upgrader
}

func nbioServer(addr string, d *job.Door) (*peer, error) {
	logging.Output = os.Stderr
	logging.SetLevel(logging.LevelError)
	s := &nbioChat{door: d, rooms: job.NewRooms(job.ToEach), upgrader: websocket.NewUpgrader()}
	s.upgrader.Subprotocols = []string{job.Protocol}
	s.upgrader.MessageLengthLimit = job.MaxCommand
	s.upgrader.KeepaliveTime = 0 // members of a chat may read for long and say nothing
	s.upgrader.OnMessage(func(c *websocket.Conn, _ websocket.MessageType, payload []byte) {
		if session, ok := c.SessionWithLock().(*job.Session); ok {
			session.Handle(payload)
		}
	})
	s.upgrader.OnClose(func(c *websocket.Conn, _ error) {
		if session, ok := c.SessionWithLock().(*job.Session); ok {
			session.Leave()
		}
	})
	mux := http.NewServeMux()
	mux.Handle(job.Path, s)
	at := ""
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", Addrs: []string{addr}, Handler: mux,
		MaxLoad: 1_000_000, ReleaseWebsocketPayload: true,
		Listen: func(network, addr string) (net.Listener, error) {
			ln, err := net.Listen(network, addr)
			if err == nil {
				at = ln.Addr().String()
			}
			return ln, err
		},
	})
	s.upgrader.Engine = engine
	if err := engine.Start(); err != nil {
		return nil, err
	}
	return &peer{at, func() error { engine.Stop(); return nil }}, nil
}

func (s *nbioChat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u, ok := s.door.Admit(w, r)
	if !ok {
		return
	}
	conn, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	// The engine handles what this connection sends when this has returned.
	conn.SetSession(s.rooms.Enter(&nbioConn{conn}, u))
}

// nbioConn is one connection.
type nbioConn struct{ conn *websocket.Conn }

// Send implements job.Conn.
func (c *nbioConn) Send(payload []byte) {
	_ = c.conn.WriteMessage(websocket.TextMessage, payload) // whoever has gone is told by OnClose
}
