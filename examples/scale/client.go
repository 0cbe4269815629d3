//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/wire"
)

// client is the process that holds all the clients: one event loop that waits,
// reads, decodes and writes. It never stops reading between two orders, or the
// server would find its connections dead.
type client struct {
	epoll  int
	wake   int // eventfd
	orders chan order
	events [512]unix.EpollEvent

	addr   unix.SockaddrInet4
	host   string
	tokens []string
	conns  []conn

	in, out, payload []byte // buffers that all connections share

	content   string
	now       int64 // when the bytes at hand were read
	lastNonce int64
	load      workload
	once      *decoded // nil: every frame is decoded
	err       error    // the first thing that was not in order

	opening, open                               int
	frames, delivered, signals, pings, commands int64
}

// workload decides what to do next.
type workload interface {
	delivered(c *conn, p *wire.Peeked) error
	acked(c *conn, p *wire.Peeked) error
}

// runClient is the role of the client process.
func runClient(in io.Reader, out io.Writer) error {
	cl := &client{orders: make(chan order, 1), in: make([]byte, 512<<10)}
	var err error
	if cl.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if cl.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if err = unix.EpollCtl(cl.epoll, unix.EPOLL_CTL_ADD, cl.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}); err != nil {
		return err
	}
	m := &mouth{out: out}
	o := ops{
		"connect": op(func(a connectArgs) (any, error) { return cl.connect(a, m.progress) }),
		"resume":  op(func(struct{}) (any, error) { return cl.resume(m.progress) }),
		"cut":     op(cl.cut),
		"fanout":  op(func(a fanoutArgs) (any, error) { return cl.fanout(a, m.progress) }),
		"rooms":   op(func(a roomsArgs) (any, error) { return cl.rooms(a, m.progress) }),
		"stall":   op(cl.stall),
		"count":   op(cl.count),
	}
	ended := make(chan error, 1)
	go func() {
		ended <- orders(in, func(ord order) {
			cl.orders <- ord
			_, _ = unix.Write(cl.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		})
	}()
	// An order is carried out on the goroutine of the loop, which it runs by
	// itself until it has what it wants.
	runtime.LockOSThread()
	for {
		select {
		case ord := <-cl.orders:
			o.carry(m, ord)
		case err := <-ended:
			return err
		default:
			cl.turn(100)
		}
	}
}

// until runs the loop until done says so, or something is not in order.
func (cl *client) until(done func() bool) error {
	for cl.err == nil && !done() {
		cl.turn(10)
	}
	return cl.err
}

// turn waits once and handles what there is.
func (cl *client) turn(timeoutMS int) {
	n, err := unix.EpollWait(cl.epoll, cl.events[:], timeoutMS)
	if err != nil && err != unix.EINTR {
		cl.fail(nil, err)
		return
	}
	for _, ev := range cl.events[:max(n, 0)] {
		if ev.Fd < 0 {
			var b [8]byte
			_, _ = unix.Read(cl.wake, b[:])
			continue
		}
		c := &cl.conns[ev.Fd]
		switch {
		case c.phase == phaseNone: // cut in this very turn
		case c.phase == phaseConnect:
			cl.fail(c, cl.greet(c))
		default:
			cl.fail(c, cl.readable(c))
		}
	}
}

// fail notes what is not in order; the connection is not listened to any more.
func (cl *client) fail(c *conn, err error) {
	if err == nil {
		return
	}
	if c != nil {
		err = fmt.Errorf("connection %d of %s: %w", c.index, userName(int(c.index)), err)
		cl.drop(c)
	}
	if cl.err == nil {
		cl.err = err
	}
}

func (cl *client) drop(c *conn) {
	_ = unix.Close(int(c.fd))
	c.fd, c.phase = -1, phaseNone
}

// connectArgs has the clients connect and join.
type connectArgs struct {
	Addr       string `json:"addr"`
	Key        []byte `json:"key"`
	Members    int    `json:"members"`    // each joins the room of its number modulo Rooms
	Rooms      int    `json:"rooms"`      // room names are the same in every process
	Publishers int    `json:"publishers"` // more connections, which join nothing
	Content    int    `json:"content"`
	Once       bool   `json:"once"` // see decoded
}

// rampResult tells how long it took.
type rampResult struct {
	Conns int   `json:"conns"`
	Micro int64 `json:"us"`
	CPU   int64 `json:"cpu"`
}

func (cl *client) connect(a connectArgs, progress func(int)) (any, error) {
	ap, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return nil, err
	}
	cl.addr, cl.host = unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, a.Addr
	cl.content = filler(a.Content)
	if a.Once {
		cl.once = new(decoded)
	}
	cl.conns = make([]conn, a.Members+a.Publishers)
	cl.tokens = make([]string, len(cl.conns))
	for i := range cl.conns {
		cl.conns[i] = conn{index: int32(i), fd: -1, room: -1}
		if i < a.Members {
			cl.conns[i].room = int32(i % a.Rooms)
		}
		if cl.tokens[i], err = token(a.Key, i); err != nil {
			return nil, err
		}
	}
	return cl.ramp(progress)
}

// ramp opens every connection that is not, a bounded number at once.
func (cl *client) ramp(progress func(int)) (any, error) {
	begin := clock()
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	next, told := 0, begin
	cl.opening, cl.open = 0, 0
	err = cl.until(func() bool {
		for cl.opening < inFlight && next < len(cl.conns) && cl.err == nil {
			cl.opening++
			cl.fail(&cl.conns[next], cl.dial(&cl.conns[next]))
			next++
		}
		if now := clock(); now-told > 100e3 {
			told = now
			progress(cl.open)
		}
		return cl.open == len(cl.conns)
	})
	if err != nil {
		return nil, err
	}
	progress(cl.open)
	end, err := cpuTime()
	return rampResult{Conns: cl.open, Micro: clock() - begin, CPU: end - cpu}, err
}

func (cl *client) opened(c *conn) {
	if c.phase != phaseOpen {
		c.phase = phaseOpen
		cl.opening--
		cl.open++
	}
}

// cut drops all connections without a word.
func (cl *client) cut(struct{}) (any, error) {
	for i := range cl.conns {
		if c := &cl.conns[i]; c.fd >= 0 {
			cl.drop(c)
		}
	}
	return nil, cl.err
}

// resume has all clients come back and go on from where they were.
func (cl *client) resume(progress func(int)) (any, error) { return cl.ramp(progress) }

// stall makes the first n members stop reading.
func (cl *client) stall(n int) (any, error) {
	var errs []error
	for i := range n {
		c := &cl.conns[i]
		c.stalled = true
		errs = append(errs, unix.EpollCtl(cl.epoll, unix.EPOLL_CTL_DEL, int(c.fd), nil))
	}
	return nil, errors.Join(errs...)
}

// counts is what the clients have seen so far.
type counts struct {
	CPU       int64 `json:"cpu"`
	Frames    int64 `json:"frames"`
	Delivered int64 `json:"delivered"`
	Signals   int64 `json:"signals"`
	Pings     int64 `json:"pings"`
}

func (cl *client) count(struct{}) (any, error) {
	cpu, err := cpuTime()
	return counts{cpu, cl.frames, cl.delivered, cl.signals, cl.pings}, errors.Join(err, cl.err)
}
