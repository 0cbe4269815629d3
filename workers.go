package chat

import (
	"log/slog"

	"github.com/gabblehq/chat/internal/work"
)

// workers are a server's, by what may hold them up: what waits in one pool
// never holds what it waits for.
type workers struct {
	*work.Group

	// turns take up the commands of sessions. They run the host's code, so a
	// host that has come to a halt may use them all up.
	turns *work.Pool
	// auths ask the host who a session is, and checks whether one may stay in a
	// room: sessions that are in do not need them.
	auths  *work.Pool
	checks *work.Pool
	// commits put into rooms' logs what has entered their queues, and answer it.
	// They never run the host's code, but its store, one for each room at most.
	commits *work.Pool
	// chores are what is short, or waits for the store alone.
	chores *work.Pool
}

const (
	// maxWorkers bounds what a host's code that has come to a halt can pile up,
	// and maxParked how many commands inside a middleware wait for their commit.
	maxWorkers = 16 << 10
	maxParked  = 16 << 10
	maxAuths   = 4 << 10
	maxChecks  = 256
	maxChores  = 64
)

func newWorkers(log *slog.Logger) workers {
	g := work.NewGroup(log)
	return workers{
		Group:   g,
		turns:   g.Pool(work.Limits{Workers: maxWorkers, Parked: maxParked, Idle: 12}),
		auths:   g.Pool(work.Limits{Workers: maxAuths, Idle: 2}),
		checks:  g.Pool(work.Limits{Workers: maxChecks, Idle: 1}),
		commits: g.Pool(work.Limits{Idle: 6}),
		chores:  g.Pool(work.Limits{Workers: maxChores, Idle: 3}),
	}
}

// chore is something to be done that nobody waits for, but Shutdown.
type chore struct {
	srv *Server
	do  func()
}

// background has f called by a pool, unless the server has ended.
func (s *Server) background(p *work.Pool, f func()) {
	if s.inUse.Enter() {
		p.Run(chore{s, f})
	}
}

func (c chore) Work() {
	defer c.srv.inUse.Leave()
	c.do()
}

// guard calls code that is not ours and turns a panic into an error, so that
// it harms no more than the command it served.
func guard(f func() error) error {
	err := work.Guard(f)
	if p, ok := err.(*work.Panic); ok {
		return &Error{Code: CodeInternal, Message: "internal error", cause: p}
	}
	return err
}
