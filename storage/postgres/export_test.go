package postgres

import (
	"context"
	"time"
)

// Tidy does at once what a Store does now and then.
func (s *Store) Tidy(ctx context.Context) error { return s.tidyOnce(ctx) }

// Leap makes the wall clock that messages age by read as if somebody had set it
// ahead by d.
func (s *Store) Leap(d time.Duration) { s.clock.Leap(d) }
