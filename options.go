package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/door"
	"github.com/gabblehq/chat/internal/safelog"
	"github.com/gabblehq/chat/internal/wire"
)

// Authenticator says who sent a request: the upgrade of a WebSocket, a REST
// call, or, for a session whose first frame is an auth command, a request made
// up from it (method, path, Host, RemoteAddr and "Authorization: Bearer
// <token>"). An error is answered as unauthenticated whatever it says; one
// that matches [ErrUnavailable] tells the client to come back instead. It may
// block, and may be called concurrently.
type Authenticator func(r *http.Request) (User, error)

// Options configure a Server. Store and Authenticate are required; the zero
// value of everything else means the default given with it.
type Options struct {
	// Store is where the logs live. Who opened it closes it, after Shutdown.
	Store Store

	// Authenticate says who is speaking. For a chat without accounts use
	// auth.Anonymous().
	Authenticate Authenticator

	// Authorize decides what users may do. Default: [DefaultAuthorize].
	Authorize Authorizer

	// Middleware wraps every command, the first outermost. Default: none.
	Middleware []Middleware

	// Users looks up the names and avatars of users that are not connected,
	// for their messages in history. Ids it does not return are shown as they
	// are. Default: none.
	Users func(ctx context.Context, ids []string) ([]User, error)

	// Origins are the origins that browsers may connect from, beside the
	// server's own host: "https://app.example.com", "https://*.example.com" for
	// every host below, or "*" for every origin. Ports that are the scheme's own may
	// be left out. Web views have origins like "capacitor://localhost", "file://"
	// (any file) or "null" (any page without an origin, sandboxed frames of other
	// sites among them); like "*", the latter two let REST be called without
	// cookies only. Origins govern upgrades, CORS and unsafe REST methods alike. An
	// entry that no browser's origin can match is an error. Default: only the same
	// host; a page of plain http is not let in where the request came over https.
	Origins []string

	// TrustedProxies are those whose word on the client's address is taken, and in
	// X-Forwarded-Proto on its scheme. Whoever speaks through a Unix socket is
	// trusted always: there is no other address. Default: none, the peer's address
	// is the client's.
	TrustedProxies []netip.Prefix

	// ProxyHeader is where those write it: "X-Forwarded-For" and "Forwarded" (RFC
	// 7239) hold a list, of which the last one that is no trusted proxy counts, any
	// other, such as "X-Real-IP", one address. Addresses may have ports and
	// brackets. The proxy must set or extend this header in every request.
	// Default: "X-Forwarded-For".
	ProxyHeader string

	// QueryToken names a URL parameter that may carry the token, for clients
	// that can set no header and send no first frame. URLs end up in logs:
	// leave it off if you can. Default: off.
	QueryToken string

	// Tenant keeps the rooms of several Servers on one Store apart: printable
	// ASCII without "/", at most 64 bytes. Default: none.
	Tenant string

	// Limits are what a client may do and how long things may take.
	Limits Limits

	// Logger gets what the host should know, a moment later and from a goroutine
	// of its own: a Handler that panics or does not keep up loses records, of
	// which it is told, and harms nothing else. Default: slog.Default().
	Logger *slog.Logger

	// Compression offers permessage-deflate (RFC 7692): about a quarter less of
	// single messages and two thirds less of pages, for some 10 µs per message,
	// once for all who take it, and no memory per connection. Only connections
	// whose upgrade request says who they are get it, by a header or a cookie:
	// those that say so in their first frame do not, since inflating is work that
	// a stranger could make the server do. (With auth.Anonymous, everybody is
	// known.) Default: off.
	Compression bool

	// Engine forces the transport: "epoll" or "goroutine". Default: epoll
	// where the connection allows it, else a goroutine per connection.
	Engine string
}

