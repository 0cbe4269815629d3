package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/safelog"
	"github.com/gabblehq/chat/internal/steady"
)

// Options say how a Store works. Zero means the default.
type Options struct {
	// Schema is the name of the database's schema that holds all tables.
	// Default: "gabble". Stores of different schemas have nothing in common.
	Schema string

	// NoMigrate leaves the tables to the host: New only checks that they are
	// as this code needs them. See [Migrate] and [Schema].
	NoMigrate bool

	// MaxMessages is how many messages each room keeps, the newest. Default:
	// all.
	MaxMessages int

	// MaxAge is how long messages are kept after their CreatedAt. Then they
	// are shown no more, and they go within a minute or so. Default: for ever.
	MaxAge time.Duration

	// LockTimeout is how long a change waits for a room that somebody else
	// has locked. Default: 300 ms.
	LockTimeout time.Duration

	// Timeout is how long a call takes at most, but that of a caller whose
	// context ends before. Default: 5 s.
	Timeout time.Duration

	// Logger gets what no caller is told. Default: slog.Default().
	Logger *slog.Logger
}

const (
	defaultLockTimeout = 300 * time.Millisecond
	defaultTimeout     = 5 * time.Second
)

// settle checks the options and fills in the defaults.
func (o Options) settle() (Options, error) {
	var err error
	if o.Schema, err = schemaName(o.Schema); err != nil {
		return o, err
	}
	if o.MaxMessages < 0 || o.MaxAge < 0 || o.LockTimeout < 0 || o.Timeout < 0 {
		return o, errors.New("postgres: Options: MaxMessages, MaxAge, LockTimeout and Timeout must not be negative")
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	o.Logger = safelog.New(o.Logger)
	return o, nil
}

// Store is a [chat.Store] in PostgreSQL. Make one with [New], [NewWith],
// [Open] or [OpenWith], and close it. It is also a [chat.RoomLister], a [chat.RoomRemover],
// a [chat.EpochStarter], a [chat.Watcher], a [chat.PresenceKeeper] and a
// [chat.Checker]. What it returns is the caller's own.
type Store struct {
	opt  Options
	log  *slog.Logger
	pool *pgxpool.Pool
	owns bool

	channel string   // of NOTIFY
	rooms   string   // the table's name, see sqlLife
	texts   sync.Map // see q

	queue  queue
	work   sync.WaitGroup
	ending context.Context // ends when Close begins
	end    context.CancelFunc
	wake   chan struct{} // for the mover: there may be something in the outbox

	spoilt sync.Once // logged once
	said   complaints
	trial  trial

	start time.Time    // what since counts from
	clock steady.Clock // that messages age by

	duplicate atomic.Int64 // when a nonce last came again unexpectedly, see wary
	locked    atomic.Int64 // when a room was last found locked in a hurry, see hurried
}

var (
	_ chat.Store          = (*Store)(nil)
	_ chat.DirectLister   = (*Store)(nil)
	_ chat.RoomLister     = (*Store)(nil)
	_ chat.RoomRemover    = (*Store)(nil)
	_ chat.EpochStarter   = (*Store)(nil)
	_ chat.Watcher        = (*Store)(nil)
	_ chat.PresenceKeeper = (*Store)(nil)
	_ chat.Checker        = (*Store)(nil)
)

// New returns a Store that borrows the pool, with the default Options. Close
// the Store before the pool.
func New(ctx context.Context, pool *pgxpool.Pool) (*Store, error) {
	return NewWith(ctx, pool, Options{})
}

// NewWith returns a Store that borrows the pool. It makes the tables or brings
// them up to date, unless Options.NoMigrate says otherwise. ctx is for this
// call alone.
func NewWith(ctx context.Context, pool *pgxpool.Pool, o Options) (*Store, error) {
	o, err := o.settle()
	if err != nil {
		return nil, err
	}
	if pool.Config().ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return nil, errors.New("postgres: the pool uses the simple protocol, which mixes values into statements; use pgx.QueryExecModeExec")
	}
	s := &Store{
		opt: o, start: time.Now(), log: o.Logger, pool: pool,
		channel: o.Schema + "_chat", rooms: quoted(o.Schema) + ".rooms", wake: make(chan struct{}, 1),
	}
	if err := s.setUp(ctx); err != nil {
		return nil, setupError(ctx, "opening the store", err)
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.queue.init()
	together, alone := writers(pool)
	for range together {
		s.work.Go(func() { s.write(s.queue.take, false) })
	}
	for range alone {
		s.work.Go(func() { s.write(s.queue.takeAlone, true) })
	}
	s.work.Go(s.moveAll)
	s.work.Go(s.tidy)
	return s, nil
}

// Open connects to a URL like postgres://user:secret@host/db, or to what a
// keyword/value string names, and returns a Store that owns its connections,
// with the default Options. The parameters of pgxpool.ParseConfig, such as
// pool_max_conns, apply. See [OpenWith].
func Open(ctx context.Context, url string) (*Store, error) {
	return OpenWith(ctx, url, Options{})
}

// OpenWith is Open with options. ctx is for this call alone.
func OpenWith(ctx context.Context, url string, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("postgres: this is not a connection string; it looks like postgres://user:secret@host:5432/database")
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, setupError(ctx, "opening the store", err)
	}
	s, err := NewWith(ctx, pool, o)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.owns = true
	return s, nil
}

