package main

import (
	"net/http"
	"sync"

	"github.com/lxzan/gws"

	"github.com/gabblehq/chat/examples/scale/peers/job"
)

// gwsChat is gws as its documentation shows it: an event handler, a goroutine
// for each connection in ReadLoop, and a Broadcaster for each message to a room,
// which frames it once and queues it with every connection.
type gwsChat struct {
	gws.BuiltinEventHandler
	door     *job.Door
	rooms    *job.Rooms
	upgrader *gws.Upgrader
	running  sync.WaitGroup
	mu       sync.Mutex
	open     map[*gwsConn]struct{}
}

// gwsSession is the key of a connection's session.
const gwsSession = "session"

func gwsServer(addr string, d *job.Door) (*peer, error) {
	s := &gwsChat{door: d, rooms: job.NewRooms(gwsBroadcast), open: make(map[*gwsConn]struct{})}
	s.upgrader = gws.NewUpgrader(s, &gws.ServerOption{SubProtocols: []string{job.Protocol}, ReadMaxPayloadSize: job.MaxCommand})
	return overHTTP(addr, s, s.end)
}

func (s *gwsChat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u, ok := s.door.Admit(w, r)
	if !ok {
		return
	}
	socket, err := s.upgrader.Upgrade(w, r)
	if err != nil {
		return
	}
	c := &gwsConn{socket}
	s.mu.Lock()
	s.open[c] = struct{}{}
	s.mu.Unlock()
	socket.Session().Store(gwsSession, s.rooms.Enter(c, u))
	// Not here: the handler would hold on to the request.
	s.running.Go(func() {
		socket.ReadLoop()
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	})
}

// OnMessage implements gws.Event.
func (s *gwsChat) OnMessage(socket *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	if session, ok := socket.Session().Load(gwsSession); ok {
		session.(*job.Session).Handle(m.Bytes())
	}
}

// OnClose implements gws.Event.
func (s *gwsChat) OnClose(socket *gws.Conn, _ error) {
	if session, ok := socket.Session().Load(gwsSession); ok {
		session.(*job.Session).Leave()
	}
}

func (s *gwsChat) end() error {
	s.mu.Lock()
	for c := range s.open {
		_ = c.socket.NetConn().Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// gwsConn is one connection.
type gwsConn struct{ socket *gws.Conn }

// Send implements job.Conn. In the connection's queue, so that it keeps its
// place among what is broadcast.
func (c *gwsConn) Send(payload []byte) { c.socket.WriteAsync(gws.OpcodeText, payload, nil) }

func gwsBroadcast(members map[job.Conn]struct{}, payload []byte) {
	b := gws.NewBroadcaster(gws.OpcodeText, payload)
	defer func() { _ = b.Close() }()
	for c := range members {
		_ = b.Broadcast(c.(*gwsConn).socket) // whoever has gone is told by OnClose
	}
}