// Limits bound what a client may do. Zero means the default; what exceeds one
// is rejected with a code, and the client learns them in its welcome.
type Limits struct {
	Content       int           // characters in a message's content; 4,000
	MessageBytes  int           // bytes of one client frame over all fragments; 64 KiB
	Meta          int           // bytes of a meta object; 4 KiB, which is also the most
	Rooms         int           // rooms joined by one session; 200
	NewRooms      int           // rooms that one user makes in an hour, on each server; 300
	Sessions      int           // sessions of one user at a time; 100
	History       int           // messages in a page that does not say; 50
	MaxHistory    int           // messages in a page at most; 200
	PageBytes     int           // bytes of messages in a page; 256 KiB
	Resume        int64         // changes that a resume may lag behind; 1,000
	RingFrames    int           // frames kept ready per room; 256
	RingBytes     int           // bytes kept ready per room; 256 KiB
	NodeRingBytes int           // bytes kept ready in all; 64 MiB
	Backfill      int           // store reads at once for lagging cursors; 16
	Outstanding   int           // commands of one session under way; 64
	AuthTimeout   time.Duration // for the first auth frame; 10 s
	StoreTimeout  time.Duration // for one call of the store; 5 s
	Ping          time.Duration // a silent connection is pinged after; 25 s
	Dead          time.Duration // and closed after so long without anything received or taken; 35 s
	Stall         time.Duration // output waiting and no byte taken; 60 s
	TypingExpiry  time.Duration // typing ends by itself after; 6 s
	LeaveGrace    time.Duration // a dropped user is shown as present for; 5 s
	Noise         Rate          // frames and requests of one user that are no commands: pings, and what is not understood; 10 per second, 100 at once
	Presence      int           // users listed in full; 200; beyond it a sample
	Drain         time.Duration // longest that Shutdown waits for clients to go; 30 s

	// What exceeds these is refused before the upgrade, with 503, the code
	// unavailable and Retry-After; who is connected stays.

	// Connections are the WebSocket connections of this Server. Default: the soft
	// limit of open files less 2 %, at least 64, for the host's own; no bound where
	// the system has no such limit.
	Connections int
	// ConnectionsPerIP are those from one address after TrustedProxies, IPv6 by /64.
	// Keep it above what a NAT may hold. Default: no bound.
	ConnectionsPerIP int
	// Requests are the REST calls under way at once, of which one user may have a
	// quarter; ConnectionsPerIP bounds them as well. Default: half of the open files
	// that Connections leaves, 1,024 where there is no limit of files.
	Requests int
	// RequestTimeout is how long the body of a REST call may take to come, and its
	// answer to be taken; 30 s. The http.Server has to bound the header.
	RequestTimeout time.Duration
	// MemoryBytes is what the Go runtime holds of the system's memory, looked at
	// every 100 ms at most. Default: 90 % of GOMEMLIMIT, no bound without one.
	MemoryBytes int64
}

// NonceTTL is how long at least every store remembers a nonce.
const NonceTTL = 24 * time.Hour

// settle returns a copy of o with the defaults filled in, or all that is
// wrong with it at once.
func (o *Options) settle() (*Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	// What the host does to its slices afterwards is its own business.
	c.Middleware, c.Origins, c.TrustedProxies = slices.Clone(c.Middleware), slices.Clone(c.Origins), slices.Clone(c.TrustedProxies)
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("chat: Options.%s: "+format, append([]any{field}, args...)...))
	}
	if c.Store == nil {
		bad("Store", "is required; memory.New() keeps everything in this process")
	}
	if c.Authenticate == nil {
		bad("Authenticate", "is required; auth.Anonymous() lets everybody in")
	}
	if c.Authorize == nil {
		c.Authorize = DefaultAuthorize
	}
	c.Logger = safelog.New(c.Logger)
	for i, m := range c.Middleware {
		if m == nil {
			bad(fmt.Sprintf("Middleware[%d]", i), "is nil")
		}
	}
	door.ReadOrigins(c.Origins, func(i int, err error) {
		bad(fmt.Sprintf("Origins[%d]", i), "%q can match no origin such as https://app.example.com, nor is it https://*.example.com, null or *: %w", c.Origins[i], err)
	})
	for i, p := range c.TrustedProxies {
		if !p.IsValid() {
			bad(fmt.Sprintf("TrustedProxies[%d]", i), "is not a prefix; netip.MustParsePrefix makes one")
		} else if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 { // peers are compared without the wrapping
			c.TrustedProxies[i] = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
	}
	if c.ProxyHeader = http.CanonicalHeaderKey(c.ProxyHeader); c.ProxyHeader == "" {
		c.ProxyHeader = door.ForwardedFor
	} else if !isHeaderName(c.ProxyHeader) {
		bad("ProxyHeader", "%q is not the name of a header", c.ProxyHeader)
	}
	if len(c.Tenant) > 64 || !printable(c.Tenant) {
		bad("Tenant", "%q is not printable ASCII without \"/\", at most 64 bytes", c.Tenant)
	}
	switch c.Engine {
	case "", "epoll", "goroutine":
	default:
		bad("Engine", "%q is neither \"epoll\" nor \"goroutine\"", c.Engine)
	}
	c.Limits.settle(bad)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &c, nil
}

