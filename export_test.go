package chat

import (
	"context"
	"maps"
	"net/http"

	"github.com/gabblehq/chat/internal/work"
)

// Outdate does to a room what a comparison does that has found nobody in it.
func (s *Server) Outdate(room string) {
	r := s.acquire(room)
	r.outdate()
	r.release()
}

// Tighten makes the pools of a server small, so that few commands use them up.
func Tighten(s *Server, turns, parked, others int) {
	w := &s.workers
	for _, p := range []*work.Pool{w.auths, w.checks, w.chores} {
		p.Resize(work.Limits{Workers: others, Idle: 1})
	}
	w.turns.Resize(work.Limits{Workers: turns, Parked: parked, Idle: 1})
}

// Waiting is how many tasks wait for a worker that takes up commands, and how
// many of its workers are parked.
func Waiting(s *Server) (tasks, parked int) { return s.workers.turns.Waiting() }

// Learn gives a server a command that it does not have, and a route to it.
func Learn(s *Server, typ CommandType, pattern string, run func(*Command) error) {
	s.commands = maps.Clone(s.commands)
	s.commands[typ] = &command{
		typ: typ, class: ClassWrite, action: ActionWrite,
		run:    func(c *call, _ context.Context, _ visit) error { return run(&c.cmd) },
		routes: []route{{pattern: pattern, status: http.StatusOK}},
	}
	s.mux = s.routes()
}
