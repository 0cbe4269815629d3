package sqlite

import (
	"context"
	"log/slog"
	"math"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/safelog"
	"github.com/gabblehq/chat/internal/steady"
)

// Synchronous says what is on the disk when a message is acknowledged.
type Synchronous string

// The settings of Options.Synchronous.
const (
	// Full: everything that has been acknowledged survives a power cut.
	Full Synchronous = "full"
	// Normal: a power cut can take the last moments, whole transactions from
	// the end. Nothing else can: a process that is killed loses nothing. What
	// is left is sound. Faster where the disk is slow to sync.
	Normal Synchronous = "normal"
)

// Options say how a Store keeps its rooms. Zero means the default.
type Options struct {
	// MaxMessages is how many messages each room keeps, the newest. Default:
	// all.
	MaxMessages int

	// MaxAge is how long messages are kept after their CreatedAt. Default:
	// for ever.
	MaxAge time.Duration

	// Synchronous is Full or Normal. Default: Full.
	Synchronous Synchronous

	// Readers is how many reads go on at once, each with a connection of up to
	// 4 MB of cache. Default: 4, or the number of CPUs if that is more.
	Readers int

	// NoMigrate leaves the schema to the host, who runs the SQL of
	// [Migrations]. An older schema then is an error of OpenWith that holds
	// this SQL. Default: opening brings the schema up to date.
	NoMigrate bool

	// Logger gets what the host should know. Default: slog.Default().
	Logger *slog.Logger
}

// Store is a [chat.Store] in one file. Make one with [Open] or [OpenWith], and
// Close it after the server that uses it. It is also a [chat.RoomLister], a
// [chat.RoomRemover], a [chat.EpochStarter] and a [chat.Checker].
type Store struct {
	path string // absolute, without symbolic links
	opts settled

	lock    *fileLock
	readers *readers
	queue   *queue
	written chan struct{} // closed when the writer has ended

	closing sync.Once

	mu     sync.Mutex
	logged map[place]struct{} // damage that is known
}

// place is where something is damaged: a message, or with seq 0 the settings.
type place struct {
	room string
	seq  int64
}

var (
	_ chat.Store        = (*Store)(nil)
	_ chat.DirectLister = (*Store)(nil)
	_ chat.RoomLister   = (*Store)(nil)
	_ chat.RoomRemover  = (*Store)(nil)
	_ chat.EpochStarter = (*Store)(nil)
	_ chat.Checker      = (*Store)(nil)
)

// settled is Options with the defaults filled in.
type settled struct {
	Options
	patience time.Duration // with another program that has the database locked
	rest     time.Duration // before it first clears away
	clock    *steady.Clock // that messages and nonces age by
	maxPages int64         // that the database may have
	volume   func(path string) (free, total int64, known bool)
}

func settle(o Options) (settled, error) {
	switch o.Synchronous {
	case "":
		o.Synchronous = Full
	case Full, Normal:
	default:
		return settled{}, chat.Errorf(chat.CodeInvalid, "sqlite: Options.Synchronous is %q, not Full or Normal", o.Synchronous).WithField("Synchronous")
	}
	if o.MaxMessages < 0 {
		return settled{}, chat.Errorf(chat.CodeInvalid, "sqlite: Options.MaxMessages is %d, and 0 keeps all", o.MaxMessages).WithField("MaxMessages")
	}
	if o.MaxAge < 0 {
		return settled{}, chat.Errorf(chat.CodeInvalid, "sqlite: Options.MaxAge is %v, and 0 is for ever", o.MaxAge).WithField("MaxAge")
	}
	if o.Readers <= 0 {
		o.Readers = max(4, runtime.GOMAXPROCS(0))
	}
	o.Logger = safelog.New(o.Logger)
	return settled{Options: o, patience: 5 * time.Second, clock: new(steady.Clock), maxPages: math.MaxUint32 - 1, volume: volume}, nil
}

// pragmas are of the connection that writes.
func (o *settled) pragmas() []string {
	return []string{
		"busy_timeout = " + strconv.FormatInt(o.patience.Milliseconds(), 10),
		"synchronous = " + string(o.Synchronous),
		"cache_size = -32000",
		"temp_store = memory",
		"max_page_count = " + strconv.FormatInt(o.maxPages, 10),
	}
}

// oldestShown is CreatedAt of the oldest message that ListRooms shows.
func (o *settled) oldestShown() int64 {
	if o.MaxAge == 0 {
		return math.MinInt64
	}
	return o.tooOld(o.clock.Now())
}

// Append implements [chat.Store].
func (s *Store) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	r := &request{op: opAppend, room: room, known: known, changes: prepare(changes)}
	if err := s.do(ctx, r); err != nil {
		return nil, err
	}
	return r.results, nil
}

// Check implements [chat.Checker]: it writes, at most once a second, a page that
// stays as it is.
func (s *Store) Check(ctx context.Context) error {
	return s.do(ctx, &request{op: opCheck})
}

// Close writes what has been taken on, waits for the calls under way and lets
// go of the file. Later calls are refused with chat.ErrUnavailable. It may be
// called more than once.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.queue.close()
		<-s.written
		s.readers.close()
		s.lock.release()
	})
	return nil
}

// maxLogged bounds what is remembered of damage.
const maxLogged = 1000

// damaged logs each damaged record once.
func (s *Store) damaged(room string, seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := place{room, seq}
	if _, known := s.logged[p]; known || len(s.logged) >= maxLogged {
		return
	}
	s.logged[p] = struct{}{}
	s.opts.Logger.Error("sqlite: a record is damaged; its message is shown as deleted", "path", s.path, "room", room, "seq", seq)
}