func (l *Limits) settle(bad func(field, format string, args ...any)) {
	setInt := func(name string, p *int, def int) {
		if *p < 0 {
			bad("Limits."+name, "%d is negative", *p)
		}
		if *p == 0 {
			*p = def
		}
	}
	setTime := func(name string, p *time.Duration, def time.Duration) {
		if *p < 0 {
			bad("Limits."+name, "%v is negative", *p)
		}
		if *p == 0 {
			*p = def
		}
	}
	setInt("Content", &l.Content, 4000)
	setInt("MessageBytes", &l.MessageBytes, 64<<10)
	setInt("Meta", &l.Meta, 4<<10)
	setInt("Rooms", &l.Rooms, 200)
	setInt("NewRooms", &l.NewRooms, 300)
	setInt("Sessions", &l.Sessions, 100)
	setInt("History", &l.History, 50)
	setInt("MaxHistory", &l.MaxHistory, 200)
	setInt("PageBytes", &l.PageBytes, 256<<10)
	setInt("RingFrames", &l.RingFrames, 256)
	setInt("RingBytes", &l.RingBytes, 256<<10)
	setInt("NodeRingBytes", &l.NodeRingBytes, 64<<20)
	setInt("Backfill", &l.Backfill, 16)
	setInt("Outstanding", &l.Outstanding, 64)
	setInt("Connections", &l.Connections, door.ConnectionFiles())
	setInt("Requests", &l.Requests, door.RequestFiles())
	setTime("RequestTimeout", &l.RequestTimeout, 30*time.Second)
	setInt("ConnectionsPerIP", &l.ConnectionsPerIP, 0)
	if l.MemoryBytes < 0 {
		bad("Limits.MemoryBytes", "%d is negative", l.MemoryBytes)
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = door.MemoryLimit()
	}
	setInt("Presence", &l.Presence, 200)
	if l.Resume < 0 {
		bad("Limits.Resume", "%d is negative", l.Resume)
	}
	if l.Resume == 0 {
		l.Resume = 1000
	}
	if l.Noise == (Rate{}) {
		l.Noise = Rate{PerSecond: 10, Burst: 100}
	}
	if !(l.Noise.PerSecond > 0) || l.Noise.Burst <= 0 {
		bad("Limits.Noise", "%+v allows nothing", l.Noise)
	}
	setTime("AuthTimeout", &l.AuthTimeout, 10*time.Second)
	setTime("StoreTimeout", &l.StoreTimeout, 5*time.Second)
	setTime("Ping", &l.Ping, 25*time.Second)
	setTime("Dead", &l.Dead, 35*time.Second)
	setTime("Stall", &l.Stall, 60*time.Second)
	setTime("TypingExpiry", &l.TypingExpiry, 6*time.Second)
	setTime("LeaveGrace", &l.LeaveGrace, 5*time.Second)
	setTime("Drain", &l.Drain, 30*time.Second)
	if l.History > l.MaxHistory {
		bad("Limits.History", "%d is above Limits.MaxHistory (%d)", l.History, l.MaxHistory)
	}
	if l.Meta > wire.MaxMeta {
		bad("Limits.Meta", "%d is above %d, the most that the protocol allows", l.Meta, wire.MaxMeta)
	}
	if l.Ping > 0 && l.Dead > 0 && l.Dead <= l.Ping {
		bad("Limits.Dead", "%v is not above Limits.Ping (%v): every idle connection would be cut", l.Dead, l.Ping)
	}
}

func isHeaderName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '/' {
			return false
		}
	}
	return true
}
