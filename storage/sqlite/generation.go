package sqlite

import (
	"database/sql/driver"
	"strconv"

	sqlite3 "modernc.org/sqlite/lib"
)

// Where a power cut may have taken the end of logs, positions of clients that
// have seen that end must not look like positions in what is written next:
// all rooms are in new epochs. The epochs that are stored are not touched for
// that; a generation, which counts such losses, is part of each.

// begin notes that the file is open, synced whatever the mode, and returns
// what is to be added to stored epochs.
func begin(c *conn, mode Synchronous) (string, error) {
	var clean bool
	var last Synchronous
	var generation int64
	_, err := c.one(func(v []driver.Value) error {
		d := decoder{v: v}
		clean, last, generation = d.int() == 1, Synchronous(d.text()), d.int()
		return nil
	}, "SELECT clean, synchronous, generation FROM state")
	if err != nil {
		return "", err
	}
	if !clean && last != Full {
		generation++
	}
	for _, sql := range [...]string{
		"PRAGMA synchronous = full",
		"UPDATE state SET clean = 0, synchronous = '" + string(mode) + "', generation = " + strconv.FormatInt(generation, 10),
		"PRAGMA synchronous = " + string(mode),
	} {
		if err := c.script(sql); err != nil {
			return "", err
		}
	}
	if generation == 0 {
		return "", nil
	}
	return "." + strconv.FormatInt(generation, 10), nil
}

// end notes that nothing is missing. It is written behind all else, so that
// it is never there without that.
func end(c *conn) error {
	err := c.script("UPDATE state SET clean = 1")
	if primary(err) == sqlite3.SQLITE_FULL {
		return nil // the next one starts new epochs for nothing
	}
	return err
}
