package transport

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/poll"
)

const (
	acceptBatch = 64                         // connections accepted per event
	backOff     = uint32(100 / (tick / 1e6)) // ticks without accepting when out of descriptors
)

// listener accepts on an event loop.
type listener struct {
	l       *loop
	ln      net.Listener
	accept  AcceptFunc
	fd      int
	slot    int32
	spare   int    // a descriptor to give up when there are no others
	short   bool   // out of descriptors, and said so
	paused  bool   // not watched until resumeAt
	resume  uint32 // tick
	stopped sync.Once
	done    chan struct{}

	drained, asked, inherited bool // see tune
}

// serveLoop serves ln on event loops if it is a listener that can be.
func (t *Transport) serveLoop(ln net.Listener, accept AcceptFunc) (handled bool, err error) {
	if t.opts.Engine == EngineGoroutine {
		return false, nil
	}
	switch ln.(type) {
	case *net.TCPListener, *net.UnixListener:
	default:
		return false, nil
	}
	defer func() { _ = ln.Close() }()
	if !t.hold() {
		return true, ErrClosed
	}
	s, err := t.newListener(ln, accept)
	if err != nil {
		t.unhold()
		return true, err
	}
	// CloseListeners has to find it from its first connection on.
	if !t.keep(s) {
		s.stop()
	}
	defer t.forget(s)
	s.l.call(s.open)
	<-s.done
	return true, ErrClosed
}

// newListener duplicates the descriptor of ln for a loop.
func (t *Transport) newListener(ln net.Listener, accept AcceptFunc) (*listener, error) {
	l, err := t.loopAt(t.nextLoop())
	if err != nil {
		return nil, err
	}
	fd, err := dup(ln.(syscall.Conn))
	if err != nil {
		return nil, err
	}
	setOptions(fd)
	return &listener{l: l, ln: ln, accept: accept, fd: fd, slot: unwatched, spare: openSpare(), done: make(chan struct{})}, nil
}

func openSpare() int {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

func (s *listener) closeFDs() {
	_ = unix.Close(s.fd)
	if s.spare >= 0 {
		_ = unix.Close(s.spare)
	}
}

// open starts to accept, unless it has been stopped before.
func (s *listener) open() {
	if s.over() {
		return
	}
	s.slot = s.l.take(s)
	if err := s.l.poll.Add(s.fd, s.slot, poll.Readable); err != nil {
		s.l.t.report(slog.LevelError, "transport: watch listener", "error", err)
		s.cut()
	}
}

// stop implements stopper. It may be called from any goroutine, and the Transport
// is not over before cut has run.
func (s *listener) stop() { s.stopped.Do(func() { s.l.call(s.cut); <-s.done }) }

// cut implements source.
func (s *listener) cut() {
	if s.over() {
		return
	}
	if s.slot != unwatched {
		s.l.release(s.slot, s.fd, true)
	}
	s.closeFDs()
	_ = s.ln.Close()
	close(s.done)
	s.l.t.cutShakes(s)
	s.l.t.unhold()
}

func (s *listener) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// panicked implements source. The listener goes on.
func (s *listener) panicked(v any) { s.l.t.panicked("transport: panic while accepting", v) }

// sweep implements source. A host may have closed the listener behind our back.
func (s *listener) sweep(now uint32) (urgent bool) {
	if rc, err := s.ln.(syscall.Conn).SyscallConn(); err != nil || rc.Control(func(uintptr) {}) != nil {
		s.cut()
		return false
	}
	if s.paused && passed(now, s.resume) {
		s.paused = false
		_ = s.l.poll.Mod(s.fd, s.slot, poll.Readable)
	}
	return s.paused
}

// ready implements source.
func (s *listener) ready(poll.Events) {
	for range acceptBatch {
		// Not the function of x/sys/unix, which asks each socket for its protocol.
		fd, sa, err := syscall.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			s.short = false
			s.greet(fd, sockaddr(sa))
		case unix.EAGAIN:
			s.drained = true
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			s.exhausted(err)
			return
		default: // the peer is gone already, or EINTR
		}
	}
}

// greet starts the handshake on the loop to which the connection will belong.
func (s *listener) greet(fd int, from netip.AddrPort) {
	t := s.l.t
	switch t.enter() {
	case entryNot:
		_ = unix.Close(fd)
		return
	case entryFull:
		s.turnAway(fd)
		return
	}
	left, ok := t.arrive(from.Addr().Unmap())
	if !ok {
		t.leave()
		s.turnAway(fd)
		return
	}
	s.tune(fd)
	l, err := t.loopAt(t.nextLoop())
	if err != nil {
		l = s.l // no descriptors for a loop that has not started: this one runs
	}
	h := &shake{l: l, s: s, fd: fd, from: from, left: left}
	if l == s.l {
		h.open()
		return
	}
	l.call(h.open)
}

// tune sets the options of an accepted socket, unless it has them of the listener.
// Most kernels see to that, and did for what came in after the listener had them.
func (s *listener) tune(fd int) {
	if s.drained && !s.asked {
		s.asked, s.inherited = true, optionsOf(fd) == optionsOf(s.fd)
	}
	if !s.inherited {
		setOptions(fd)
	}
}

// remote is how net/http writes a peer's address.
func remote(from netip.AddrPort) string {
	if !from.IsValid() {
		return "@"
	}
	return from.String()
}

// refuseBusy is the answer when too many handshakes wait for the host.
func refuseBusy() *HandshakeError {
	return refuseWith(http.StatusServiceUnavailable, "too many handshakes", "Retry-After", "1")
}
