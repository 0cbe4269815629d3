package sqlite

import (
	"strconv"
	"time"
)

// probeEvery is how often it is written for no other purpose, at most: a commit
// is as dear as one of a message.
const probeEvery = time.Second

// probe finds out whether something can be written, by writing a number that the
// file has anyway. A transaction that is rolled back would not: nothing of it
// reaches the disk.
func (w *writer) probe() error {
	if w.space.tight {
		return errFull
	}
	if !w.proved.IsZero() && time.Since(w.proved) < probeEvery {
		return nil
	}
	n, err := w.conn.number("PRAGMA user_version")
	if err != nil {
		return err
	}
	w.probed = true
	return w.conn.script("PRAGMA user_version = " + strconv.FormatInt(n, 10))
}
