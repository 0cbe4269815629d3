package postgres

import "context"

// Tidy does at once what a Store does now and then.
func (s *Store) Tidy(ctx context.Context) error { return s.tidyOnce(ctx) }
