package postgres

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gabblehq/chat"
)

// writers is how many transactions a store has under way at once: while one
// waits for the disk, the next is on its way; and of rooms that go alone so
// many that they leave most connections to others.
func writers(pool *pgxpool.Pool) (together, alone int) {
	most := int(pool.Config().MaxConns)
	return min(2, most), max(1, min(4, most/4))
}

// Append implements [chat.Store].
func (s *Store) Append(ctx context.Context, key string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	j := &job{known: known, changes: own(changes)}
	if err := s.do(ctx, key, j); err != nil {
		return nil, err
	}
	return j.results, nil
}

// KeepsAll implements [chat.Retainer].
func (s *Store) KeepsAll() bool { return s.opt.MaxMessages == 0 && s.opt.MaxAge == 0 }

// NewEpoch implements [chat.EpochStarter].
func (s *Store) NewEpoch(ctx context.Context, key string) (chat.Position, error) {
	j := &job{newEpoch: true}
	if err := s.do(ctx, key, j); err != nil {
		return chat.Position{}, err
	}
	return j.head, nil
}

// own copies what the caller may write to again: the commit may outlast the
// call, and results share memory with the changes.
func own(changes []chat.Change) []chat.Change {
	changes = slices.Clone(changes)
	for i := range changes {
		c := &changes[i]
		r, u := &c.Room, &c.Update
		ownMessage(&c.Message)
		if c.Seen != nil {
			seen := *c.Seen
			ownMessage(&seen)
			c.Seen = &seen
		}
		r.Peers, r.Meta, u.Meta = slices.Clone(r.Peers), slices.Clone(r.Meta), slices.Clone(u.Meta)
	}
	return changes
}

func ownMessage(m *chat.Message) {
	m.Mentions, m.Attachments, m.Meta = slices.Clone(m.Mentions), slices.Clone(m.Attachments), slices.Clone(m.Meta)
	for i := range m.Attachments {
		m.Attachments[i].Meta = slices.Clone(m.Attachments[i].Meta)
	}
}

// write takes what is ready and writes it, until the store is closed.
func (s *Store) write(take func() []part, wait bool) {
	for parts := take(); parts != nil; parts = take() {
		locked := s.writeParts(parts, wait, false)
		for _, p := range parts {
			if !slices.ContainsFunc(locked, func(l part) bool { return l.line == p.line }) {
				s.queue.finish(p.line)
			}
		}
		for _, p := range locked {
			s.queue.again(p)
		}
	}
}

// writeParts writes parts in one transaction and answers them, but those that
// it returns because their rooms are locked.
func (s *Store) writeParts(parts []part, wait, ids bool) (locked []part) {
	ctx, cancel := s.bounded(context.Background())
	defer cancel()
	written := false
	err := s.retry(ctx, func() (err error) {
		hurry := !wait && s.hurried(parts)
		locked, written, err = s.transact(ctx, parts, wait, ids, hurry)
		busy := sqlState(err) == lockNotAvailable
		if busy && hurry && !written {
			s.locked.Store(s.since())
		}
		if hurry && !written && (busy || errors.Is(err, errLife)) {
			locked, written, err = s.transact(ctx, parts, wait, ids, false)
		}
		if written && err != nil {
			return final{err}
		}
		return err
	})
	switch {
	case err == nil:
		if written {
			s.trial.refused.Store(false)
		}
		answer(parts, locked, nil)
	case written || panicked(err):
		s.trial.refused.Store(true)
		answer(parts, locked, unknown(err))
	case sqlState(err) == uniqueViolation && !ids:
		s.duplicate.Store(s.since())
		return s.writeParts(parts, wait, true)
	case ofData(err):
		return s.writeApart(parts, wait, ids)
	case sqlState(err) == lockNotAvailable:
		answer(parts, nil, errBusy)
		locked = nil
	default:
		s.trial.refused.Store(true)
		s.complain(err)
		answer(parts, nil, unavailable(err))
		locked = nil
	}
	return locked
}

// alert is for how long nonces are looked up after one has come again.
const alert = 10 * time.Second

// wary reports whether nonces are to be looked up before anything is written.
// Most of the time none comes again, and the index, which has to be asked
// anyway, says so where one does: then the transaction is done over. But for a
// while afterwards, that one retry may be one of many.
func (s *Store) wary() bool { return s.recent(&s.duplicate) }

// since is how long there has been the Store, in nanoseconds, at least 1.
func (s *Store) since() int64 { return int64(time.Since(s.start)) + 1 }

// recent reports whether what was noted at a time of since is not long ago; 0 is
// never.
func (s *Store) recent(at *atomic.Int64) bool {
	was := at.Load()
	return was > 0 && time.Duration(s.since()-was) < alert
}

// final is an error after which nothing is tried again.
type final struct{ error }

// writeApart is what happens to jobs that the database objects to together: a
// bad one must not harm the others.
func (s *Store) writeApart(parts []part, wait, ids bool) (locked []part) {
	if len(parts) == 1 && len(parts[0].jobs) == 1 && ids {
		refuse(parts[0].jobs[0])
		return nil
	}
	for _, p := range parts {
		for i, j := range p.jobs {
			one := part{p.line, []*job{j}}
			if len(s.writeParts([]part{one}, wait, true)) > 0 {
				locked = append(locked, part{p.line, p.jobs[i:]})
				break
			}
		}
	}
	return locked
}

// refuse answers a job that cannot be stored.
func refuse(j *job) {
	j.results, j.err = nil, &chat.Error{Code: chat.CodeInvalid, Message: "the database refuses what is to be stored"}
	close(j.done)
}

func answer(parts, locked []part, err error) {
	for _, p := range parts {
		if slices.ContainsFunc(locked, func(l part) bool { return l.line == p.line }) {
			continue
		}
		for _, j := range p.jobs {
			if err != nil {
				j.results, j.err = nil, err
			}
			close(j.done)
		}
	}
}

// transact is one attempt at a transaction. When it fails, written says that
// it may have been written all the same.
func (s *Store) transact(ctx context.Context, parts []part, wait, ids, hurry bool) (locked []part, written bool, err error) {
	err = s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := &batch{s: s, conn: conn, wait: wait, ids: ids, hurry: hurry}
		defer b.rollback()
		if locked, err = b.lock(ctx, parts); err != nil {
			return err
		}
		b.apply(parts)
		if !b.worthWriting() {
			return nil
		}
		written, err = b.commit(ctx, nil)
		return err
	})
	return locked, written, err
}

// apply answers the jobs of the rooms that are locked.
func (b *batch) apply(parts []part) {
	for _, p := range parts {
		if st := b.byKey[p.line.key]; st != nil {
			st.only = len(p.jobs) == 1 && len(p.jobs[0].changes) == 1
			for _, j := range p.jobs {
				j.err = nil
				st.apply(j)
			}
		}
	}
}

// worthWriting reports whether anything has changed. Otherwise the transaction
// is rolled back, with the empty rows of rooms that have not been made.
func (b *batch) worthWriting() bool {
	return slices.ContainsFunc(b.rooms, (*state).moved)
}
