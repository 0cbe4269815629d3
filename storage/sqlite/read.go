package sqlite

import (
	"context"
	"database/sql/driver"
	"math"
	"slices"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gabblehq/chat"
)

// readers is a bounded pool of connections that only read. A slot is nil until
// it is needed and after its connection has failed.
type readers struct {
	source
	slots chan *conn
}

func newReaders(from source, n int) *readers {
	p := &readers{source: from, slots: make(chan *conn, n)}
	for range n {
		p.slots <- nil
	}
	return p
}

// with calls f with a connection of its own, in one read transaction.
func (p *readers) with(ctx context.Context, f func(*conn) error) error {
	if err := alive(ctx); err != nil {
		return err
	}
	var c *conn
	var open bool
	select {
	case c, open = <-p.slots:
		if !open {
			return errClosed
		}
	case <-ctx.Done():
		return alive(ctx)
	}
	c, err := p.snapshot(c, f)
	p.slots <- c
	return err
}

// snapshot returns the connection if it is fit to be used again.
func (p *readers) snapshot(c *conn, f func(*conn) error) (*conn, error) {
	if c == nil {
		err := p.check()
		if err != nil {
			return nil, err
		}
		if c, err = connect(p.path, "busy_timeout = 5000", "query_only = 1", "cache_size = -4000"); err != nil {
			return nil, unavailable(err)
		}
	}
	_, err := c.exec("BEGIN")
	if err == nil {
		err = f(c)
		if _, ended := c.exec("COMMIT"); err == nil {
			err = ended
		}
	}
	if err == nil {
		return c, nil
	}
	switch code(err) & 0xff {
	case 0, sqlite3.SQLITE_CORRUPT: // not of the connection
		return c, unavailable(err)
	}
	_ = c.close()
	return nil, unavailable(err)
}

// close waits for those who read.
func (p *readers) close() {
	for range cap(p.slots) {
		if c := <-p.slots; c != nil {
			_ = c.close()
		}
	}
	close(p.slots)
}

// read calls f with the room as it is. What is too old is trimmed before, as
// far as the disk lets it.
func (s *Store) read(ctx context.Context, key string, f func(*conn, *roomState) error) error {
	for trim := s.opts.MaxAge > 0; ; {
		aged := false
		err := s.readers.with(ctx, func(c *conn) error {
			r, err := findRoom(c, key, s.damaged)
			if err != nil {
				return err
			}
			if r == nil {
				return errNoRoom
			}
			if trim {
				if aged, err = s.aged(c, r); aged || err != nil {
					return err
				}
			}
			return f(c, r)
		})
		if !aged {
			return err
		}
		if err := s.do(ctx, &request{op: opTrim, room: key}); err != nil {
			if ctx.Err() != nil {
				return alive(ctx)
			}
			trim = false
		}
	}
}

// aged reports whether the oldest message has outlived MaxAge.
func (s *Store) aged(c *conn, r *roomState) (aged bool, err error) {
	_, err = c.one(func(v []driver.Value) error {
		at, _ := v[0].(int64)
		aged = at < s.opts.tooOld(s.opts.clock.Now())
		return nil
	}, "SELECT created_at FROM messages WHERE room = ? ORDER BY seq LIMIT 1", r.pk)
	return aged, err
}

func (r *roomState) page() chat.Page {
	return chat.Page{Head: r.head, Room: r.info, Floor: r.floor, Past: r.past}
}

// Head implements [chat.Store].
func (s *Store) Head(ctx context.Context, key string) (head chat.Position, err error) {
	err = s.read(ctx, key, func(_ *conn, r *roomState) error {
		head = r.head
		return nil
	})
	return head, err
}

// Changes implements [chat.Store].
func (s *Store) Changes(ctx context.Context, key string, after int64, limit int) (page chat.Page, err error) {
	err = s.read(ctx, key, func(c *conn, r *roomState) (err error) {
		page, err = s.changes(ctx, c, r, max(after, 0), limit)
		return err
	})
	return page, err
}