// Close waits for the calls that have begun and lets go of everything. Calls
// that come later, and those of Watch, fail. The error is always nil.
func (s *Store) Close() error {
	s.end()
	s.queue.close()
	s.work.Wait()
	if s.owns {
		s.pool.Close()
	}
	return nil
}

func (s *Store) setUp(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var number, encoding string
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num'), current_setting('server_encoding')`).Scan(&number, &encoding); err != nil {
		return err
	}
	if n, err := strconv.Atoi(number); err != nil || n < 130000 {
		return mistake("the server is too old: PostgreSQL 13 is the oldest that will do")
	}
	if encoding != "UTF8" {
		return mistake(fmt.Sprintf("the database's encoding is %s; messages need UTF8", encoding))
	}
	if s.opt.NoMigrate {
		return checkVersion(ctx, conn, s.opt.Schema)
	}
	return migrate(ctx, conn.Conn(), s.opt.Schema)
}

// q is the statement with the name of the schema in it.
func (s *Store) q(sql string) string {
	if text, ok := s.texts.Load(sql); ok {
		return text.(string)
	}
	text := qualify(sql, s.opt.Schema)
	s.texts.Store(sql, text)
	return text
}

// view is a statement with these arguments that reads ~.rooms r, and shows no
// message that is too old.
func (s *Store) view(sql string, args ...any) (string, []any) {
	if s.opt.MaxAge == 0 {
		return s.q(sql), args
	}
	args = append(args, s.clock.Now().Add(-s.opt.MaxAge))
	type viewed string
	if text, ok := s.texts.Load(viewed(sql)); ok {
		return text.(string), args
	}
	aged := fmt.Sprintf(sqlAgedRooms, len(args))
	text := qualify(strings.ReplaceAll(sql, "~.rooms r", aged+" r"), s.opt.Schema)
	s.texts.Store(viewed(sql), text)
	return text, args
}

// bounded is a context that ends with ctx, or when a call has taken too long.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opt.Timeout)
}

// read runs f on a connection, once more where it was only a connection that
// had ended.
func (s *Store) read(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	if err := alive(ctx); err != nil {
		return err
	}
	if s.ending.Err() != nil {
		return errClosed
	}
	bound, cancel := s.bounded(ctx)
	defer cancel()
	err := s.retry(bound, func() error { return s.with(bound, f) })
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return gaveUp(ctx)
	}
	s.complain(err)
	return unavailable(err)
}

// retry tries f again while that may help: a few times, and a little later
// each time.
func (s *Store) retry(ctx context.Context, f func() error) error {
	for pause := 5 * time.Millisecond; ; pause *= 3 {
		err := f()
		if err == nil || !passing(err) || pause > 200*time.Millisecond {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-s.ending.Done():
			return err
		case <-time.After(pause):
		}
	}
}
