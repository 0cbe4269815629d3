package sqlite

import (
	"context"
	"database/sql/driver"
	"slices"
	"time"

	"github.com/gabblehq/chat"
)

// Bare is a connection as the writer has it, to measure against.
type Bare struct {
	c    *conn
	path string
}

// NewBare opens a file with the schema in place.
func NewBare(path string, o Options) (*Bare, error) {
	opts, err := settle(o)
	if err != nil {
		return nil, err
	}
	c, err := connect(path, opts.pragmas()...)
	if err != nil {
		return nil, err
	}
	return &Bare{c, path}, prepareFile(c, path, false)
}

// Exec runs a statement, prepared once.
func (b *Bare) Exec(sql string, args ...driver.Value) error {
	_, err := b.c.exec(sql, args...)
	return err
}

// Close closes the connection.
func (b *Bare) Close() error { return b.c.close() }

// Number asks for one number.
func (b *Bare) Number(sql string) (int64, error) { return b.c.number(sql) }

// SweepEvery is how long the writer rests between sweeps.
const SweepEvery = sweepEvery

// OpenPatient is Open of a store that waits so long for another program that has
// the database locked, and does nothing but what it is asked for: clearing away
// would wait just so, and nothing be taken up meanwhile.
func OpenPatient(path string, patience time.Duration) (*Store, error) {
	opts, err := settle(Options{})
	if err != nil {
		return nil, err
	}
	opts.patience, opts.rest = patience, 24*time.Hour
	return openSettled(path, opts)
}

// Begin is an Append that says how far it is.
func (s *Store) Begin(ctx context.Context, room string, changes ...chat.Change) (inQueue, isTaken func() bool, done <-chan error) {
	r := &request{op: opAppend, room: room, changes: prepare(changes)}
	answer := make(chan error, 1)
	go func() { answer <- s.do(ctx, r) }()
	inQueue = func() bool {
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		return slices.Contains(s.queue.items, r)
	}
	return inQueue, func() bool { return r.state.Load() == taken }, answer
}

// NewEmpty opens a file without a schema.
func NewEmpty(path string) (*Bare, error) {
	c, err := connect(path)
	return &Bare{c, path}, err
}

// Script runs SQL.
func (b *Bare) Script(sql string) error { return b.c.script(sql) }

// OpenSmall is OpenWith of a database that may have so many pages, on a volume
// of which free says what is left; if it is nil, on the one that there is.
func OpenSmall(path string, o Options, pages int64, total int64, free func() int64) (*Store, error) {
	opts, err := settle(o)
	if err != nil {
		return nil, err
	}
	if pages > 0 {
		opts.maxPages = pages
	}
	if free != nil {
		opts.volume = func(string) (int64, int64, bool) { return free(), total, true }
	}
	return openSettled(path, opts)
}

// LogBound and ReserveSize are what the log and the reserve may take.
var (
	LogBound    = logBound
	ReserveSize = reserveSize
)

// Leap makes the wall clock that messages age by read as if somebody had set it
// ahead by d.
func (s *Store) Leap(d time.Duration) { s.opts.clock.Leap(d) }
