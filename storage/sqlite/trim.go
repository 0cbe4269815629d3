package sqlite

import (
	"database/sql/driver"
	"time"

	"github.com/gabblehq/chat"
)

// What one transaction trims or clears away at most beyond what it has added,
// so that nobody waits long for it. Where the log has no room for so much, it is
// fewer.
const (
	trimChunk  = 1000
	sweepRooms = 100
)

// How long the writer rests between sweeps, and between the parts of one.
const (
	sweepEvery = time.Minute
	sweepPause = 20 * time.Millisecond
)

// sweep is how far the writer is with clearing away, in idle rooms too.
type sweep struct {
	due   time.Time // when to go through the rooms again
	after int64     // the rooms.pk that it has come to
	rooms bool      // there are rooms behind that
	more  bool      // removed rooms or old nonces may be left
	hurry bool      // what a removed room took is waited for
}

// again says when a sweep of the rooms follows one that is done. It is only
// for the space: nobody is shown what is too old.
func (o *settled) again(now time.Time) time.Time {
	if o.MaxAge == 0 {
		return now.AddDate(100, 0, 0) // whoever adds a message keeps the bound
	}
	return now.Add(min(max(o.MaxAge/10, sweepEvery), time.Hour))
}

// trims reports whether retention is on.
func (o *settled) trims() bool { return o.MaxMessages > 0 || o.MaxAge > 0 }

// tooOld is the time before which messages have outlived MaxAge.
func (o *settled) tooOld(now time.Time) int64 { return millis(now.Add(-o.MaxAge)) }

// trim lets go of the room's oldest messages that are too many or too old, at
// most a chunk more than have just been added.
func (w *writer) trim(r *roomState, added int) error {
	if err := w.inserts.flush(w.conn); err != nil {
		return err
	}
	upto := r.oldest - 1
	most := upto + int64(w.chunk+added)
	if w.opts.MaxMessages > 0 {
		upto = max(upto, min(r.head.Seq-int64(w.opts.MaxMessages), most))
	}
	if w.opts.MaxAge > 0 {
		aged, err := w.aged(r, upto, most)
		if err != nil {
			return err
		}
		upto = max(upto, aged)
	}
	if upto < r.oldest {
		return nil
	}
	return w.cut(r, upto)
}

// aged returns the seq of the last of the messages after a seq that are too
// old, up to the first that is not.
func (w *writer) aged(r *roomState, after, most int64) (int64, error) {
	limit := w.opts.tooOld(w.now)
	err := w.conn.query(func(v []driver.Value) error {
		if at, _ := v[1].(int64); at >= limit {
			return errStop
		}
		after, _ = v[0].(int64)
		return nil
	}, "SELECT seq, created_at FROM messages WHERE room = ? AND seq > ? AND seq <= ? ORDER BY seq", r.pk, after, most)
	return after, err
}

// cut trims the messages up to a seq. Their nonces stay known.
func (w *writer) cut(r *roomState, upto int64) error {
	_, err := w.conn.exec(`INSERT OR REPLACE INTO trimmed (room, nonce_key, seq, first_rev, id, kind, created_at, trimmed_at)
		SELECT room, nonce_key, seq, first_rev, id, kind, created_at, ? FROM messages
		WHERE room = ? AND seq <= ? AND nonce_key IS NOT NULL`, millis(w.now), r.pk, upto)
	if err != nil {
		return err
	}
	floor, err := w.conn.number("SELECT first_rev FROM messages WHERE room = ? AND seq = ?", r.pk, upto)
	if err != nil {
		return err
	}
	r.floor, r.oldest = max(r.floor, floor), upto+1
	w.touch(r)
	_, err = w.conn.exec("DELETE FROM messages WHERE room = ? AND seq <= ?", r.pk, upto)
	return err
}

