package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

const (
	moveEvery  = time.Second
	moveLocked = 25 * time.Millisecond // later again, where rooms were locked
	moveMost   = 500
)

// rouse wakes the mover.
func (s *Store) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// moveAll moves messages from the outbox into their rooms, until the store is
// closed.
func (s *Store) moveAll() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	trouble := grievance{s: s, what: "moving messages out of the outbox has failed; trying again"}
	for {
		select {
		case <-s.ending.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		locked, err := s.moveWaiting(s.ending)
		if s.ending.Err() == nil {
			trouble.note(err)
		}
		pause := moveEvery
		if locked {
			pause = moveLocked
		}
		timer.Reset(pause)
	}
}

// pass is one walk through the outbox.
type pass struct {
	s      *Store
	last   int64           // id of the outbox that has been looked at
	limit  int             // rows in one transaction
	locked map[string]bool // rooms that are left for the next pass, so that their messages keep their order
}

// moveWaiting moves all that can be moved, and reports whether locked rooms
// were in the way.
func (s *Store) moveWaiting(ctx context.Context) (locked bool, err error) {
	p := &pass{s: s, limit: moveMost, locked: make(map[string]bool)}
	for more := true; more && err == nil; {
		more, err = p.step(ctx)
	}
	return len(p.locked) > 0, err
}

// step moves one transaction's worth. What the database refuses together is
// moved one by one from there on, and what it refuses then stays.
func (p *pass) step(ctx context.Context) (more bool, err error) {
	ctx, cancel := p.s.bounded(ctx)
	defer cancel()
	var rows []waiting
	err = p.s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := &batch{s: p.s, conn: conn, ids: true, begun: true}
		defer b.rollback()
		if rows, err = p.fetch(ctx, b); err != nil || len(rows) == 0 {
			return err
		}
		return p.move(ctx, b, rows)
	})
	switch {
	case err == nil && len(rows) > 0:
		p.last = rows[len(rows)-1].id
	case errors.Is(err, errLife):
		return true, nil
	case err != nil && ofData(err) && p.limit > 1:
		p.limit = 1
		return true, nil
	case err != nil && ofData(err) && len(rows) == 1:
		p.last = rows[0].id
		return true, p.s.park(ctx, rows[0], "the database refuses it: "+err.Error())
	}
	return len(rows) == p.limit, err
}

// waiting is a row of the outbox.
type waiting struct {
	id        int64
	key, text string
}

// fetch begins the transaction and reads rows, unless another store is at it:
// two of them could mix up the order.
func (p *pass) fetch(ctx context.Context, b *batch) (rows []waiting, err error) {
	var q pgx.Batch
	b.begin(&q)
	mine := false
	q.Queue(sqlMoverLock, "gabble outbox of "+p.s.opt.Schema).QueryRow(func(row pgx.Row) error { return row.Scan(&mine) })
	q.Queue(p.s.q(sqlWaiting), p.last, p.limit).Query(func(r pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(r, func(row pgx.CollectableRow) (w waiting, err error) {
			err = row.Scan(&w.id, &w.key, &w.text)
			return w, err
		})
		return err
	})
	err = b.conn.SendBatch(ctx, &q).Close()
	if err != nil || !mine {
		return nil, err
	}
	return rows, nil
}

// move appends the rows' messages and takes them out of the outbox, all in the
// transaction that fetch has begun.
func (p *pass) move(ctx context.Context, b *batch, rows []waiting) error {
	s := p.s
	byKey := make(map[string]int)
	var parts []part
	jobs := make(map[int64]*job)
	var parked []verdict
	for _, w := range rows {
		if p.locked[w.key] {
			continue
		}
		c, err := w.change()
		if err != nil {
			parked = append(parked, verdict{w, "it cannot be read: " + err.Error()})
			continue
		}
		i, ok := byKey[w.key]
		if !ok {
			i = len(parts)
			byKey[w.key] = i
			parts = append(parts, part{line: &line{key: w.key}})
		}
		jobs[w.id] = &job{changes: []chat.Change{c}}
		parts[i].jobs = append(parts[i].jobs, jobs[w.id])
	}
	locked, err := b.lock(ctx, parts)
	if err != nil {
		return err
	}
	for _, l := range locked {
		p.locked[l.line.key] = true
	}
	b.apply(parts)
	var moved []int64
	for _, w := range rows {
		j := jobs[w.id]
		if j == nil || p.locked[w.key] {
			continue
		}
		if err := j.results[0].Err; err == nil || errors.Is(err, errIDTaken) {
			moved = append(moved, w.id)
		} else {
			parked = append(parked, verdict{w, err.Error()})
		}
	}
	if len(moved) == 0 && len(parked) == 0 {
		return nil
	}
	_, err = b.commit(ctx, func(q *pgx.Batch) {
		q.Queue(s.q(sqlMoved), moved)
		s.queueParking(q, parked)
	})
	if err == nil {
		s.logParked(parked)
	}
	return err
}

// change is what becomes of the row.
func (w *waiting) change() (chat.Change, error) {
	var o outgoing
	if err := json.Unmarshal([]byte(w.text), &o); err != nil {
		return chat.Change{}, err
	}
	m := chat.Message{
		ID: o.ID, User: o.User, Kind: o.Kind, Content: o.Content, Nonce: o.Nonce, ReplyTo: o.ReplyTo, Thread: o.Thread,
		Mentions: o.Mentions, Attachments: o.Attachments, Meta: o.Meta,
	}
	if m.ID == "" {
		return chat.Change{}, errors.New("it has no id")
	}
	if err := checkOutgoing(w.key, &m); err != nil {
		return chat.Change{}, err
	}
	return chat.Change{Kind: chat.ChangeCreate, At: time.Now(), Message: m}, nil
}

// verdict is why a row stays where it is.
type verdict struct {
	waiting
	reason string
}

func (s *Store) queueParking(q *pgx.Batch, parked []verdict) {
	if len(parked) == 0 {
		return
	}
	ids, reasons := make([]int64, len(parked)), make([]string, len(parked))
	for i, v := range parked {
		ids[i], reasons[i] = v.id, v.reason
	}
	q.Queue(s.q(sqlPark), ids, reasons)
}

func (s *Store) logParked(parked []verdict) {
	for _, v := range parked {
		s.log.Error("postgres: a message stays in the outbox", "id", v.id, "room", v.key, "reason", v.reason)
	}
}

// park leaves one row where it is.
func (s *Store) park(ctx context.Context, w waiting, reason string) error {
	parked := []verdict{{w, reason}}
	err := s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var q pgx.Batch
		s.queueParking(&q, parked)
		return conn.SendBatch(ctx, &q).Close()
	})
	if err == nil {
		s.logParked(parked)
	}
	return err
}
