package memory

import "time"

// Kept says how much a room holds: messages, their ids, log entries that are
// not superseded, nonces and what is left of trimmed messages.
type Kept struct{ Messages, IDs, Log, Nonces, Places, Trimmed int }

// LogLen is with the superseded entries.
func (s *Store) LogLen(key string) int { return s.room(key).log.len() }

// Kept looks at a room without the tidying that a call does.
func (s *Store) Kept(key string) Kept {
	r := s.room(key)
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := r.nonces
	if n == nil {
		n = &nonces{}
	}
	ids := r.byID
	if ids == nil {
		ids = &index[string]{}
	}
	return Kept{
		r.msgs.len(), len(ids.m), r.log.len() - r.log.dead,
		n.sent.len(), len(n.places.m), n.trimmed.len(),
	}
}

// Leap makes the wall clock that messages age by read as if somebody had set it
// ahead by d.
func (s *Store) Leap(d time.Duration) { s.opts.clock.Leap(d) }
