package memory

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
	return Kept{
		r.msgs.len(), len(r.byID.m), r.log.len() - r.log.dead,
		r.nonces.sent.len(), len(r.nonces.places.m), r.nonces.trimmed.len(),
	}
}
