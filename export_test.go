package chat

// Outdate does to a room what a comparison does that has found nobody in it.
func (s *Server) Outdate(room string) {
	r := s.acquire(room)
	r.outdate()
	r.release()
}
