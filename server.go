package chat

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/directory"
	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/outage"
	"github.com/gabblehq/chat/internal/presence"
	"github.com/gabblehq/chat/internal/rest"
	"github.com/gabblehq/chat/internal/safelog"
	"github.com/gabblehq/chat/internal/turn"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
	"github.com/gabblehq/chat/transport"
)

// Server is the chat: an [http.Handler] for clients, and through Room and User
// the same for host code. Make one per process with New and end it with
// Shutdown or Close. All methods are safe for concurrent use.
type Server struct {
	opt      *Options
	judged   bool // by an Authorize of the host's
	log      *slog.Logger
	handle   Handler
	commands map[CommandType]*command
	mux      *rest.Mux
	edge     rest.Edge

	transport *transport.Transport
	hub       *hub.Hub
	workers   workers
	timers    *work.Timers
	rooms     roomTable
	reading   reading
	users     *directory.Directory[*session] // who have said who they are, by user
	names     *names.Cache
	floors    floors
	looks     Limiter          // of firstAnswer
	noise     Limiter          // of frames that are no commands
	health    *outage.Detector // of the store
	admission admission
	strangers safelog.Sampler
	unstored  safelog.Sampler // changes that the store has not taken
	revoked   revocations
	dismissed dismissals
	cluster   *cluster // nil: nobody shares the store
	secret    string   // of cursors where nobody does
	presence  *presence.Board
	repairs   repairs

	guests struct { // sessions that have not said who they are
		mu  sync.Mutex
		set map[*session]struct{}
	}

	outstanding turn.Limits // of each session

	ids     atomic.Uint64 // of sessions and traces
	salt    uint64        // makes session ids unguessable
	count   counters
	start   time.Time
	inUse   work.Gate
	closing atomic.Bool // draining: no new connections
	ctx     context.Context
	cancel  context.CancelFunc
	ending  ending
}

// New returns a Server. It reports everything that is wrong with the options
// at once. Nothing listens until the Server is mounted or Serve is called.
//
// Where several servers share the Store, New waits for it to answer, for ten
// seconds at most, and says so in the log. A store that does not answer is no
// error: the Server goes on asking; see [Server.Ready].
func New(o *Options) (*Server, error) {
	opt, err := o.settle()
	if err != nil {
		return nil, err
	}
	l := &opt.Limits
	start := time.Now()
	start = start.Add(-time.Duration(start.Nanosecond()) % time.Millisecond) // a whole one, for whole ones after it
	s := &Server{
		opt: opt, judged: o.Authorize != nil, log: opt.Logger, timers: work.NewTimers(start, opt.Logger),
		looks: NewLimiter(), noise: NewLimiter(), start: start, secret: rand.Text(),
	}
	s.ending.init()
	to := transport.Options{
		Engine: opt.Engine, MaxMessage: int64(l.MessageBytes),
		PingInterval: l.Ping, DeadAfter: l.Dead, StallAfter: l.Stall,
		DeadCode: wire.CloseIdle, StallCode: wire.CloseLagging,
		Deflate: opt.Compression, Logger: opt.Logger,
	}
	s.admission.init(opt)
	s.outstanding = turn.Limits{Outstanding: l.Outstanding, Bytes: inboxBytes}
	s.admission.admit(&to)
	tr, err := transport.New(to)
	if err != nil {
		return nil, err
	}
	s.transport = tr
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var pack func([]byte) []byte
	if opt.Compression {
		pack = tr.Pack
	}
	s.hub = hub.New(hub.Options{
		Lanes: tr.Loops(), RingFrames: l.RingFrames, RingBytes: l.RingBytes,
		TotalBytes: l.NodeRingBytes, Fills: l.Backfill, Pack: pack, Logger: opt.Logger,
	})
	s.workers = newWorkers(s.log)
	s.rooms.init()
	s.reading.init()
	s.revoked.init()
	s.users = directory.New[*session]()
	s.names = newNames(s.users, opt.Users)
	s.guests.set = make(map[*session]struct{})
	s.commands = commands
	s.handle = chain(opt.Middleware, s.execute)
	s.mux = s.routes()
	s.edge = rest.Edge{Timeout: l.RequestTimeout, Bytes: l.MessageBytes}
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	s.salt = binary.LittleEndian.Uint64(salt[:])
	s.timers.At(time.Now().Add(ringIdle), (*ringSweep)(s))
	s.timers.At(time.Now().Add(expirySweepEvery), &expirySweep{srv: s})
	s.repairs.free = l.Backfill
	s.health = watchStore(s)
	s.cluster = newCluster(s)
	s.presence = newPresence(s)
	if s.cluster != nil {
		s.cluster.run()
	}
	return s, nil
}

