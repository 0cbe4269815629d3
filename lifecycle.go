package chat

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// closesPerSecond is how fast Shutdown lets clients go, so that they do not
// all come back to another server at the same moment.
const closesPerSecond = 500

// Shutdown ends the server without losing anything: it refuses new
// connections, tells every client to come back, closes them spread over time,
// and returns when no goroutine and no file descriptor is left and every
// acknowledged message is in the store. It takes as long as letting 500
// clients a second go takes, at most Limits.Drain or until ctx ends, and
// returns ctx's error if clients had to be cut. Afterwards everything returns
// ErrServerClosed. The store stays open; close it then.
//
// Shutdown may be called more than once, and beside Close; each call returns
// when the server has ended.
func (s *Server) Shutdown(ctx context.Context) error {
	var err error
	s.once.Do(func() {
		defer close(s.closed)
		s.closing.Store(true)
		s.transport.CloseListeners()
		s.drain(ctx)
		err = errors.Join(s.transport.Shutdown(ctx), s.stop(ctx))
	})
	<-s.closed
	return err
}

// Close ends the server at once: connections are cut. What has been
// acknowledged is in the store all the same.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		defer close(s.closed)
		s.closing.Store(true)
		now, cancel := context.WithCancel(context.Background())
		cancel()
		err = errors.Join(s.transport.Close(), s.stop(now))
	})
	<-s.closed
	return err
}

// stop ends what is left when all connections are gone: commits under way,
// farewells, and calls of the host. When ctx ends they are told to give up, and
// what still does not return, because the host's code or store has come to a
// halt, is left behind.
func (s *Server) stop(ctx context.Context) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.inUse.close()
		s.pool.close()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.cancel()
		select {
		case <-done:
		case <-time.After(s.opt.Limits.StoreTimeout):
			err = errors.New("chat: shut down, but calls of the host's code have not returned")
		}
	}
	if s.cluster != nil {
		s.cluster.leave()
	}
	s.cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if s.cluster != nil {
			s.cluster.wg.Wait()
		}
		s.health.wait()
	}()
	select {
	case <-ended:
	case <-time.After(s.opt.Limits.StoreTimeout):
		err = errors.Join(err, errors.New("chat: shut down, but calls of the store have not returned"))
	}
	s.hub.Close()
	s.timers.stop()
	return err
}

// drain has the clients leave over a time that suits their number.
func (s *Server) drain(ctx context.Context) {
	list := s.sessions()
	if len(list) == 0 {
		return
	}
	window := min(time.Duration(len(list))*time.Second/closesPerSecond, s.opt.Limits.Drain)
	if deadline, ok := ctx.Deadline(); ok {
		// Some of the time is for those who are slow to go.
		window = min(window, time.Until(deadline)*3/4)
	}
	s.log.Info("chat: draining", "sessions", len(list), "within_ms", window.Milliseconds())
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	start := time.Now()
	due := func(i int) time.Duration { return window * time.Duration(i+1) / time.Duration(len(list)) }
	for i, sess := range list {
		after := due(i) - time.Since(start)
		sess.send(func(b []byte) []byte {
			return wire.AppendReconnect(b, max(after.Milliseconds(), 0), "restart")
		})
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; i < len(list); {
		for ; i < len(list) && due(i) <= time.Since(start); i++ {
			list[i].conn.Close(wire.CloseRestart, "restart")
		}
		if i == len(list) {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sessions returns all sessions there are.
func (s *Server) sessions() []*session {
	list := s.users.all()
	s.guests.mu.Lock()
	defer s.guests.mu.Unlock()
	for sess := range s.guests.set {
		list = append(list, sess)
	}
	return list
}
