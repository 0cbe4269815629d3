package sqlite

import (
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gabblehq/chat"
)

// Open opens the database in the file, or makes it, with the default Options.
func Open(path string) (*Store, error) { return OpenWith(path, Options{}) }

// OpenWith opens the database in the file, or makes it. The file is this
// Store's alone until Close: a second one, of this process or another, is
// refused.
func OpenWith(path string, o Options) (*Store, error) {
	opts, err := settle(o)
	if err != nil {
		return nil, err
	}
	return openSettled(path, opts)
}

func openSettled(path string, opts settled) (*Store, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	s, err := open(path, opts)
	if err != nil {
		lock.release()
		return nil, err
	}
	s.lock = lock
	return s, nil
}

func open(path string, opts settled) (*Store, error) {
	c, from, err := openFile(path, opts)
	if noSpace(err) {
		(&source{path: path}).giveUp()
		c, from, err = openFile(path, opts)
	}
	if err != nil {
		return nil, openError(path, err)
	}
	s := &Store{
		path: path, opts: opts,
		readers: newReaders(from, opts.Readers),
		queue:   &queue{wake: make(chan struct{}, 1)},
		written: make(chan struct{}),
		logged:  make(map[place]struct{}),
	}
	w := &writer{
		source: from, opts: opts, log: opts.Logger, queue: s.queue, conn: c, life: rand.Text(),
		rooms: make(map[string]*roomState), inserts: newInserts(), chunk: trimChunk,
	}
	w.space.spent = !w.keep()
	go func() {
		defer close(s.written)
		w.run()
	}()
	return s, nil
}

func openFile(path string, opts settled) (*conn, source, error) {
	var from source
	c, err := connect(path, opts.pragmas()...)
	if err != nil {
		return nil, from, err
	}
	if err = prepareFile(c, path, opts.NoMigrate); err == nil {
		from, err = newSource(path, opts)
	}
	if err != nil {
		_ = c.close()
		return nil, from, err
	}
	return c, from, nil
}

// resolve makes the path one name of the file, so that a lock on it is one.
func resolve(path string) (string, error) {
	switch {
	case path == "" || path == ":memory:":
		return "", chat.Errorf(chat.CodeInvalid, "sqlite: %q names no file; for rooms in memory use memory.New() of storage/memory", path)
	case strings.HasPrefix(path, "file:"):
		return "", chat.Errorf(chat.CodeInvalid, "sqlite: %q is a URI; give the file's path, and settings in Options", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", chat.Errorf(chat.CodeUnavailable, "sqlite: %s: %v", path, err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", chat.Errorf(chat.CodeUnavailable, "sqlite: the directory of %s: %v", path, err)
	}
	abs = filepath.Join(dir, filepath.Base(abs))
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return abs, nil
	}
	if err != nil {
		return "", chat.Errorf(chat.CodeUnavailable, "sqlite: %s: %v", path, err)
	}
	if info, err := os.Stat(real); err == nil && info.IsDir() {
		return "", chat.Errorf(chat.CodeInvalid, "sqlite: %s is a directory; name a file in it", path)
	}
	return real, nil
}

// prepareFile brings the file into the state that a Store needs.
func prepareFile(c *conn, path string, noMigrate bool) error {
	var mode string
	_, err := c.one(func(v []driver.Value) error {
		mode, _ = v[0].(string)
		return nil
	}, "PRAGMA journal_mode = wal")
	if err != nil {
		return err
	}
	if mode != "wal" {
		return chat.Errorf(chat.CodeUnsupported, "sqlite: %s cannot have a write-ahead log (it has journal_mode %q); network file systems cannot, use a local disk", path, mode)
	}
	return migrate(c, path, noMigrate)
}

// openError says what is wrong with the file and what to do.
func openError(path string, err error) error {
	switch primary(err) {
	case sqlite3.SQLITE_NOTADB:
		return chat.Errorf(chat.CodeUnavailable, "sqlite: %s is not a SQLite database, or its start has been overwritten; move it away, or put a backup in its place", path).WithCause(opaque(err))
	case sqlite3.SQLITE_CORRUPT:
		return chat.Errorf(chat.CodeUnavailable, "sqlite: the database %s is damaged; put a backup in its place, or save what can be read with: sqlite3 %s .recover", path, path).WithCause(opaque(err))
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return chat.Errorf(chat.CodeUnavailable, "sqlite: %s cannot be opened for writing; check that file and directory are writable", path).WithCause(opaque(err))
	}
	if noSpace(err) {
		return chat.Errorf(chat.CodeUnavailable, "sqlite: the volume %s is full, and %s cannot be opened; free a few megabytes on it", mountPoint(path), path).WithCause(opaque(err))
	}
	var e *chat.Error
	if errors.As(err, &e) {
		return err
	}
	return chat.Errorf(chat.CodeUnavailable, "sqlite: opening %s", path).WithCause(opaque(err))
}
