package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// conn is one connection to the database, used by one goroutine at a time. It
// speaks to the driver without database/sql, whose pool and conversions cost
// more than many of the statements here. Its statements are prepared once.
type conn struct {
	raw   driver.Conn
	stmts map[string]*stmt
}

type stmt struct {
	raw interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
	args []driver.NamedValue // reused by every call
	row  []driver.Value
}

// connect opens the file, or makes it.
func connect(path string, pragmas ...string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn(path))
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	c := &conn{raw: raw, stmts: make(map[string]*stmt)}
	for _, p := range pragmas {
		if err := c.script("PRAGMA " + p); err != nil {
			_ = c.close()
			return nil, err
		}
	}
	return c, nil
}

// dsn writes an absolute path as the URI that SQLite reads it from.
func dsn(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/chat.db
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath()
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.raw.Close()
	}
	c.stmts = nil
	return c.raw.Close()
}

// script runs statements that are not worth keeping.
func (c *conn) script(sql string) error {
	_, err := c.raw.(driver.ExecerContext).ExecContext(context.Background(), sql, nil)
	return err
}

// patience is how long a statement waits for a lock.
func (c *conn) patience(d time.Duration) error {
	return c.script("PRAGMA busy_timeout = " + strconv.FormatInt(d.Milliseconds(), 10))
}

func (c *conn) prepare(sql string) (*stmt, error) {
	if s := c.stmts[sql]; s != nil {
		return s, nil
	}
	raw, err := c.raw.Prepare(sql)
	if err != nil {
		return nil, err
	}
	s := &stmt{}
	var ok bool
	if s.raw, ok = raw.(interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}); !ok {
		return nil, fmt.Errorf("%T lacks what the driver had", raw)
	}
	c.stmts[sql] = s
	return s, nil
}

// bind puts the arguments where the driver wants them.
func (s *stmt) bind(args []driver.Value) []driver.NamedValue {
	for len(s.args) < len(args) {
		s.args = append(s.args, driver.NamedValue{Ordinal: len(s.args) + 1})
	}
	for i, a := range args {
		s.args[i].Value = a
	}
	return s.args[:len(args)]
}

// free lets go of what the last call was given.
func (s *stmt) free() {
	for i := range s.args {
		s.args[i].Value = nil
	}
}

// exec runs a statement. The context of the call is not the driver's
// business: with one that can end, it starts a goroutine per statement.
func (c *conn) exec(sql string, args ...driver.Value) (driver.Result, error) {
	s, err := c.prepare(sql)
	if err != nil {
		return nil, err
	}
	res, err := s.raw.ExecContext(context.Background(), s.bind(args))
	s.free()
	return res, err
}

// errStop ends a query from within.
var errStop = errors.New("enough")

// query calls row with each row of the answer, whose values it may keep but
// not the slice. errStop from row ends the query without an error.
func (c *conn) query(row func(v []driver.Value) error, sql string, args ...driver.Value) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	rows, err := s.raw.QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return err
	}
	defer s.free()
	if s.row == nil {
		s.row = make([]driver.Value, len(rows.Columns()))
	}
	for {
		if err = rows.Next(s.row); err == nil {
			err = row(s.row)
		}
		if err != nil {
			break
		}
	}
	closed := rows.Close()
	if err == io.EOF || err == errStop {
		return closed
	}
	return err
}

// one is query for at most one row, and reports whether there was one.
func (c *conn) one(row func(v []driver.Value) error, sql string, args ...driver.Value) (found bool, err error) {
	err = c.query(func(v []driver.Value) error {
		found = true
		return row(v)
	}, sql, args...)
	return found, err
}

// number asks for a single number, 0 if there is no row or it is NULL.
func (c *conn) number(sql string, args ...driver.Value) (n int64, err error) {
	_, err = c.one(func(v []driver.Value) error {
		n, _ = v[0].(int64)
		return nil
	}, sql, args...)
	return n, err
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
