//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/wire"
)

// bare is the least that a server can do to send every message to everybody:
// one goroutine, sockets, writes. It answers handshakes, numbers the messages
// that have come in since its last pass, joins the frames of each room, and
// writes the joined bytes to one socket after the other. It has no users, no
// store, no heartbeat, and no plan for a socket that does not take all.
type bare struct {
	epoll, listener int
	conns           map[int32]*bareConn
	rooms           map[string]*bareRoom
	quit            atomic.Bool
	ended           chan error

	dirty  []*bareRoom // have messages for this pass
	joined []byte
	buf    []byte

	sent, writes, commands atomic.Int64
}

// bareRoom is who gets the messages of a room.
type bareRoom struct {
	members []int32
	rev     int64
	frames  [][]byte // of this pass
}

// bareConn is one socket.
type bareConn struct {
	upgraded bool
	rest     []byte
	name     string
}

// runBare is the role of the bare server process.
func runBare(in io.Reader, out io.Writer) error {
	b := &bare{conns: make(map[int32]*bareConn), rooms: make(map[string]*bareRoom), buf: make([]byte, 64<<10), ended: make(chan error, 1), listener: -1}
	m := &mouth{out: out}
	o := ops{
		"start": op(b.start),
		"load": op(func(struct{}) (any, error) {
			cpu, err := cpuTime()
			return load{CPU: cpu, Sent: b.sent.Load(), Writes: b.writes.Load(), Commands: b.commands.Load()}, err
		}),
		"sizes": op(func(struct{}) (any, error) { return takeSizes() }),
	}
	err := orders(in, func(ord order) { o.carry(m, ord) })
	b.quit.Store(true)
	if b.listener >= 0 {
		err = errors.Join(err, <-b.ended)
	}
	return err
}

func (b *bare) start(startArgs) (any, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 4096)); err != nil {
		return nil, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	if b.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if err := b.watch(fd); err != nil {
		return nil, err
	}
	b.listener = fd
	go func() { b.ended <- b.loop() }()
	in := sa.(*unix.SockaddrInet4)
	return startResult{fmt.Sprintf("%v:%d", net.IP(in.Addr[:]), in.Port)}, nil
}

func (b *bare) watch(fd int) error {
	return unix.EpollCtl(b.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (b *bare) loop() error {
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
		if err := b.pass(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) accept() error {
	for {
		fd, _, err := unix.Accept4(b.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		b.conns[int32(fd)] = &bareConn{name: userName(len(b.conns))}
		if err := b.watch(fd); err != nil {
			return err
		}
	}
}

// read takes in what a client sends. Clients that leave end the run, so their
// sockets are only forgotten.
func (b *bare) read(fd int32) error {
	c := b.conns[fd]
	have := copy(b.buf, c.rest)
	n, err := unix.Read(int(fd), b.buf[have:])
	if n <= 0 || err != nil {
		delete(b.conns, fd)
		return unix.Close(int(fd))
	}
	data := b.buf[:have+n]
	if !c.upgraded {
		_, after, ok := bytes.Cut(data, []byte("\r\n\r\n"))
		if !ok {
			c.rest = append(c.rest[:0], data...)
			return nil
		}
		c.upgraded, data = true, after
		if err := b.write(fd, []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+wsAccept+"\r\nSec-WebSocket-Protocol: "+wire.Subprotocol+"\r\n\r\n")); err != nil {
			return err
		}
		if err := b.write(fd, wire.Seal(wire.AppendWelcome(wire.NewFrame(512), &wire.Welcome{Session: c.name}))); err != nil {
			return err
		}
	}
	for {
		_, payload, n := takeClientFrame(data)
		if n == 0 {
			break
		}
		data = data[n:]
		if err := b.command(fd, c, payload); err != nil {
			return err
		}
	}
	c.rest = append(c.rest[:0], data...)
	return nil
}

// command carries out a join or puts a message into the next pass.
func (b *bare) command(fd int32, c *bareConn, payload []byte) error {
	var cmd wire.Command
	if err := cmd.Decode(payload); err != nil {
		return err
	}
	r := b.rooms[cmd.Room]
	if r == nil {
		r = &bareRoom{}
		b.rooms[cmd.Room] = r
	}
	if cmd.Type == wire.TypeJoin {
		r.members = append(r.members, fd)
		return b.write(fd, wire.Seal(wire.AppendJoined(wire.NewFrame(128), &wire.Joined{Ref: cmd.Ref, Room: cmd.Room, Epoch: "bare", Head: r.rev})))
	}
	r.rev++
	b.commands.Add(1)
	m := wire.Message{
		ID: fmt.Sprintf("%026d", r.rev), Room: cmd.Room, Seq: r.rev, Rev: r.rev, FirstRev: r.rev,
		User: wire.User{ID: c.name, Name: "U" + c.name[1:]}, Kind: "regular", Content: cmd.Content, Nonce: cmd.Nonce, CreatedAt: time.Now(),
	}
	if len(r.frames) == 0 {
		b.dirty = append(b.dirty, r)
	}
	r.frames = append(r.frames, wire.Seal(wire.AppendMessage(wire.NewFrame(512), wire.TypeMessage, &m)))
	return b.write(fd, wire.Seal(wire.AppendAck(wire.NewFrame(192), &wire.Ack{
		Ref: cmd.Ref, Room: m.Room, ID: m.ID, Seq: m.Seq, Rev: m.Rev, CreatedAt: m.CreatedAt,
	})))
}

// pass gives everybody what has come in since the last one.
func (b *bare) pass() error {
	for _, r := range b.dirty {
		b.joined = b.joined[:0]
		for _, f := range r.frames {
			b.joined = append(b.joined, f...)
		}
		for _, fd := range r.members {
			if err := b.write(fd, b.joined); err != nil {
				return err
			}
		}
		b.sent.Add(int64(len(r.frames) * len(r.members)))
		b.writes.Add(int64(len(r.members)))
		clear(r.frames)
		r.frames = r.frames[:0]
	}
	b.dirty = b.dirty[:0]
	return nil
}

func (b *bare) write(fd int32, p []byte) error {
	n, err := unix.Write(int(fd), p)
	if err == nil && n < len(p) {
		err = errors.New("a socket is full")
	}
	return err
}
