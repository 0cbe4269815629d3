package sqlite

import (
	"database/sql/driver"
	"strings"

	"github.com/gabblehq/chat"
)

// insertColumns begins with what only the writer knows.
const insertColumns = `room, seq, rev, first_rev, id, user, kind, content, nonce, nonce_key, created_at, reply_to, thread, mentions, attachments, meta`

const insertWidth = 16

// insertRows is how many rows go in one statement where there are enough:
// what a statement costs by itself is shared.
const insertRows = 8

// insertSQL fails at the first row that cannot be, without a journal of the
// statement: whoever runs it undoes all that it has done.
func insertSQL(rows int) string {
	row := "(?" + strings.Repeat(",?", insertWidth-1) + ")"
	return "INSERT OR FAIL INTO messages (" + insertColumns + ") VALUES " + row + strings.Repeat(","+row, rows-1)
}

// inserts collects new messages until something else wants to see them.
type inserts struct {
	sql  [2]string // of one row, and of insertRows
	rows [][insertWidth]driver.Value
	args []driver.Value
}

func newInserts() inserts {
	return inserts{
		sql:  [2]string{insertSQL(1), insertSQL(insertRows)},
		args: make([]driver.Value, 0, insertWidth*insertRows),
	}
}

func (in *inserts) add(room int64, m *chat.Message, c *change) {
	in.rows = append(in.rows, [insertWidth]driver.Value{room, m.Seq, m.Rev, m.FirstRev})
	copy(in.rows[len(in.rows)-1][4:], c.row[:])
}

func (in *inserts) clear() {
	clear(in.rows)
	in.rows = in.rows[:0]
}

// flush writes what has been collected.
func (in *inserts) flush(c *conn) error {
	rows := in.rows
	defer in.clear()
	for len(rows) > 0 {
		n, sql := 1, in.sql[0]
		if len(rows) >= insertRows {
			n, sql = insertRows, in.sql[1]
		}
		args := in.args[:0]
		for i := range rows[:n] {
			args = append(args, rows[i][:]...)
		}
		if _, err := c.exec(sql, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}
