package main

import (
	"net/http"
	"sync"

	"github.com/olahol/melody"

	"github.com/gabblehq/chat/examples/scale/peers/job"
	"github.com/gabblehq/chat/internal/wire"
)

// melodyChat is melody with handlers on sessions, which carry what belongs to
// them in their keys. A message goes to the sessions of its room, as it does in
// BroadcastMultiple: a BroadcastFilter would ask every session of the server.
// Melody drops a message for a session whose buffer is full.
type melodyChat struct {
	door    *job.Door
	rooms   *job.Rooms
	melody  *melody.Melody
	running sync.WaitGroup
}

// The keys of a session.
const (
	melodyUser    = "user"
	melodySession = "session"
)

func melodyServer(addr string, d *job.Door) (*peer, error) {
	s := &melodyChat{door: d, rooms: job.NewRooms(job.ToEach), melody: melody.New()}
	m := s.melody
	m.Config.MaxMessageSize = job.MaxCommand
	m.Config.MessageBufferSize = job.Queue
	m.Upgrader.Subprotocols = []string{job.Protocol}
	m.HandleConnect(func(session *melody.Session) {
		u, _ := session.Get(melodyUser)
		session.Set(melodySession, s.rooms.Enter(&melodyConn{session}, u.(wire.User)))
	})
	m.HandleMessage(func(session *melody.Session, payload []byte) {
		if v, ok := session.Get(melodySession); ok {
			v.(*job.Session).Handle(payload)
		}
	})
	m.HandleDisconnect(func(session *melody.Session) {
		if v, ok := session.Get(melodySession); ok {
			v.(*job.Session).Leave()
		}
	})
	return overHTTP(addr, s, func() error {
		err := m.Close()
		s.running.Wait()
		return err
	})
}

func (s *melodyChat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u, ok := s.door.Admit(w, r)
	if !ok {
		return
	}
	s.running.Add(1)
	defer s.running.Done()
	_ = s.melody.HandleRequestWithKeys(w, r, map[string]any{melodyUser: u}) // it has answered
}

// melodyConn is one connection.
type melodyConn struct{ session *melody.Session }

// Send implements job.Conn.
func (c *melodyConn) Send(payload []byte) {
	_ = c.session.Write(payload) // whoever has gone is told by HandleDisconnect
}