// healed is called when the store answers again after it has not. What others
// did meanwhile their hints tell, or Watch that it has missed some.
func (s *Server) healed() {
	for r := range s.rooms.each {
		r.note((*upkeep).retry)
		r.release()
	}
}

// ringIdle is how long an idle room keeps its encoded frames.
const ringIdle = time.Minute

// ringSweep drops the frames of idle rooms, over and over.
type ringSweep Server

func (rs *ringSweep) Ring(now time.Time) {
	s := (*Server)(rs)
	defer s.timers.At(now.Add(ringIdle/2), rs) // whatever happens
	s.hub.Trim(ringIdle)
}

// ServeHTTP serves the WebSocket at /ws and REST beside it; mount it with
// [http.StripPrefix] so that it sees those paths.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.route(w, r) }

// Serve accepts WebSocket connections on a listener of its own, without
// net/http: the upgrade is read where it lies, so that a connection costs
// least. It serves only paths that end in /ws. Authenticate gets a request
// with method, path, Host, RemoteAddr and the headers Authorization, Cookie
// and Origin. Serve blocks until the listener fails or the server shuts down,
// when it returns ErrServerClosed; it closes the listener.
func (s *Server) Serve(ln net.Listener) error {
	if s.closing.Load() {
		_ = ln.Close()
		return ErrServerClosed
	}
	err := s.transport.Serve(ln, s.accept)
	if s.closing.Load() {
		return ErrServerClosed
	}
	return err
}

// Stats is what a Server is doing.
type Stats struct {
	Connections int   // WebSocket connections now
	Users       int   // users with a session now
	Rooms       int   // rooms that somebody is in now
	Commands    int64 // taken up since the start
	Failed      int64 // of those, answered with an error
	Malformed   int64 // frames and REST requests that did not become a command
	Pings       int64 // answered
	Delivered   int64 // changes given to connections
	Refused     int64 // writes that took less than was offered
	Writes      int64 // writes for changes and signals
	Backfills   int64 // pages read for cursors that lag
	Resets      int64 // cursors that had to start over
	RingBytes   int64 // encoded frames held ready now
	BytesIn     int64
	BytesOut    int64
	Rejected    int64 // connections and REST calls refused for lack of room

	// Errors are those that clients were answered with, by code: to commands and to
	// what did not become one, over WebSocket, REST and in place of an upgrade.
	Errors map[Code]int64

	MaxConnections int // there is room for, see [Limits]; 0: any number
}

type counters struct {
	commands, failed, refused, pings atomic.Int64
	errors                           errorCounts
}

// Stats returns counters since the start and sizes now.
func (s *Server) Stats() Stats {
	t, h := s.transport.Stats(), s.hub.Stats()
	return Stats{
		Connections: int(t.Connections), Users: s.users.Len(), Rooms: s.rooms.size(),
		Commands: s.count.commands.Load(), Failed: s.count.failed.Load(),
		Malformed: s.count.refused.Load(), Pings: s.count.pings.Load(), Errors: s.count.errors.all(),
		Delivered: h.Delivered, Refused: h.Refused, Writes: h.Writes,
		Backfills: h.Fills, Resets: h.Resets, RingBytes: h.RingBytes,
		BytesIn: int64(t.BytesIn), BytesOut: int64(t.BytesOut), Rejected: t.Rejected + s.admission.rejected.Load(),
		MaxConnections: s.opt.Limits.Connections,
	}
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// name turns a number into an id that says nothing of the numbers before it.
func (s *Server) name(prefix string, n uint64) string {
	// A bijection of the number (splitmix64), so that no two ids are equal.
	z := n + s.salt
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], z)
	b := make([]byte, 0, len(prefix)+13)
	return string(idEncoding.AppendEncode(append(b, prefix...), raw[:]))
}

// newID returns an id for a message.
func newID(at time.Time) string {
	return ulid.MustNew(ulid.Timestamp(at), rand.Reader).String()
}

// now is the time as it is stored: UTC, in whole milliseconds.
func now() time.Time { return stamp(time.Now()) }

// stamp is how a time is kept: UTC, whole milliseconds, no monotonic part.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
