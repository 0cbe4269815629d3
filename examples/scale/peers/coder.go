package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/gabblehq/chat/examples/scale/peers/job"
)

// coderWrite is how long the chat example of coder gives a write.
const coderWrite = 5 * time.Second

// coder is the shape of coder's chat example: a subscriber is a channel of
// messages and a way to close a connection that does not keep up with them. The
// handler's goroutine writes what comes out of the channel; another one reads.
// The example's channel holds 16 messages; here as many as elsewhere.
type coder struct {
	door    *job.Door
	rooms   *job.Rooms
	ctx     context.Context
	running sync.WaitGroup
}

func coderServer(addr string, d *job.Door) (*peer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &coder{door: d, rooms: job.NewRooms(job.ToEach), ctx: ctx}
	return overHTTP(addr, s, func() error {
		cancel()
		s.running.Wait()
		return nil
	})
}

func (s *coder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u, ok := s.door.Admit(w, r)
	if !ok {
		return
	}
	s.running.Add(1)
	defer s.running.Done()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{job.Protocol}})
	if err != nil {
		return // it has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(job.MaxCommand)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	sub := &coderSubscriber{messages: make(chan []byte, job.Queue), tooSlow: cancel}
	session := s.rooms.Enter(sub, u)
	s.running.Go(func() {
		defer cancel()
		defer session.Leave()
		for {
			_, payload, err := conn.Read(ctx)
			if err != nil {
				return
			}
			session.Handle(payload)
		}
	})
	for {
		select {
		case m := <-sub.messages:
			if coderWriteTimeout(ctx, conn, m) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func coderWriteTimeout(ctx context.Context, conn *websocket.Conn, m []byte) error {
	ctx, cancel := context.WithTimeout(ctx, coderWrite)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, m)
}

// coderSubscriber is one connection.
type coderSubscriber struct {
	messages chan []byte
	tooSlow  func()
}

// Send implements job.Conn.
func (s *coderSubscriber) Send(m []byte) {
	select {
	case s.messages <- m:
	default:
		s.tooSlow()
	}
}
