package postgres

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gabblehq/chat"
)

// batch is one transaction: the changes of many rooms, written in two round
// trips. The first locks the rooms and reads what the changes are about; the
// second writes what has become of it.
//
// A batch in a hurry locks the rooms by moving their heads to where the changes
// will most likely take them, which spares a second write of each row.
type batch struct {
	s        *Store
	conn     *pgx.Conn
	wait     bool // for locked rooms, instead of leaving them out
	hurry    bool // wait for them too, but for a moment only, and lock them by moving their heads
	ids      bool // look whether the ids and nonces of new messages are taken
	begun    bool // the transaction has begun already
	nameless bool // the life has no name yet, see errLife
	rooms    []*state
	byKey    map[string]*state
	closed   bool // the transaction has ended
}

// lock begins the transaction. It returns the parts that are left out of it
// because somebody else has locked their rooms.
func (b *batch) lock(ctx context.Context, parts []part) (locked []part, err error) {
	b.byKey = make(map[string]*state, len(parts))
	keys := make([]string, len(parts))
	w := wanted{newIDs: b.ids, nonces: b.ids || b.s.wary()}
	for i, p := range parts {
		keys[i] = p.line.key
		w.collect(p)
	}
	var q pgx.Batch
	if !b.begun {
		b.begin(&q)
	}
	made := w.make(&q, b)
	switch {
	case b.hurry:
		b.advance(&q, parts)
	case b.wait:
		q.Queue(b.s.q(sqlLock), b.s.rooms, keys).Query(b.readRooms)
	default:
		q.Queue(b.s.q(sqlLockFree), b.s.rooms, keys).Query(b.readRooms)
	}
	w.queue(&q, b)
	if err := b.conn.SendBatch(ctx, &q).Close(); err != nil {
		return nil, err
	}
	if b.nameless {
		b.rollback()
		return nil, cmp.Or(b.s.nameLife(ctx, b.conn), errLife)
	}
	if b.hurry && b.behind(parts) {
		return nil, errLife
	}
	for key := range made {
		if st := b.byKey[key]; st != nil {
			st.exists = false // until its change is applied
		}
	}
	return b.absent(ctx, parts, keys)
}

// begin starts the transaction, within bounds that the server keeps itself,
// should this process be cut off.
func (b *batch) begin(q *pgx.Batch) {
	limit := b.s.opt.LockTimeout
	if b.hurry {
		limit = min(limit, hurryLimit)
	}
	q.Queue("begin")
	q.Queue(sqlBounds, ms(limit), ms(b.s.opt.Timeout))
}

func ms(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }

func (b *batch) readRooms(rows pgx.Rows) error {
	for rows.Next() {
		var t roomTargets
		var life int64
		var now pgtype.Int8
		if err := rows.Scan(append(t.into(), &life, &now)...); err != nil {
			return err
		}
		st := &state{room: t.take(), exists: true, now: now.Int64}
		st.life = life
		b.nameless = b.nameless || !now.Valid
		st.was = st.head()
		st.row = st.was
		b.byKey[st.key] = st
	}
	return rows.Err()
}

// absent tells the rooms that are not there, which get an empty state, from
// those that are locked.
func (b *batch) absent(ctx context.Context, parts []part, keys []string) (locked []part, err error) {
	there := make(map[string]bool)
	if len(b.byKey) < len(parts) && !b.wait && !b.hurry {
		rows, err := b.conn.Query(ctx, b.s.q(sqlThere), keys)
		if err != nil {
			return nil, err
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		for _, key := range found {
			there[key] = true
		}
	}
	for _, p := range parts {
		key := p.line.key
		if b.byKey[key] == nil {
			if there[key] {
				locked = append(locked, p)
				continue
			}
			b.byKey[key] = &state{room: room{key: key}}
		}
		b.rooms = append(b.rooms, b.byKey[key])
	}
	return locked, nil
}

// wanted is what changes are about.
type wanted struct {
	newIDs, nonces bool // also of messages that are to be added

	idKeys, ids []string
	hashKeys    []string
	hashes      [][]byte
	rooms       []string // to be made
}

func (w *wanted) collect(p part) {
	key := p.line.key
	for _, j := range p.jobs {
		for i := range j.changes {
			c := &j.changes[i]
			if len(c.Message.ID) > maxID || !storable(c.Message.ID) {
				continue // check refuses it
			}
			switch c.Kind {
			case chat.ChangeCreateRoom:
				if len(w.rooms) == 0 || w.rooms[len(w.rooms)-1] != key {
					w.rooms = append(w.rooms, key)
				}
			case chat.ChangeEdit, chat.ChangeDelete:
				w.idKeys, w.ids = append(w.idKeys, key), append(w.ids, c.Message.ID)
			case chat.ChangeCreate:
				if w.newIDs {
					w.idKeys, w.ids = append(w.idKeys, key), append(w.ids, c.Message.ID)
				}
				if hash := nonceHash(c.Message.User, c.Message.Nonce); hash != nil {
					w.hashKeys, w.hashes = append(w.hashKeys, key), append(w.hashes, hash)
				}
			}
		}
	}
}

// make inserts the rows of rooms that are to be made, before they are locked:
// empty ones, for the transaction to fill. It returns which were not there.
func (w *wanted) make(q *pgx.Batch, b *batch) map[string]bool {
	if len(w.rooms) == 0 {
		return nil
	}
	made := make(map[string]bool)
	for _, key := range w.rooms {
		q.Queue(b.s.q(sqlMakeRoom), b.s.rooms, key, newEpoch()).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				made[key] = true
			}
			return rows.Err()
		})
	}
	return made
}

func (w *wanted) queue(q *pgx.Batch, b *batch) {
	if len(w.ids) > 0 {
		q.Queue(b.s.q(sqlByID), w.idKeys, w.ids).Query(b.readMessages)
	}
	if len(w.hashes) > 0 {
		if w.nonces {
			q.Queue(b.s.q(sqlByHash), w.hashKeys, w.hashes).Query(b.readMessages)
		}
		q.Queue(b.s.q(sqlTrimmed), w.hashKeys, w.hashes).Query(b.readTrimmed)
	}
}

func (b *batch) readMessages(rows pgx.Rows) error {
	var key string
	var hash []byte
	var t messageTargets
	into := append([]any{&key, &hash}, t.into()...)
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if st := b.byKey[key]; st != nil {
			st.keep(&stored{Message: b.s.message(&t, st.info.ID), hash: hash})
		}
		hash = nil
	}
	return rows.Err()
}

func (b *batch) readTrimmed(rows pgx.Rows) error {
	for rows.Next() {
		var key, kind string
		m := &stored{stub: true}
		if err := rows.Scan(&key, &m.hash, &m.Seq, &m.FirstRev, &m.CreatedAt, &m.ID, &kind); err != nil {
			return err
		}
		m.Kind, m.Rev, m.CreatedAt = chat.MessageKind(kind), m.FirstRev, m.CreatedAt.UTC()
		if st := b.byKey[key]; st != nil {
			st.keep(m)
		}
	}
	return rows.Err()
}
