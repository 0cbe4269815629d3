package chat

// Outdate does to a room what a comparison does that has found nobody in it.
func (s *Server) Outdate(room string) {
	r := s.acquire(room)
	r.outdate()
	r.release()
}

// Tighten makes the pools of a server small, so that few commands use them up.
func Tighten(s *Server, turns, parked, others int) {
	for _, p := range []*pool{&s.work.turns, &s.work.auths, &s.work.checks, &s.work.chores} {
		p.mu.Lock()
		p.max = others
		p.mu.Unlock()
	}
	s.work.turns.mu.Lock()
	s.work.turns.max, s.work.turns.wait = turns, parked
	s.work.turns.mu.Unlock()
}

// Waiting is how many tasks wait for a worker that takes up commands, and how
// many of its workers are parked.
func Waiting(s *Server) (queued, parked int) {
	p := &s.work.turns
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue), p.parked
}
