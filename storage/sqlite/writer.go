package sqlite

import (
	"database/sql/driver"
	"log/slog"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// writer is the one goroutine that writes. It takes what has come together
// while it wrote, whatever the rooms, and commits it in one transaction: at
// light load nobody waits, under load many share the cost of a commit.
type writer struct {
	source
	opts  settled
	log   *slog.Logger
	queue *queue

	life string // see begin

	conn *conn // nil: to be opened
	// suspect: a write did not reach the disk for certain. What the log of the
	// database holds is carried over into the database, and that synced, before
	// anything is built on it.
	suspect bool
	sick    bool // writing fails, and that is logged
	space   space

	// rooms holds what the database holds of rooms lately written to. This
	// process alone writes, so it cannot go stale; it goes with a transaction
	// that fails.
	rooms   map[string]*roomState
	touched []*roomState // whose row is to be written in this transaction
	inserts inserts
	careful bool      // look before each change, see transact
	wrote   bool      // this transaction has written to a room
	probed  bool      // or only to see whether it can
	proved  time.Time // when that was last committed, zero after a failure
	now     time.Time

	sweep sweep
	chunk int // see trimChunk
}

// maxRooms bounds the rooms that the writer remembers.
const maxRooms = 8192

// run ends when the queue is closed and empty.
func (w *writer) run() {
	defer w.finish()
	timer := time.NewTimer(w.opts.rest)
	defer timer.Stop()
	var batch []*request
	for {
		var over bool
		if batch, over = w.queue.take(batch[:0]); over {
			return
		}
		if len(batch) > 0 {
			w.commit(batch)
			clear(batch)
			if w.sweep.hurry {
				w.sweep.hurry = false
				timer.Reset(sweepPause)
			}
			select {
			case <-timer.C:
				timer.Reset(w.maintain())
			default:
			}
			continue
		}
		select {
		case <-w.queue.wake:
		case <-timer.C:
			timer.Reset(w.maintain())
		}
	}
}

func (w *writer) close() {
	if w.conn != nil {
		_ = w.conn.close()
		w.conn = nil
	}
}

func (w *writer) finish() {
	if err := w.open(); err != nil {
		w.log.Error("sqlite: closing", "path", w.path, "error", err)
	}
	w.close()
}

// commit writes the requests in one transaction and answers them.
func (w *writer) commit(batch []*request) {
	err := w.transact(func() error { return w.apply(batch) })
	w.report(err)
	for _, r := range batch {
		if err != nil {
			r.results, r.err = nil, err
		}
		close(r.done)
	}
}

// transact runs f in a transaction, and returns an error for callers. Where
// there is no room for it, the log is carried over first, then the reserve given
// up: what deletes then goes on, and what adds is refused.
func (w *writer) transact(f func() error) error {
	err := w.try(f)
	if noSpace(err) && w.carry() {
		err = w.again(f, err)
	}
	if noSpace(err) && w.spend() {
		err = w.again(f, err)
		w.hold()
	}
	w.space.full = w.space.tight || noSpace(err)
	if noSpace(err) {
		w.chunk = max(w.chunk/4, 1)
	}
	if e, ok := err.(*commitError); ok {
		return unknown(e.error)
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// commitError is of a COMMIT that may have been done.
type commitError struct{ error }

func (e *commitError) Unwrap() error { return e.error }

// again tries once more, unless what failed may have been done.
func (w *writer) again(f func() error, err error) error {
	if _, ok := err.(*commitError); ok {
		return err
	}
	return w.try(f)
}

// try first trusts that nothing is there twice and lets the unique indexes find
// out; where they do, it starts again and looks before each change.
func (w *writer) try(f func() error) error {
	w.careful = w.space.tight
	err := w.attempt(f)
	if err != nil && !w.careful && !spoils(err) {
		w.careful = true
		err = w.attempt(f)
	}
	return err
}

func (w *writer) attempt(f func() error) error {
	if err := w.open(); err != nil {
		return err
	}
	if err := w.look(); err != nil {
		return err
	}
	w.now, w.wrote, w.probed = w.opts.clock.Now(), false, false
	_, err := w.conn.exec("BEGIN IMMEDIATE")
	if err == nil {
		err = f()
	}
	if err == nil {
		err = w.save()
	}
	if err == nil {
		if _, err = w.conn.exec("COMMIT"); err == nil {
			if w.wrote || w.probed {
				w.proved = time.Now()
			}
			w.forget()
			return nil
		}
		if primary(err) != sqlite3.SQLITE_FULL {
			w.rollback(true)
			w.suspect = true
			return &commitError{err}
		}
	}
	w.suspect = w.suspect || code(err) == sqlite3.SQLITE_IOERR_FSYNC
	w.rollback(w.suspect || primary(err) == sqlite3.SQLITE_IOERR)
	return err
}

// rollback leaves nothing of a transaction, and nothing of the connection
// either where that is in doubt.
func (w *writer) rollback(reopen bool) {
	w.proved = time.Time{}
	w.rooms = make(map[string]*roomState)
	w.touched = w.touched[:0]
	w.inserts.clear()
	_, err := w.conn.exec("ROLLBACK")
	// SQLite has rolled back by itself after some failures, and says that
	// there is nothing to roll back.
	if reopen || err != nil && primary(err) != sqlite3.SQLITE_ERROR {
		w.close()
	}
}

// forget bounds what is remembered of rooms.
func (w *writer) forget() {
	for key := range w.rooms {
		if len(w.rooms) <= maxRooms {
			return
		}
		delete(w.rooms, key)
	}
}

// open opens the connection if there is none, and makes sure that it is of the
// file that has the name.
func (w *writer) open() error {
	if err := w.check(); err != nil {
		return err
	}
	if w.conn != nil {
		return nil
	}
	c, err := connect(w.path, w.opts.pragmas()...)
	if err != nil {
		return err
	}
	if w.suspect {
		if err := checkpoint(c); err != nil {
			_ = c.close()
			return err
		}
		w.suspect = false
	}
	w.conn = c
	w.space.log, w.space.pinned = 0, false
	return nil
}

// checkpoint carries the whole log over into the database file, synced.
func checkpoint(c *conn) error {
	busy := false
	err := c.query(func(v []driver.Value) error {
		busy = v[0] != int64(0)
		return nil
	}, "PRAGMA wal_checkpoint(TRUNCATE)")
	if err == nil && busy {
		err = errBusy
	}
	return err
}

// report logs a failure once, and that it is over.
func (w *writer) report(err error) {
	switch {
	case w.space.full:
		if !w.sick {
			w.sick = true
			if err == nil {
				err = errFull // what adds has been refused, and the rest not
			}
			w.log.Error("sqlite: nothing can be written: the volume is full; free space on it or remove rooms, and writing goes on by itself",
				"volume", mountPoint(w.path), "path", w.path, "error", err)
		}
	case err != nil && !w.sick:
		w.sick = true
		w.log.Error("sqlite: nothing can be written", "path", w.path, "error", err)
	case err == nil && w.sick && w.wrote:
		w.sick = false
		w.log.Info("sqlite: writing again", "path", w.path)
	}
}
