package chat

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gabblehq/chat/internal/safelog"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
)

// closesPerSecond is how fast Shutdown lets clients go, so that they do not
// all come back to another server at the same moment.
const closesPerSecond = 500

// lastWords is how long the host's logger has for what was logged at the end.
const lastWords = time.Second

// Shutdown ends the server without losing anything: it refuses new
// connections, tells every client to come back, closes them spread over time,
// and returns when no goroutine and no file descriptor is left and every
// acknowledged message is in the store. It takes as long as letting 500
// clients a second go takes, at most Limits.Drain or until ctx ends, and
// returns ctx's error if clients had to be cut. Afterwards everything returns
// ErrServerClosed. The store stays open; close it then.
//
// Shutdown may be called more than once, and beside Close; each call returns
// when the server has ended. They all end the same server: when the ctx of any
// of them has ended, or Close is called, clients are cut and nobody waits for
// the host's code or store longer than Limits.StoreTimeout for each; Shutdown
// returns ErrServerClosed where a Close has cut clients.
func (s *Server) Shutdown(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { s.hasten(ctx.Err()) })()
	if err := ctx.Err(); err != nil {
		s.hasten(err) // AfterFunc may take its time
	}
	s.end(ctx)
	return errors.Join(s.ending.cut, s.ending.left)
}

// Close ends the server at once, and with it a Shutdown that waits: connections
// are cut. What has been acknowledged is in the store all the same. It returns
// an error where calls of the host's code or store have not returned within
// Limits.StoreTimeout.
func (s *Server) Close() error {
	s.hasten(ErrServerClosed)
	s.end(s.ending.hurry)
	return s.ending.left
}

// ending is how a Server ends.
type ending struct {
	once   sync.Once
	hurry  context.Context // ends when nobody is to be waited for any more
	hasten context.CancelCauseFunc
	closed chan struct{}

	// Set when closed is.
	cut  error // clients had to be cut, because of this
	left error // calls that have not returned
}

func (e *ending) init() {
	e.hurry, e.hasten = context.WithCancelCause(context.Background())
	e.closed = make(chan struct{})
}

// hasten has the end of the server, under way or to come, wait for nobody.
func (s *Server) hasten(why error) { s.ending.hasten(why) }

// end has the server end, once, and returns when it has. Of ctx only the
// deadline counts.
func (s *Server) end(ctx context.Context) {
	s.ending.once.Do(func() {
		s.closing.Store(true)
		go s.stop(ctx)
	})
	<-s.ending.closed
}

// stop lets everybody go, and then ends what is left when all connections are
// gone: commits under way, farewells, and calls of the host.
func (s *Server) stop(ctx context.Context) {
	e := &s.ending
	defer close(e.closed)
	defer work.Recover(s.log, "the end of the server")
	cut := make(chan error, 1)
	s.await("the host's code", e.hurry.Done(), func() {
		s.transport.CloseListeners()
		s.drain(ctx, e.hurry.Done())
		if s.transport.Shutdown(e.hurry) != nil {
			cut <- context.Cause(e.hurry)
		}
	})
	select {
	case e.cut = <-cut:
	default:
	}
	defer context.AfterFunc(e.hurry, s.cancel)() // calls are told to give up
	s.await("the host's code", e.hurry.Done(), func() {
		s.inUse.Close()
		s.workers.Close()
	})
	now := make(chan struct{})
	close(now)
	if s.cluster != nil {
		s.await("the store", now, s.cluster.leave)
	}
	s.cancel()
	s.await("the store", now, func() {
		if s.cluster != nil {
			s.cluster.wg.Wait()
			s.presence.Wait()
		}
		s.health.Wait()
		s.hub.Close()
		s.timers.Stop()
	})
	safelog.Flush(s.log, lastWords)
	e.hasten(nil) // nothing is left that could be in a hurry
}

// await returns when f has, which waits for calls of what is named. What still
// has not StoreTimeout after there is a hurry, because it has come to a halt,
// is left behind.
func (s *Server) await(what string, hurry <-chan struct{}, f func()) {
	if !work.Within(s.opt.Limits.StoreTimeout, hurry, s.log, "the end of the server", f) {
		s.ending.left = errors.Join(s.ending.left, errors.New("chat: shut down, but calls of "+what+" have not returned"))
	}
}

// drain has the clients leave over a time that suits their number, ctx's
// deadline, and the hurry.
func (s *Server) drain(ctx context.Context, hurry <-chan struct{}) {
	select {
	case <-hurry:
		return
	default:
	}
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
	due := func(i int) time.Duration { return time.Duration(float64(window) * float64(i+1) / float64(len(list))) }
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
		case <-hurry:
			return
		}
	}
}

// sessions returns all sessions there are.
func (s *Server) sessions() []*session {
	list := s.users.All()
	s.guests.mu.Lock()
	defer s.guests.mu.Unlock()
	for sess := range s.guests.set {
		list = append(list, sess)
	}
	return list
}
