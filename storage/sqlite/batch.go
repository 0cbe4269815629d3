package sqlite

import (
	"database/sql/driver"

	"github.com/gabblehq/chat"
)

// apply makes the changes of all requests. An error spoils the transaction,
// or, unless the writer is careful, has come of one change that was expected
// to be possible.
func (w *writer) apply(batch []*request) error {
	for _, r := range batch {
		r.err, r.results = nil, nil
		var err error
		if w.careful {
			err = w.alone(r)
		} else {
			err = w.request(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alone makes the changes of one request so that its failure is only its own.
func (w *writer) alone(r *request) error {
	if _, err := w.conn.exec("SAVEPOINT request"); err != nil {
		return err
	}
	failed := w.request(r)
	if failed == nil {
		failed = w.save()
	}
	if failed != nil {
		if spoils(failed) {
			return failed
		}
		r.results, r.err = nil, unavailable(failed)
		w.inserts.clear()
		w.touched = w.touched[:0]
		delete(w.rooms, r.room)
		if _, err := w.conn.exec("ROLLBACK TO request"); err != nil {
			return err
		}
	}
	_, err := w.conn.exec("RELEASE request")
	return err
}

func (w *writer) request(r *request) error {
	if r.op == opCheck {
		return w.probe()
	}
	room, err := w.room(r.room)
	if err != nil {
		return err
	}
	switch {
	case r.op == opAppend:
		return w.append(r, room)
	case room == nil:
		r.err = errNoRoom
		return nil
	case r.op == opRemove:
		return w.remove(room)
	case r.op == opTrim:
		return w.trim(room, 0)
	}
	err = w.renew(room, nil)
	r.head = room.head
	return err
}

// save writes what has been collected.
func (w *writer) save() error {
	w.wrote = w.wrote || len(w.inserts.rows)+len(w.touched) > 0
	if err := w.inserts.flush(w.conn); err != nil {
		return err
	}
	for _, r := range w.touched {
		if !r.dirty {
			continue
		}
		r.dirty = false
		if _, err := w.conn.exec("UPDATE heads SET rev = ?, seq = ?, floor = ? WHERE room = ?", r.head.Rev, r.head.Seq, r.floor, r.pk); err != nil {
			return err
		}
	}
	w.touched = w.touched[:0]
	return nil
}

func (w *writer) touch(r *roomState) {
	if !r.dirty {
		r.dirty = true
		w.touched = append(w.touched, r)
	}
}

// room returns nil if there is none.
func (w *writer) room(key string) (*roomState, error) {
	if r := w.rooms[key]; r != nil {
		return r, nil
	}
	r, err := findRoom(w.conn, key, nil)
	if r == nil || err != nil {
		return nil, err
	}
	// Where nothing has been trimmed, the first message is the oldest.
	r.oldest = 1
	if r.floor > 0 {
		if r.oldest, err = oldest(w.conn, r); err != nil {
			return nil, err
		}
	}
	w.rooms[key] = r
	return r, nil
}

// findRoom returns nil if there is none. damaged, if it is set, is told of
// settings that are.
func findRoom(c *conn, key string, damaged func(room string, seq int64)) (r *roomState, err error) {
	_, err = c.one(func(v []driver.Value) error {
		var sound bool
		if r, sound = scanRoom(v, key); !sound && damaged != nil {
			damaged(key, 0)
		}
		return nil
	}, "SELECT "+roomColumns+" FROM "+roomTables+" WHERE r.key = ?", key)
	return r, err
}

// oldest is the seq of the oldest message kept, the next one if none is.
func oldest(c *conn, r *roomState) (int64, error) {
	seq, err := c.number("SELECT seq FROM messages WHERE room = ? ORDER BY seq LIMIT 1", r.pk)
	if err == nil && seq == 0 {
		seq = r.head.Seq + 1
	}
	return seq, err
}

// remove lets go of the room at once, and of what is in it by and by: another
// room does not wait for that, and one made anew under the key has another pk.
func (w *writer) remove(r *roomState) error {
	if err := w.save(); err != nil {
		return err
	}
	delete(w.rooms, r.key)
	for _, sql := range [...]string{"DELETE FROM rooms WHERE pk = ?", "DELETE FROM heads WHERE room = ?"} {
		if _, err := w.conn.exec(sql, r.pk); err != nil {
			return err
		}
	}
	w.sweep.hurry = w.sweep.hurry || w.sick || w.space.spent
	_, err := w.conn.exec("INSERT INTO removed (room) VALUES (?)", r.pk)
	return err
}

// append answers the changes one by one, each on what the one before has left.
func (w *writer) append(r *request, room *roomState) error {
	if room != nil && r.known.Epoch == room.head.Epoch && r.known.Rev > room.head.Rev {
		if err := w.begin(room); err != nil {
			return err
		}
	}
	r.results = make([]chat.Result, len(r.changes))
	added := 0
	for i := range r.changes {
		c, res := &r.changes[i], &r.results[i]
		var err error
		switch {
		case c.Kind == chat.ChangeCreateRoom:
			room, err = w.create(r.room, room, c, res)
		case room == nil:
			res.Err = errNoRoom
			continue
		case c.Kind == chat.ChangeUpdateRoom:
			err = w.update(room, c, res)
		case c.Kind == chat.ChangeCreate:
			added++
			err = w.add(room, c, res)
		case c.Kind == chat.ChangeEdit:
			err = w.edit(room, c, res)
		case c.Kind == chat.ChangeDelete:
			err = w.delete(room, c, res)
		default:
			res.Err = errChange
		}
		if err != nil {
			return err
		}
		res.Position = room.head
	}
	if room != nil && w.opts.trims() {
		return w.trim(room, added)
	}
	return nil
}