func (s *Store) changes(ctx context.Context, c *conn, r *roomState, after int64, limit int) (chat.Page, error) {
	p := r.page()
	if after >= r.head.Rev {
		// Never beyond the head: what comes next is not to be passed over.
		p.Through = r.head.Rev
		return p, nil
	}
	if limit <= 0 {
		p.Through, p.More = after, true
		return p, nil
	}
	room := func() {
		info := copyRoom(r.info)
		p.Entries = append(p.Entries, chat.Entry{Rev: info.Rev, Room: &info})
	}
	pending := r.info.Rev > after
	err := s.messages(ctx, c, r, func(m *chat.Message) {
		if pending && m.Rev > r.info.Rev {
			pending = false
			room()
		}
		p.Entries = append(p.Entries, chat.Entry{Rev: m.Rev, Message: m})
	}, "room = ? AND rev > ? ORDER BY rev LIMIT ?", r.pk, after, int64(limit)+1)
	if pending {
		room()
	}
	p.Through = r.head.Rev
	if len(p.Entries) > limit {
		p.Entries = slices.Clip(p.Entries[:limit])
		p.Through, p.More = p.Entries[limit-1].Rev, true
	}
	return p, err
}

// messages calls f with what a condition finds.
func (s *Store) messages(ctx context.Context, c *conn, r *roomState, f func(*chat.Message), where string, args ...driver.Value) error {
	n := 0
	var some []chat.Message // many in one allocation
	return c.query(func(v []driver.Value) error {
		if n++; n%256 == 0 && ctx.Err() != nil {
			return alive(ctx)
		}
		if len(some) == 0 {
			some = make([]chat.Message, 8)
		}
		m := &some[0]
		some = some[1:]
		if !scanMessage(v, r.info.ID, m) {
			s.damaged(r.key, m.Seq)
		}
		f(m)
		return nil
	}, "SELECT "+messageColumns+" FROM messages WHERE "+where, args...)
}

// History implements [chat.Store].
func (s *Store) History(ctx context.Context, key string, q chat.Query) (page chat.Page, err error) {
	err = s.read(ctx, key, func(c *conn, r *roomState) (err error) {
		page, err = s.history(ctx, c, r, q)
		return err
	})
	return page, err
}

func (s *Store) history(ctx context.Context, c *conn, r *roomState, q chat.Query) (chat.Page, error) {
	p := r.page()
	if q.Limit <= 0 {
		return p, nil
	}
	add := func(m *chat.Message) { p.Messages = append(p.Messages, *m) }
	switch {
	case q.ID != "":
		err := s.messages(ctx, c, r, add, "room = ? AND id = ?", r.pk, q.ID)
		return p, err
	case q.Nonce != "":
		err := s.messages(ctx, c, r, add, "room = ? AND nonce_key = ?", r.pk, nonceKey(q.User, q.Nonce))
		return p, err
	}
	// The half-open range [from, to) of seqs is what is asked for, and
	// [first, end) what there is.
	first, end := int64(1), r.head.Seq+1
	if r.floor > 0 {
		var err error
		if first, err = oldest(c, r); err != nil {
			return p, err
		}
	}
	limit := min(int64(q.Limit), math.MaxInt32)
	var from, to int64
	switch {
	case q.After > 0:
		from = clamp(q.After, first-1, end) + 1
		to = from + min(limit, max(end-from, 0))
		p.More = to < end
	case q.Around > 0:
		at := clamp(q.Around, first, end)
		from = max(at-limit/2, first)
		to = min(from+limit, end)
		from = max(to-limit, first)
		p.More = to < end
	default:
		to = end
		if q.Before > 0 {
			to = clamp(q.Before, first, end)
		}
		from = to - min(limit, to-first)
		p.More = from > first
	}
	if from >= to {
		return p, nil
	}
	p.Messages = make([]chat.Message, 0, min(to-from, 1000))
	err := s.messages(ctx, c, r, add, "room = ? AND seq >= ? AND seq < ? ORDER BY seq", r.pk, from, to)
	return p, err
}

func clamp(v, low, high int64) int64 { return min(max(v, low), high) }
