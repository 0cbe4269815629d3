package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

// Head implements [chat.Store].
func (s *Store) Head(ctx context.Context, key string) (head chat.Position, err error) {
	heads, err := s.Heads(ctx, []string{key})
	switch {
	case err != nil:
		return chat.Position{}, err
	case heads[0].Rev < 0:
		return chat.Position{}, errNoRoom
	}
	return heads[0], nil
}

// Heads implements [chat.Watcher]. What the database has is there or has been
// removed: no position is zero.
func (s *Store) Heads(ctx context.Context, keys []string) ([]chat.Position, error) {
	heads := make([]chat.Position, len(keys))
	for i := range heads {
		heads[i].Rev = -1
	}
	found := make(map[string]chat.Position, len(keys))
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, s.q(sqlHeads), storables(keys))
		if err != nil {
			return err
		}
		var key string
		var p chat.Position
		_, err = pgx.ForEachRow(rows, []any{&key, &p.Epoch, &p.Rev, &p.Seq}, func() error {
			found[key] = p
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if p, ok := found[key]; ok {
			heads[i] = p
		}
	}
	return heads, nil
}

// storables leaves out keys that no room can have.
func storables(keys []string) []string {
	for i, key := range keys {
		if !storable(key) {
			kept := keys[:i:i]
			for _, key := range keys[i:] {
				if storable(key) {
					kept = append(kept, key)
				}
			}
			return kept
		}
	}
	return keys
}

// most bounds a page, so that sums with it stay numbers.
const most = 1 << 30

// Changes implements [chat.Store].
func (s *Store) Changes(ctx context.Context, key string, after int64, limit int) (chat.Page, error) {
	limit = min(max(limit, 0), most)
	after = max(after, 0)
	var r room
	var msgs []chat.Message
	err := s.query(ctx, key, &r, &msgs, nil, sqlChanges, after, limit+1)
	if err != nil {
		return chat.Page{}, err
	}
	p := r.page()
	p.Through = r.rev
	if after >= r.rev {
		return p, nil
	}
	p.Entries = entries(&r, msgs, after)
	if len(p.Entries) > limit {
		clear(p.Entries[limit:])
		p.Entries, p.More, p.Through = p.Entries[:limit], true, after
		if limit > 0 {
			p.Through = p.Entries[limit-1].Rev
		}
	}
	return p, nil
}

// entries puts the settings in their place among the messages.
func entries(r *room, msgs []chat.Message, after int64) []chat.Entry {
	all := make([]chat.Entry, 0, len(msgs)+1)
	settings := r.info.Rev > after
	for i := range msgs {
		m := &msgs[i]
		if settings && r.info.Rev < m.Rev {
			all, settings = append(all, r.entry()), false
		}
		all = append(all, chat.Entry{Rev: m.Rev, Message: m})
	}
	if settings {
		all = append(all, r.entry())
	}
	return all
}

func (r *room) entry() chat.Entry {
	info := r.info
	return chat.Entry{Rev: info.Rev, Room: &info}
}

// page is an empty page of the room as it is.
func (r *room) page() chat.Page {
	return chat.Page{Head: r.head(), Room: &r.info, Floor: r.floor, Past: r.past}
}

// History implements [chat.Store].
func (s *Store) History(ctx context.Context, key string, q chat.Query) (chat.Page, error) {
	limit := min(max(q.Limit, 0), most)
	sql, args := sqlNone, []any(nil)
	older := false
	switch {
	case limit == 0:
	case q.ID != "":
		if storable(q.ID) {
			sql, args = sqlOneByID, []any{q.ID}
		}
	case q.Nonce != "":
		sql, args = sqlOneByHash, []any{nonceHash(q.User, q.Nonce)}
	case q.After > 0:
		sql, args = sqlAfter, []any{q.After, limit}
	case q.Around > 0:
		sql, args = sqlAround, []any{q.Around, limit}
	default:
		sql, args = sqlBefore, []any{max(q.Before, 0), limit}
		older = true
	}
	var r room
	var msgs []chat.Message
	var start, upto int64
	if err := s.query(ctx, key, &r, &msgs, []any{&start, &upto}, sql, args...); err != nil {
		return chat.Page{}, err
	}
	p := r.page()
	p.Messages = msgs
	switch {
	case sql == sqlNone || sql == sqlOneByID || sql == sqlOneByHash:
	case older:
		p.More = start > r.base
	default:
		p.More = upto <= r.seq
	}
	return p, nil
}

