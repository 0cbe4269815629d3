package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"github.com/gabblehq/chat/internal/safelog"
)

// The engines that Options.Engine can name.
const (
	EngineAuto      = ""
	EngineEpoll     = "epoll"
	EngineGoroutine = "goroutine"
)

// Options configure a Transport. The zero value of each field means its default.
type Options struct {
	// Engine is EngineAuto: event loops where the system and the connection allow
	// them, goroutines elsewhere. EngineEpoll is the same, but New fails where there
	// are no loops. EngineGoroutine uses no loops.
	Engine string
	// Loops is the number of event loops: half of GOMAXPROCS, at least 1 and at most 8.
	// What they read others have to work on, and a loop that is busy takes more with
	// each call.
	Loops int

	// MaxMessage is the largest message delivered, over all its fragments: 64 KiB.
	MaxMessage int64
	// SkipMessage is the size up to which a message that is too large is read,
	// thrown away and reported by Handler.TooLarge: 1 MiB. Beyond it the connection
	// is closed with 1009, as soon as a header declares the length. A value of
	// MaxMessage or less means that nothing is skipped.
	SkipMessage int64
	// MaxFragments is how many fragments of a message may come within a second that
	// have less than 16 bytes of payload: 1024. Beyond it the connection is closed with
	// 1008. Larger ones are bounded by the size of the message alone.
	MaxFragments int
	// PartialBytes bounds what the connections of one loop hold of messages that
	// have not come in whole: 64 MiB. Beyond it the largest is closed with 1013.
	PartialBytes int64

	// Deflate offers permessage-deflate (RFC 7692) to the upgrades that grant it:
	// off. Messages are as large as MaxMessage and SkipMessage allow, compressed and
	// not.
	Deflate bool

	// MaxConnections bounds the connections, counted from their first byte in Serve
	// and from the upgrade in Upgrade: none.
	MaxConnections int
	// Overloaded is asked before a connection is let in; true refuses it. It must be
	// quick, and is called concurrently. Default: never.
	Overloaded func() bool
	// Arrived is told the peer of a connection that comes to Serve, before its request
	// is read. Not ok refuses it; gone, which may be nil, is called when the request is
	// in, before accept, or will not come. It must be quick. Default: all are ok.
	Arrived func(peer netip.Addr) (gone func(), ok bool)
	// Full is the answer to who is refused by these, or for lack of descriptors:
	// 503 with Retry-After.
	Full *HandshakeError

	// HandshakeTimeout is the time for the whole upgrade: 5 s.
	HandshakeTimeout time.Duration
	// HandshakeBytes bounds the upgrade request in Serve: 16 KiB.
	HandshakeBytes int
	// HandshakeLines bounds the lines of that request: 64.
	HandshakeLines int

	// PingInterval is the silence after which a peer is pinged: 25 s.
	PingInterval time.Duration
	// DeadAfter is how long a peer may be silent: 35 s. A peer that makes progress
	// in taking output that waits is not silent, since its pong may be stuck behind
	// that output. Connections paused by Conn.Pause are not counted silent.
	DeadAfter time.Duration
	// StallAfter is how long output may wait without a byte being taken: 60 s.
	StallAfter time.Duration
	// FrameTimeout is the time for a message to come in whole once it has begun: 30 s.
	FrameTimeout time.Duration
	// CloseTimeout is how long a closing handshake may take: 1 s.
	CloseTimeout time.Duration
	// DeadCode and StallCode are the close codes for the dead and the stalled: 1001.
	DeadCode, StallCode uint16

	// Logger gets what has no caller to be returned to: slog.Default().
	Logger *slog.Logger
}

// settle fills in the defaults and reports every contradiction at once.
func (o Options) settle() (Options, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	switch o.Engine {
	case EngineAuto, EngineGoroutine:
	case EngineEpoll:
		if !haveLoops {
			bad("transport: Options.Engine: %q does not exist on %s", o.Engine, runtime.GOOS)
		}
	default:
		bad("transport: Options.Engine: unknown engine %q", o.Engine)
	}
	for _, f := range []struct {
		name string
		v    *int64
		def  int64
	}{
		{"MaxMessage", &o.MaxMessage, 64 << 10},
		{"SkipMessage", &o.SkipMessage, 1 << 20},
		{"PartialBytes", &o.PartialBytes, 64 << 20},
	} {
		if *f.v < 0 {
			bad("transport: Options.%s: %d is negative", f.name, *f.v)
		}
		*f.v = or(*f.v, f.def)
	}
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{
		{"Loops", &o.Loops, min(max(runtime.GOMAXPROCS(0)/2, 1), 8)},
		{"MaxFragments", &o.MaxFragments, 1024},
		{"MaxConnections", &o.MaxConnections, 0},
		{"HandshakeBytes", &o.HandshakeBytes, 16 << 10},
		{"HandshakeLines", &o.HandshakeLines, 64},
	} {
		if *f.v < 0 {
			bad("transport: Options.%s: %d is negative", f.name, *f.v)
		}
		*f.v = or(*f.v, f.def)
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"HandshakeTimeout", &o.HandshakeTimeout, 5 * time.Second},
		{"PingInterval", &o.PingInterval, 25 * time.Second},
		{"DeadAfter", &o.DeadAfter, 35 * time.Second},
		{"StallAfter", &o.StallAfter, 60 * time.Second},
		{"FrameTimeout", &o.FrameTimeout, 30 * time.Second},
		{"CloseTimeout", &o.CloseTimeout, time.Second},
	} {
		if *f.v < 0 {
			bad("transport: Options.%s: %v is negative", f.name, *f.v)
		}
		*f.v = or(*f.v, f.def)
	}
	o.DeadCode = or(o.DeadCode, 1001)
	o.StallCode = or(o.StallCode, 1001)
	for _, f := range []struct {
		name string
		code uint16
	}{{"DeadCode", o.DeadCode}, {"StallCode", o.StallCode}} {
		if !validCloseCode(f.code) {
			bad("transport: Options.%s: %d may not be sent in a close frame", f.name, f.code)
		}
	}
	if o.Loops > maxLoops {
		bad("transport: Options.Loops: %d is more than %d", o.Loops, maxLoops)
	}
	if o.DeadAfter <= o.PingInterval {
		bad("transport: Options.DeadAfter: %v is not after PingInterval, %v", o.DeadAfter, o.PingInterval)
	}
	if o.Full == nil {
		o.Full = refuseWith(http.StatusServiceUnavailable, "the server is full", "Retry-After", "2")
	}
	o.Logger = safelog.New(o.Logger)
	return o, errors.Join(errs...)
}

const maxLoops = 64

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
