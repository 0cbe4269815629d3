package chat

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/turn"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/transport"
)

// session is one connection of one user. It is the only thing that knows both
// the transport, whose events it handles, and the hub, whose sink it is.
type session struct {
	srv  *Server
	conn *transport.Conn
	id   uint64
	from unique.Handle[origin]

	sibling *session                       // the next session of the same user; guarded by the directory
	who     atomic.Pointer[names.Identity] // nil until authenticated; replaced as a whole, never changed

	mu      sync.Mutex
	inbox   *turn.Inbox[joins] // what has come in; nil: nothing
	subs    *subscription      // linked by next
	nsubs   int32
	settled bool   // something else than auth has been asked for: the user is fixed
	ended   bool   // the connection is gone, or is about to be
	noise   uint16 // frames over their rate that were no commands, in a row
}

// origin is what is known of where a session comes from. Sessions that have it
// in common share it.
type origin struct {
	host string     // that the upgrade was sent to
	ip   netip.Addr // of the client, where it is not the connection's
}

// packedReply is the size above which a reply, which is made for one session, is
// worth compressing.
const packedReply = 1 << 10

var (
	_ transport.Handler   = (*session)(nil)
	_ transport.Accounted = (*session)(nil)
	_ hub.Sink            = (*session)(nil)
	_ hub.Packer          = (*session)(nil)
)

// Write offers log frames to the connection; see hub.Sink.
func (s *session) Write(joined []byte, frames [][]byte) int {
	return s.conn.WriteFrames(joined, frames)
}

// Lane tells who writes to the session; see hub.Sink.
func (s *session) Lane() int { return s.conn.Loop() }

// Packs tells whether the session takes compressed frames; see hub.Packer.
func (s *session) Packs() bool { return s.conn.Deflates() }

// Account tells whose budget of inflating the session uses: its user's; see
// transport.Accounted.
func (s *session) Account() string {
	if who := s.who.Load(); who != nil {
		return who.ID()
	}
	return ""
}

// Message queues a command; see transport.Handler.
func (s *session) Message(c *transport.Conn, payload []byte, binary bool) {
	if binary {
		c.Close(1003, "text frames only")
		return
	}
	ping := s.pingIn(payload)
	if ping != nil {
		defer ping.free()
		if s.idle() {
			s.ping(ping)
			return
		}
	}
	payload = append(make([]byte, 0, len(payload)), payload...)
	s.enqueue(payload)
	if ping != nil {
		s.srv.timers.At(time.Now().Add(pongWithin), &latePing{s, payload})
	}
}

// TooLarge queues the answer to a frame that was thrown away; see
// transport.Handler.
func (s *session) TooLarge(*transport.Conn, int64) { s.enqueue(nil) }

// Writable goes on with what had to wait for the client to read; see
// transport.Handler.
func (s *session) Writable(*transport.Conn) {
	s.mu.Lock()
	s.inbox.Unblock()
	start := s.inbox.Start()
	for sub := s.subs; sub != nil; sub = sub.next {
		sub.Wake()
	}
	s.mu.Unlock()
	if start {
		s.turn()
	}
}

// Closed ends the session; see transport.Handler. What that takes may wait for
// locks, so it is not done on the event loop.
func (s *session) Closed(*transport.Conn, uint16, error) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.srv.workers.chores.Run((*farewell)(s))
}

// farewell takes a session that has ended out of everything.
type farewell session

func (f *farewell) Work() {
	s := (*session)(f)
	s.mu.Lock()
	who, subs := s.who.Load(), s.subs
	s.subs, s.nsubs = nil, 0
	s.mu.Unlock()
	for sub := subs; sub != nil; {
		next := sub.next
		sub.end(who, false)
		sub = next
	}
	s.srv.remove(s, who)
}

// ip is the client's address, the zero Addr where there is none, or none any
// more. It may cost a system call.
func (s *session) ip() netip.Addr {
	if ip := s.from.Value().ip; ip.IsValid() {
		return ip
	}
	return s.conn.RemoteAddr().Addr().Unmap()
}

// Key is the id of its user, and Next leads to the user's next session; see
// directory.Entry.
func (s *session) Key() string { return s.who.Load().ID() }

func (s *session) Next() **session { return &s.sibling }

// user returns who the session is, nil while that is not known.
func (s *session) user() *names.Identity { return s.who.Load() }

// replies are the buffers that replies are encoded in. Most replies are taken
// by the kernel at once, so that nothing of them has to be kept.
var replies = sync.Pool{New: func() any { return new([]byte) }}

// maxReply is how large a buffer may be to be kept for the next reply.
const maxReply = 16 << 10

// send sends a reply, which is made by encode.
func (s *session) send(encode func(b []byte) []byte) { s.encoded(encode, s.conn.Write) }

// encoded has a reply, which is made by encode, used as a frame.
func (s *session) encoded(encode func(b []byte) []byte, use func(frame []byte)) {
	p := replies.Get().(*[]byte)
	b := encode(wire.Reuse(*p))
	frame := wire.Seal(b)
	if len(frame) > packedReply && s.conn.Deflates() {
		if small := s.srv.transport.Pack(frame); small != nil {
			frame = small
		}
	}
	use(frame)
	if cap(b) <= maxReply {
		*p = b
		replies.Put(p)
	}
}

// ring closes the session if it still is nobody, or if its token has expired;
// it may have shown another one meanwhile.
func (s *session) Ring(now time.Time) {
	switch who := s.who.Load(); {
	case who == nil:
		s.conn.Close(wire.CloseIdle, "no auth in time")
	case s.srv.expired(who, now):
		s.conn.Close(wire.CloseExpired, "token expired")
	}
}

// request is the minimal request that an auth frame is turned into: never the
// one of the upgrade, which is long gone.
func (s *session) request(ctx context.Context, token string) *http.Request {
	r := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/ws"}, RequestURI: "/ws", Host: s.from.Value().host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody,
		Header: http.Header{"Authorization": {"Bearer " + token}},
	}).WithContext(ctx)
	if ip := s.ip(); ip.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(ip, 0).String()
	}
	return r
}
