package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/safelog"
	"github.com/gabblehq/chat/internal/steady"
)

// Options say how a Store works. Zero means the default.
type Options struct {
	// Prefix begins every key and channel, so that several chats can share a
	// server. No braces. Default: "gabble".
	Prefix string

	// MaxMessages is how many messages each room keeps, the newest. Default:
	// all.
	MaxMessages int

	// MaxAge is how long messages are kept after their CreatedAt; they go when
	// their room is next used. Default: for ever.
	MaxAge time.Duration

	// NonceTTL is how long a retry is recognised by its nonce, at least; at
	// most twice as long. Default: chat.NonceTTL; a server promises its
	// clients no less, so shorten it in tests only.
	NonceTTL time.Duration

	// Wait is how many replicas must have a change before Append acknowledges
	// it. Where they have not within WaitTimeout, the outcome is
	// chat.ErrUnknown: written, but not as safely. Default: 0, none.
	Wait int

	// WaitTimeout is how long Append waits for the replicas. Default: 1 s.
	WaitTimeout time.Duration

	// Timeout bounds each call, whatever its context says. Default: 5 s.
	Timeout time.Duration

	// Logger gets what no caller can be told: corrupted records, trouble with
	// the connection that hints arrive on. Default: slog.Default().
	Logger *slog.Logger
}

const (
	defaultPrefix      = "gabble"
	defaultTimeout     = 5 * time.Second
	defaultWaitTimeout = time.Second
)

// Store is a [chat.Store] in Redis. Make one with [New], [NewWith] or [Open]
// and end it with Close. It is also a [chat.RoomLister], a [chat.RoomRemover],
// a [chat.EpochStarter], a [chat.Checker], a [chat.Watcher] and a
// [chat.PresenceKeeper].
type Store struct {
	client  goredis.UniversalClient
	cluster *goredis.ClusterClient // client, where it is one; else nil
	owned   bool
	opts    Options
	keys    keyspace
	scripts scripts
	log     *slog.Logger

	ctx   context.Context // ends with Close
	end   context.CancelFunc
	lanes lanes
	reads chan struct{} // bounds how many reads are on their way
	wg    sync.WaitGroup

	clock    steady.Clock // that messages age by
	corrupt  corruptLog
	troubles troubles
	refusing atomic.Bool // changes were refused for a cause that has been logged
	rooms    attended
	masters  atomic.Pointer[string] // digest of the lives of a cluster's masters
}

var (
	_ chat.Store        = (*Store)(nil)
	_ chat.DirectLister = (*Store)(nil)
	_ chat.RoomLister   = (*Store)(nil)
	_ chat.RoomRemover  = (*Store)(nil)
	_ chat.EpochStarter = (*Store)(nil)
	_ chat.Checker      = (*Store)(nil)
)

// maxReads is more than a pool has connections: they queue there.
const maxReads = 256

// New returns a Store on a client that the caller has made and closes, after
// the Store. See [NewWith].
func New(client goredis.UniversalClient) (*Store, error) {
	return NewWith(client, Options{})
}

// NewWith is New with options. The client is a [goredis.Client], of Sentinel
// too, or a [goredis.ClusterClient]; it must give up reading some time, by
// ReadTimeout or ContextTimeoutEnabled. Its retries and its routing to
// replicas do not apply to what the Store sends. NewWith asks the server, all
// masters of a cluster, and refuses one that is older than Redis 7, a replica,
// or configured to evict keys.
func NewWith(client goredis.UniversalClient, o Options) (*Store, error) {
	return newStore(context.Background(), client, o)
}

func newStore(ctx context.Context, client goredis.UniversalClient, o Options) (*Store, error) {
	o, err := settle(o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		client: client, opts: o, keys: keyspace{o.Prefix}, scripts: newScripts(), log: o.Logger,
		reads: make(chan struct{}, maxReads),
	}
	switch c := client.(type) {
	case *goredis.Client:
		err = patient(c.Options().ReadTimeout, c.Options().ContextTimeoutEnabled)
	case *goredis.ClusterClient:
		s.cluster = c
		err = patient(c.Options().ReadTimeout, c.Options().ContextTimeoutEnabled)
	default:
		err = chat.Errorf(chat.CodeUnsupported, "redis: a %T is neither one server nor a cluster", client)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.lanes.byNode = make(map[string]*lane)
	return s, nil
}

// patient refuses a client that would wait for ever for a server that hangs.
func patient(read time.Duration, byContext bool) error {
	if read <= 0 && !byContext {
		return chat.Errorf(chat.CodeInvalid, "redis: the client never gives up reading: set ReadTimeout or ContextTimeoutEnabled")
	}
	return nil
}

func settle(o Options) (Options, error) {
	var errs []error
	for _, n := range []struct {
		field string
		value int64
	}{
		{"MaxMessages", int64(o.MaxMessages)}, {"MaxAge", int64(o.MaxAge)}, {"NonceTTL", int64(o.NonceTTL)}, {"Wait", int64(o.Wait)},
		{"WaitTimeout", int64(o.WaitTimeout)}, {"Timeout", int64(o.Timeout)},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative", n.field))
		}
	}
	if strings.ContainsAny(o.Prefix, "{}") {
		errs = append(errs, fmt.Errorf("the Prefix %q has braces, by which a cluster finds slots", o.Prefix))
	}
	if err := errors.Join(errs...); err != nil {
		return o, chat.Errorf(chat.CodeInvalid, "redis.Options: %w", err)
	}
	o.Prefix = or(o.Prefix, defaultPrefix)
	o.NonceTTL = or(o.NonceTTL, chat.NonceTTL)
	o.WaitTimeout = or(o.WaitTimeout, defaultWaitTimeout)
	o.Timeout = or(o.Timeout, defaultTimeout)
	o.Logger = safelog.New(o.Logger)
	return o, nil
}

func or[T comparable](v, zero T) T {
	var none T
	if v == none {
		return zero
	}
	return v
}

// Open connects to the server that the URL names and returns a Store that
// owns the connection. See [OpenWith].
func Open(ctx context.Context, url string) (*Store, error) {
	return OpenWith(ctx, url, Options{})
}

// OpenWith is Open with options. The forms of the URL, all of which take the
// parameters of [goredis.ParseURL]:
//
//	redis://user:password@host:6379/db        one server
//	rediss://…                                the same over TLS
//	unix://user:password@/path/to/redis.sock  the same over a socket
//	redis-cluster://host1:6379,host2:6379     a cluster; rediss-cluster:// over TLS
//	redis-sentinel://host1:26379,host2:26379/db?master_name=name
//	                                          the master that Sentinel names
func OpenWith(ctx context.Context, url string, o Options) (*Store, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	client, err := dial(url)
	if err != nil {
		return nil, err
	}
	s, err := newStore(ctx, client, o)
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// Close ends what the Store runs, once what is on its way has been answered,
// and closes the client if [Open] has made it. Calls that come later are
// ErrUnavailable; Watch returns. Close may be called again.
func (s *Store) Close() error {
	if !s.lanes.close() {
		return nil
	}
	s.end()
	s.wg.Wait()
	if !s.owned {
		return nil
	}
	if err := s.client.Close(); err != nil {
		return plain(err)
	}
	return nil
}
