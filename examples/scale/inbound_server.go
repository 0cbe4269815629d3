//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/transport"
)

// inboundLoad is what a server that only takes messages in has done so far.
type inboundLoad struct {
	CPU    int64 `json:"cpu"` // microseconds
	Frames int64 `json:"frames"`
	Bytes  int64 `json:"bytes"`
	Allocs int64 `json:"allocs"` // objects
	Reads  int64 `json:"reads"`  // calls that returned something; the bare loop only
}

func (l inboundLoad) since(b inboundLoad) inboundLoad {
	return inboundLoad{l.CPU - b.CPU, l.Frames - b.Frames, l.Bytes - b.Bytes, l.Allocs - b.Allocs, l.Reads - b.Reads}
}

// usage fills in what the process has used.
func (l *inboundLoad) usage() (err error) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(s)
	l.Allocs = int64(s[0].Value.Uint64())
	l.CPU, err = cpuTime()
	return err
}

// deaf is a handler that does nothing.
type deaf struct{}

func (deaf) Message(*transport.Conn, []byte, bool) {}
func (deaf) TooLarge(*transport.Conn, int64)       {}
func (deaf) Writable(*transport.Conn)              {}
func (deaf) Closed(*transport.Conn, uint16, error) {}

// runInbound is the role of a server that is the transport and nothing else.
func runInbound(in io.Reader, out io.Writer) error {
	var tr *transport.Transport
	done := make(chan error, 1)
	m := &mouth{out: out}
	o := ops{
		"start": op(func(struct{}) (any, error) {
			// The clients take turns, and nobody reads a ping meanwhile.
			t, err := transport.New(transport.Options{PingInterval: time.Hour, DeadAfter: 2 * time.Hour})
			if err != nil {
				return nil, err
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			tr = t
			accept := func(*http.Request) (transport.Upgrade, func(*transport.Conn) transport.Handler, error) {
				return transport.Upgrade{Protocols: []string{wire.Subprotocol}}, func(*transport.Conn) transport.Handler { return deaf{} }, nil
			}
			go func() { done <- t.Serve(ln, accept) }()
			return startResult{ln.Addr().String()}, nil
		}),
		"profile": op((&host{}).profile),
		"load": op(func(struct{}) (any, error) {
			s := tr.Stats()
			l := inboundLoad{Frames: s.MessagesIn, Bytes: s.BytesIn}
			err := l.usage()
			return l, err
		}),
	}
	err := orders(in, func(ord order) { o.carry(m, ord) })
	if tr == nil {
		return err
	}
	err = errors.Join(err, tr.Close())
	if e := <-done; !errors.Is(e, transport.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// bareInbound is the least that a server can do to be sent something: one loop
// that waits for sockets and reads them. It parses nothing.
type bareInbound struct {
	epoll, listener int
	conns           []bareState // by descriptor
	quit            atomic.Bool
	ended           chan error
	buf             []byte
	reads, bytes    atomic.Int64
}

// bareState is how far a socket is.
type bareState uint8

const (
	bareFresh   bareState = iota // its first bytes are the upgrade
	bareCounted                  // what it sends is counted
	bareBarrier                  // and answered with pongs
)

// runBareInbound is the role of that server.
func runBareInbound(in io.Reader, out io.Writer) error {
	b := &bareInbound{ended: make(chan error, 1), buf: make([]byte, 64<<10), listener: -1}
	m := &mouth{out: out}
	o := ops{
		"start": op(b.start),
		"load": op(func(struct{}) (any, error) {
			l := inboundLoad{Bytes: b.bytes.Load(), Reads: b.reads.Load()}
			err := l.usage()
			return l, err
		}),
	}
	err := orders(in, func(ord order) { o.carry(m, ord) })
	b.quit.Store(true)
	if b.listener >= 0 {
		err = errors.Join(err, <-b.ended)
	}
	return err
}

func (b *bareInbound) start(struct{}) (any, error) {
	var addr string
	var err error
	if b.listener, addr, err = listenRaw(); err != nil {
		return nil, err
	}
	if b.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if err := b.watch(b.listener); err != nil {
		return nil, err
	}
	go func() { b.ended <- b.loop() }()
	return startResult{addr}, nil
}

// listenRaw listens on any port, without Go's poller.
func listenRaw() (fd int, addr string, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, "", err
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 4096)); err != nil {
		return -1, "", errors.Join(err, unix.Close(fd))
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return -1, "", errors.Join(err, unix.Close(fd))
	}
	in := sa.(*unix.SockaddrInet4)
	return fd, (&net.TCPAddr{IP: in.Addr[:], Port: in.Port}).String(), nil
}

func (b *bareInbound) watch(fd int) error {
	return unix.EpollCtl(b.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (b *bareInbound) loop() error {
	var events [256]unix.EpollEvent
	for !b.quit.Load() {
		n, err := unix.EpollWait(b.epoll, events[:], 100)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			if int(ev.Fd) == b.listener {
				err = b.accept()
			} else {
				err = b.read(ev.Fd)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bareInbound) accept() error {
	fd, _, err := unix.Accept4(b.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil {
		return err
	}
	for len(b.conns) <= fd {
		b.conns = append(b.conns, bareFresh)
	}
	b.conns[fd] = bareFresh
	return errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), b.watch(fd))
}

// read throws away what a client has sent. Its first bytes are the upgrade, in
// one piece since the client sends nothing before the answer.
func (b *bareInbound) read(fd int32) error {
	n, err := unix.Read(int(fd), b.buf)
	if n <= 0 || err != nil { // clients that leave end the run
		return unix.Close(int(fd))
	}
	if b.conns[fd] == bareFresh {
		b.conns[fd] = bareCounted
		if bytes.HasPrefix(b.buf[:n], []byte("GET "+barrierPath+" ")) {
			b.conns[fd] = bareBarrier
		}
		_, err = unix.Write(int(fd), []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
			wsAccept+"\r\nSec-WebSocket-Protocol: "+wire.Subprotocol+"\r\n\r\n"))
		return err
	}
	b.reads.Add(1)
	b.bytes.Add(int64(n))
	if b.conns[fd] != bareBarrier {
		return nil
	}
	for range n / pingBytes {
		if _, err = unix.Write(int(fd), []byte{0x80 | opPong, 0}); err != nil {
			return err
		}
	}
	return nil
}