// query reads a page in one statement, which is one snapshot.
func (s *Store) query(ctx context.Context, key string, r *room, msgs *[]chat.Message, extra []any, sql string, args ...any) error {
	if !storable(key) {
		return errNoRoom
	}
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		text, args := s.view(sql, append([]any{key}, args...)...)
		rows, err := conn.Query(ctx, text, args...)
		if err != nil {
			return err
		}
		*r, *msgs, err = s.page(rows, extra...)
		return err
	})
	return err
}

// ListRooms implements [chat.RoomLister].
func (s *Store) ListRooms(ctx context.Context, prefix, after string, limit int) (list []chat.RoomSummary, more bool, err error) {
	return s.list(ctx, sqlList, prefix, after, limit)
}

// ListDirect implements [chat.DirectLister].
func (s *Store) ListDirect(ctx context.Context, prefix, user, after string, limit int) (list []chat.RoomSummary, more bool, err error) {
	if !storable(user) {
		return nil, false, alive(ctx)
	}
	return s.list(ctx, sqlDirect, prefix, after, limit, user)
}

func (s *Store) list(ctx context.Context, sql, prefix, after string, limit int, args ...any) (list []chat.RoomSummary, more bool, err error) {
	if !storable(prefix) || !storable(after) {
		return nil, false, alive(ctx)
	}
	limit = min(max(limit, 0), most)
	err = s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		list = nil
		text, args := s.view(sql, append([]any{after, prefix, behind(prefix), limit + 1}, args...)...)
		rows, err := conn.Query(ctx, text, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var rt roomTargets
			var mt messageTargets
			if err := rows.Scan(append(rt.into(), mt.into()...)...); err != nil {
				return err
			}
			r := rt.take()
			sum := chat.RoomSummary{Key: r.key, Room: r.info, Head: r.head()}
			if mt.seq.Valid {
				m := s.message(&mt, r.info.ID)
				sum.LastMessage = &m
			}
			list = append(list, sum)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, false, err
	}
	if len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, nil
}

// behind is the least string that sorts behind all that have the prefix, ""
// where none does. Keys are ASCII, so the byte after the last one is UTF-8.
func behind(prefix string) string {
	if prefix == "" || prefix[len(prefix)-1] >= 0x7f {
		return ""
	}
	return prefix[:len(prefix)-1] + string(prefix[len(prefix)-1]+1)
}

// RemoveRoom implements [chat.RoomRemover]. It takes as long as the database
// needs for all the room's messages, and ctx lets it.
func (s *Store) RemoveRoom(ctx context.Context, key string) error {
	if err := alive(ctx); err != nil {
		return err
	}
	if s.ending.Err() != nil {
		return errClosed
	}
	if !storable(key) {
		return errNoRoom
	}
	committing := false
	err := s.retry(ctx, func() error {
		return s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return s.remove(ctx, conn, key, &committing)
		})
	})
	if committing && err != nil && sqlState(err) == "" {
		return unknown(err)
	}
	return s.ofRoom(ctx, err)
}

// ofRoom is the error of a call that is about one room alone.
func (s *Store) ofRoom(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoRoom):
		return errNoRoom
	case sqlState(err) == lockNotAvailable:
		return errBusy
	case ctx.Err() != nil:
		return gaveUp(ctx)
	}
	s.complain(err)
	return unavailable(err)
}

func (s *Store) remove(ctx context.Context, conn *pgx.Conn, key string, committing *bool) error {
	b := &batch{s: s, conn: conn}
	defer b.rollback()
	var q pgx.Batch
	q.Queue("begin")
	q.Queue(sqlBounds, ms(s.opt.LockTimeout), "0")
	epoch := ""
	q.Queue(s.q(sqlRemove), key).QueryRow(func(row pgx.Row) error { return row.Scan(&epoch) })
	err := conn.SendBatch(ctx, &q).Close()
	if errors.Is(err, pgx.ErrNoRows) {
		return errNoRoom
	}
	if err != nil {
		return err
	}
	q = pgx.Batch{}
	s.queueHints(&q, packHeads([]headHint{{key, chat.Position{Epoch: epoch, Rev: -1}}}))
	q.Queue("commit")
	*committing = true
	err = conn.SendBatch(ctx, &q).Close()
	b.closed = err == nil
	if err != nil && sqlState(err) == "" {
		return final{err}
	}
	return err
}
