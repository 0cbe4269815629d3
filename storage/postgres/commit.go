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

func (r *messageRows) queue(q *pgx.Batch, sql string) {
	if len(r.room) > 0 {
		q.Queue(sql, r.room, r.seq, r.rev, r.firstRev, r.created, r.edited, r.deleted, r.id, r.user, r.kind, r.nonce,
			r.content, r.reply, r.thread, r.mentions, r.attachments, r.meta, r.hash)
	}
}

func (b *batch) writeMessages(q *pgx.Batch) {
	var added, changed messageRows
	for _, st := range b.rooms {
		for _, m := range st.added {
			added.add(st.id, m)
		}
		for _, m := range st.changed {
			changed.add(st.id, m)
		}
	}
	added.queue(q, b.s.q(sqlInsert))
	changed.queue(q, b.s.q(sqlUpdate))
}

func (b *batch) writeRooms(q *pgx.Batch) {
	var ids, revs, seqs, full, bases []int64
	var epochs []string
	for _, st := range b.rooms {
		if !st.moved() {
			continue
		}
		ids, epochs = append(ids, st.id), append(epochs, st.epoch)
		revs, seqs = append(revs, st.rev), append(seqs, st.seq)
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
		q.Queue(b.s.q(sqlTrim), full, bases)
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
