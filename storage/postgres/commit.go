package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// commit writes what has become of the rooms and ends the transaction. written
// says whether it may have been written although there is an error: the
// statements go out together, and only the server's own refusal of one that
// comes before the last says that the last was never reached.
func (b *batch) commit(ctx context.Context, extra func(*pgx.Batch)) (written bool, err error) {
	var q pgx.Batch
	before := 0 // statements that have succeeded
	b.writeMessages(&q)
	b.writeRooms(&q)
	b.tell(&q)
	if extra != nil {
		extra(&q)
	}
	q.Queue(sqlPatient)
	last := q.Len()
	q.Queue("commit")
	results := b.conn.SendBatch(ctx, &q)
	for ; before <= last; before++ {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	closing := results.Close()
	b.closed = err == nil
	if err == nil {
		return true, nil // whatever happens to the connection afterwards
	}
	refused := sqlState(err) != "" && (before < last || sqlState(err) == lockNotAvailable)
	if before == last && sqlState(err) == "" && !errors.Is(err, closing) {
		err = errors.Join(err, closing)
	}
	return !refused, err
}

// rollback ends a transaction that has not been committed. A connection on
// which that fails is closed by the pool.
func (b *batch) rollback() {
	if b.closed || b.conn.IsClosed() || b.conn.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = b.conn.Exec(ctx, "rollback")
}

// messageRows are the columns of newMessages.
type messageRows struct {
	room, seq, rev, firstRev                      []int64
	created                                       []time.Time
	edited, deleted                               []*time.Time
	id, user, kind, nonce, content, reply, thread []string
	mentions, attachments, meta                   []string
	hash                                          [][]byte
}

// grow makes space for so many plain messages.
func (r *messageRows) grow(n int) {
	r.room, r.seq, r.rev, r.created = make([]int64, 0, n), make([]int64, 0, n), make([]int64, 0, n), make([]time.Time, 0, n)
	r.id, r.user, r.kind = make([]string, 0, n), make([]string, 0, n), make([]string, 0, n)
	r.nonce, r.content, r.hash = make([]string, 0, n), make([]string, 0, n), make([][]byte, 0, n)
}

// plain reports whether the message is nothing but what most are: new, and
// with no more to it than its content.
func (m *stored) plain() bool {
	return m.Rev == m.FirstRev && m.ReplyTo == "" && m.Thread == "" && len(m.Mentions) == 0 && len(m.Attachments) == 0 && len(m.Meta) == 0
}

func (r *messageRows) addPlain(room int64, m *stored) {
	r.room, r.seq, r.rev = append(r.room, room), append(r.seq, m.Seq), append(r.rev, m.Rev)
	r.created, r.hash = append(r.created, m.CreatedAt), append(r.hash, m.hash)
	r.id, r.user, r.kind = append(r.id, m.ID), append(r.user, m.User), append(r.kind, string(m.Kind))
	r.nonce, r.content = append(r.nonce, m.Nonce), append(r.content, m.Content)
}

func (r *messageRows) add(room int64, m *stored) {
	r.room, r.seq = append(r.room, room), append(r.seq, m.Seq)
	r.rev, r.firstRev = append(r.rev, m.Rev), append(r.firstRev, m.FirstRev)
	r.created = append(r.created, m.CreatedAt)
	r.edited, r.deleted = append(r.edited, orNil(m.EditedAt)), append(r.deleted, orNil(m.DeletedAt))
	r.id, r.user, r.kind = append(r.id, m.ID), append(r.user, m.User), append(r.kind, string(m.Kind))
	r.nonce, r.content = append(r.nonce, m.Nonce), append(r.content, m.Content)
	r.reply, r.thread = append(r.reply, m.ReplyTo), append(r.thread, m.Thread)
	r.mentions = append(r.mentions, mentionsJSON(m.Mentions))
	r.attachments, r.meta = append(r.attachments, attachmentsJSON(m.Attachments)), append(r.meta, string(m.Meta))
	r.hash = append(r.hash, m.hash)
}

func (r *messageRows) queuePlain(q *pgx.Batch, sql string) {
	if len(r.room) > 0 {
		q.Queue(sql, r.plain()...)
	}
}

// plain are the arguments of sqlInsertPlain.
func (r *messageRows) plain() []any {
	return []any{r.room, r.seq, r.rev, r.created, r.id, r.user, r.kind, r.nonce, r.content, r.hash}
}

func (r *messageRows) queue(q *pgx.Batch, sql string) {
	if len(r.room) > 0 {
		q.Queue(sql, r.room, r.seq, r.rev, r.firstRev, r.created, r.edited, r.deleted, r.id, r.user, r.kind, r.nonce,
			r.content, r.reply, r.thread, r.mentions, r.attachments, r.meta, r.hash)
	}
}

func (b *batch) writeMessages(q *pgx.Batch) {
	var plain, added, changed messageRows
	n := 0
	for _, st := range b.rooms {
		n += len(st.added)
	}
	plain.grow(n)
	for _, st := range b.rooms {
		for _, m := range st.added {
			if m.plain() {
				plain.addPlain(st.id, m)
			} else {
				added.add(st.id, m)
			}
		}
		for _, m := range st.changed {
			changed.add(st.id, m)
		}
	}
	plain.queuePlain(q, b.s.q(sqlInsertPlain))
	added.queue(q, b.s.q(sqlInsert))
	changed.queue(q, b.s.q(sqlUpdate))
}

func (b *batch) writeRooms(q *pgx.Batch) {
	var ids, revs, seqs, full, bases []int64
	var epochs []string
	for _, st := range b.rooms {
		if st.exists && st.head() != st.row {
			ids, epochs = append(ids, st.id), append(epochs, st.epoch)
			revs, seqs = append(revs, st.rev), append(seqs, st.seq)
		}
		if !st.moved() {
			continue
		}
		if st.renewed {
			q.Queue(b.s.q(sqlRenew), st.id, st.life, packPast(st.past))
		}
		if st.resets {
			i := &st.info
			q.Queue(b.s.q(sqlUpdateRooms), st.id, i.ID, string(i.Kind), i.Title, i.Topic, i.Avatar, i.Peers, string(i.Meta),
				i.CreatedBy, i.CreatedAt, i.Rev)
		}
		if most := int64(b.s.opt.MaxMessages); most > 0 && st.seq-st.base+1 > most {
			full, bases = append(full, st.id), append(bases, st.seq-most+1)
		}
	}
	if len(ids) > 0 {
		q.Queue(b.s.q(sqlMoveHeads), ids, epochs, revs, seqs)
	}
	if len(full) > 0 {
		q.Queue(b.s.q(sqlTrim), full, bases, b.s.clock.Now())
	}
}

// tell notes for those who watch where the rooms have moved, and wakes them.
func (b *batch) tell(q *pgx.Batch) {
	var hints []headHint
	for _, st := range b.rooms {
		if st.moved() {
			hints = append(hints, headHint{st.key, st.position()})
		}
	}
	b.s.queueHints(q, packHeads(hints))
}
