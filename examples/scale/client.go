//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

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

	servers []remote
	first   int // number of the first connection among those of all processes
	tokens  []string
	conns   []conn

	in, out, payload []byte // buffers that all connections share

	content   string
	now       int64 // when the bytes at hand were read
	lastNonce int64
	load      workload
	once      *decoded // nil: every frame is decoded
	err       error    // the first thing that was not in order

	dying  int16   // the server whose connections may break; -1: none
	lost   []*conn // have broken, and come back to other servers
	back   int     // how many have come back
	mended int64   // when the last one did

	retry   bool      // what is refused as unavailable is tried again
	refused int64     // how often that was so
	later   []attempt // what is to be tried again, oldest first
	atOnce  int       // how many connections are being opened at a time

	throttled throttled
	foreign   foreign
	resets    int64 // connections that had to start over

	opening, open                               int
	frames, delivered, signals, pings, commands int64
}

// workload decides what to do next.
type workload interface {
	delivered(c *conn, p *wire.Peeked) error
	acked(c *conn, p *wire.Peeked) error
}

// newClient returns one without connections. Its two descriptors end with the
// process.
func newClient() (*client, error) {
	cl := &client{orders: make(chan order, 1), in: make([]byte, 512<<10), dying: -1}
	var err error
	if cl.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if cl.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	return cl, unix.EpollCtl(cl.epoll, unix.EPOLL_CTL_ADD, cl.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1})
}

// runClient is the role of the client process.
func runClient(in io.Reader, out io.Writer) error {
	cl, err := newClient()
	if err != nil {
		return err
	}
	m := &mouth{out: out}
	o := ops{
		"connect":  op(func(a connectArgs) (any, error) { return cl.connect(a, m.progress) }),
		"resume":   op(func(struct{}) (any, error) { return cl.resume(m.progress) }),
		"cut":      op(cl.cut),
		"fanout":   op(func(a fanoutArgs) (any, error) { return cl.fanout(a, m.progress) }),
		"rooms":    op(func(a roomsArgs) (any, error) { return cl.rooms(a, m.progress) }),
		"burst":    op(func(a burstArgs) (any, error) { return cl.burst(a, m.progress) }),
		"steady":   op(func(a steadyArgs) (any, error) { return cl.steady(a, m.progress) }),
		"note":     op(cl.note),
		"await":    op(func(a awaitArgs) (any, error) { return cl.await(a, m.progress) }),
		"paced":    op(func(a pacedArgs) (any, error) { return cl.paced(a, m.progress) }),
		"throttle": op(cl.throttle),
		"release":  op(cl.release),
		"more":     op(func(n int) (any, error) { return cl.ramp(n, m.progress) }),
		"count":    op(cl.count),
		"abroad":   op(cl.abroad),
		"damage":   op(cl.damage),
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
		cl.mend()
		cl.turn(10)
	}
	return cl.err
}

// turn waits once and handles what there is.
func (cl *client) turn(timeoutMS int) {
	cl.silence()
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
		if c.server == cl.dying && broken(err) {
			cl.drop(c)
			cl.lost = append(cl.lost, c)
			cl.later = slices.DeleteFunc(cl.later, func(a attempt) bool { return a.c == c })
			return
		}
		err = fmt.Errorf("connection %d of %s: %w", c.index, userName(cl.first+int(c.index)), err)
		cl.drop(c)
	}
	cl.foreign.note(err)
	if cl.err == nil {
		cl.err = err
	}
}

func (cl *client) drop(c *conn) {
	switch _ = unix.Close(int(c.fd)); c.phase {
	case phaseNone:
	case phaseOpen:
		cl.open--
	default:
		cl.opening--
	}
	c.fd, c.phase = -1, phaseNone
}

// counts is what the clients have seen so far.
type counts struct {
	CPU       int64 `json:"cpu"`
	Frames    int64 `json:"frames"`
	Delivered int64 `json:"delivered"`
	Signals   int64 `json:"signals"`
	Pings     int64 `json:"pings"`
	Refused   int64 `json:"refused"`
}

func (cl *client) count(struct{}) (any, error) {
	cpu, err := cpuTime()
	return counts{cpu, cl.frames, cl.delivered, cl.signals, cl.pings, cl.refused}, errors.Join(err, cl.err)
}