// maintain clears away a bounded part of what nobody sees any more, and says
// when to be called again.
func (w *writer) maintain() time.Duration {
	last := w.sweep
	err := w.transact(func() error {
		if w.opts.trims() && !time.Now().Before(w.sweep.due) {
			if err := w.sweepRooms(); err != nil {
				return err
			}
		}
		return w.clear()
	})
	if err != nil {
		w.sweep = last
		if w.space.full && w.chunk > 1 { // fewer at a time may fit
			return sweepPause
		}
		return sweepEvery
	}
	w.chunk = min(w.chunk*2, trimChunk)
	if w.sweep.more || w.sweep.rooms {
		return sweepPause
	}
	// What lies in the log of a server that rests is carried over while there
	// is room for it.
	if _, err := w.conn.number("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		w.log.Debug("sqlite: carrying the log over", "path", w.path, "error", err)
	}
	return sweepEvery
}

// sweepSQL looks at the oldest message of each of the next rooms.
const sweepSQL = `SELECT r.pk, r.key, h.seq, m.seq, m.created_at FROM ` + roomTables + `
	LEFT JOIN messages m ON m.room = r.pk AND m.seq = (SELECT seq FROM messages WHERE room = r.pk ORDER BY seq LIMIT 1)
	WHERE r.pk > ? ORDER BY r.pk LIMIT ?`

// sweepRooms trims the next rooms, of which nobody may have heard for long.
func (w *writer) sweepRooms() error {
	var keys []string
	n, after := 0, w.sweep.after
	err := w.conn.query(func(v []driver.Value) error {
		d := decoder{v: v}
		n++
		after = d.int()
		key, head := d.text(), d.int()
		if v[3] == nil {
			return nil
		}
		kept, at := head-d.int()+1, d.int()
		if w.opts.MaxMessages > 0 && kept > int64(w.opts.MaxMessages) || w.opts.MaxAge > 0 && at < w.opts.tooOld(w.now) {
			keys = append(keys, key)
		}
		return nil
	}, sweepSQL, after, int64(sweepRooms))
	if err != nil {
		return err
	}
	for _, key := range keys {
		r, err := w.room(key)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		before := r.oldest
		if err := w.trim(r, 0); err != nil {
			return err
		}
		if r.oldest-before >= int64(w.chunk) { // there may be more of it
			w.sweep.after, w.sweep.rooms = r.pk-1, true
			return nil
		}
	}
	w.sweep.after, w.sweep.rooms = after, n == sweepRooms
	if !w.sweep.rooms {
		w.sweep.after, w.sweep.due = 0, w.opts.again(time.Now())
	}
	return nil
}

// clear deletes a part of removed rooms and of nonces that have outlived
// their time.
func (w *writer) clear() error {
	res, err := w.conn.exec(`DELETE FROM trimmed WHERE (room, nonce_key) IN
		(SELECT room, nonce_key FROM trimmed WHERE trimmed_at < ? ORDER BY trimmed_at LIMIT ?)`,
		millis(w.now.Add(-chat.NonceTTL)), int64(w.chunk))
	if err != nil {
		return err
	}
	n, _ := res.RowsAffected()
	w.sweep.more = n >= int64(w.chunk)
	room, err := w.conn.number("SELECT room FROM removed ORDER BY room LIMIT 1")
	if err != nil || room == 0 {
		return err
	}
	w.sweep.more = true
	for _, table := range [...]string{"messages", "trimmed"} {
		res, err := w.conn.exec("DELETE FROM "+table+" WHERE room = ? AND "+key(table)+
			" IN (SELECT "+key(table)+" FROM "+table+" WHERE room = ? LIMIT ?)", room, room, int64(w.chunk))
		if err != nil {
			return err
		}
		if n, _ := res.RowsAffected(); n >= int64(w.chunk) {
			return nil
		}
	}
	_, err = w.conn.exec("DELETE FROM removed WHERE room = ?", room)
	return err
}

// key is the column that tells the rows of one room apart.
func key(table string) string {
	if table == "messages" {
		return "seq"
	}
	return "nonce_key"
}
