package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

const (
	tidyEvery = 20 * time.Second
	agedRooms = 2000 // messages looked at in one go
)

// tidy removes what has served its time, now and then. Stores that share the
// tables all do it: it is cheap where another one has just been.
func (s *Store) tidy() {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	trouble := grievance{s: s, what: "tidying up has failed; trying again"}
	for {
		select {
		case <-s.ending.Done():
			return
		case <-tick.C:
		}
		if err := s.tidyOnce(s.ending); s.ending.Err() == nil {
			trouble.note(err)
		}
	}
}

func (s *Store) tidyOnce(ctx context.Context) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, s.q(sqlPrune)); err != nil {
			return err
		}
		// An hour more, for clocks that differ.
		if _, err := conn.Exec(ctx, s.q(sqlPruneTrimmed), s.clock.Now().Add(-chat.NonceTTL-time.Hour)); err != nil {
			return err
		}
		for more := s.opt.MaxAge > 0; more; {
			var err error
			if more, err = s.trimAged(ctx, conn); err != nil {
				return err
			}
		}
		return nil
	})
}

// trimAged lets some rooms go of messages that are too old, and reports
// whether there was anything to do. It does not wait for rooms in use.
func (s *Store) trimAged(ctx context.Context, conn *pgx.Conn) (more bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, s.q(sqlAged), s.clock.Now().Add(-s.opt.MaxAge), agedRooms)
		if err != nil {
			return err
		}
		var id, base int64
		var ids, bases []int64
		_, err = pgx.ForEachRow(rows, []any{&id, nil, &base}, func() error {
			ids, bases = append(ids, id), append(bases, base)
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		tag, err := tx.Exec(ctx, s.q(sqlTrim), ids, bases, s.clock.Now())
		more = tag.RowsAffected() > 0
		return err
	})
	return more, err
}

// Trim implements [chat.Trimmer].
func (s *Store) Trim(ctx context.Context, key string, keep int) error {
	if err := alive(ctx); err != nil {
		return err
	}
	if s.ending.Err() != nil {
		return errClosed
	}
	if !storable(key) {
		return errNoRoom
	}
	err := s.retry(ctx, func() error {
		return s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				var id, base int64
				err := tx.QueryRow(ctx, s.q(sqlLastKept), key, max(keep, 1)).Scan(&id, &base)
				if errors.Is(err, pgx.ErrNoRows) {
					return errNoRoom
				}
				if err != nil {
					return err
				}
				_, err = tx.Exec(ctx, s.q(sqlTrim), []int64{id}, []int64{base}, s.clock.Now())
				return err
			})
		})
	})
	return s.ofRoom(ctx, err)
}
