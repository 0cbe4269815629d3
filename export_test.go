package chat

import "github.com/gabblehq/chat/internal/work"

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
