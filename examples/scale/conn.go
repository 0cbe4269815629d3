//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/wire"
)

type phase uint8

const (
	phaseNone      phase = iota
	phaseConnect         // until the socket can be written to
	phaseHandshake       // until the blank line
	phaseWelcome         // until the server has said who we are
	phaseJoin            // until the room is joined or, after a cut, caught up with
	phaseOpen
)

// conn is one connection of one user.
type conn struct {
	index    int32
	fd       int32
	room     int32 // -1: joins none
	got      int32 // messages, since it has joined for the first time
	server   int16 // which one it talks to
	phase    phase
	appetite appetite
	late     bool // reads less than it gets, or has not yet caught up after that
	cursor   cursor
	rest     []byte // of a frame that has not come in whole

	published int64 // when the message under way was sent; 0: none
}

// The key of every handshake, and the answer that RFC 6455 wants to it.
const (
	wsKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	wsAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// dial begins to connect.
func (cl *client) dial(c *conn) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.fd, c.phase, c.rest = int32(fd), phaseConnect, nil
	// Closing must not leave ports in TIME_WAIT: a storm needs them again.
	err = errors.Join(
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		// One source address has too few ports for many connections.
		unix.Bind(fd, &unix.SockaddrInet4{Addr: source(cl.first + int(c.index))}),
	)
	if err == nil {
		err = unix.Connect(fd, &cl.servers[c.server].addr)
	}
	if err == unix.EINPROGRESS || err == nil {
		return unix.EpollCtl(cl.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: c.index})
	}
	return fmt.Errorf("connect: %w", err)
}

const connsPerAddr = 8000

// source is the address that connection i of all processes together comes from.
func source(i int) [4]byte {
	n := 2 + i/connsPerAddr
	return [4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}
}

// greet sends the upgrade on a socket that is connected.
func (cl *client) greet(c *conn) error {
	if soerr, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || soerr != 0 {
		return errors.Join(err, unix.Errno(soerr))
	}
	if err := unix.EpollCtl(cl.epoll, unix.EPOLL_CTL_MOD, int(c.fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.index}); err != nil {
		return err
	}
	c.phase = phaseHandshake
	b := append(cl.out[:0], "GET /chat/ws HTTP/1.1\r\nHost: "+cl.servers[c.server].host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+wsKey+"\r\nSec-WebSocket-Protocol: "+wire.Subprotocol+"\r\n"+
		"Authorization: Bearer "...)
	b = append(append(b, cl.tokens[c.index]...), "\r\n\r\n"...)
	return cl.write(c, b)
}

// write sends bytes for which a socket's buffer must have room: what one client
// has under way is little.
func (cl *client) write(c *conn, b []byte) error {
	n, err := unix.Write(int(c.fd), b)
	if err == nil && n < len(b) {
		err = errors.New("the server does not read")
	}
	return err
}

// command sends a command.
func (cl *client) command(c *conn, cmd *wire.Command) error {
	cl.payload = wire.AppendCommand(cl.payload[:0], cmd)
	cl.out = appendFrame(cl.out[:0], opText, cl.payload)
	return cl.write(c, cl.out)
}

// join asks for the connection's room: from its head or, where it has been
// there before, from the last position it has seen.
func (cl *client) join(c *conn) error {
	if d := cl.foreign.dialect; d != nil {
		return d.join(c)
	}
	cmd := wire.NewCommand(wire.TypeJoin)
	cmd.Ref, cmd.Room = "j", roomName(int(c.room))
	if c.cursor.joined {
		c.cursor.behind = true
		cmd.Epoch, cmd.After = c.cursor.epoch, c.cursor.rev
	} else {
		cmd.History = 0
	}
	return cl.command(c, &cmd)
}

// publish sends a message to the room. Its nonce is the time, by which frame
// and ack are recognised.
func (cl *client) publish(c *conn, room string) error { return cl.publishAt(c, room, clock()) }

// publishAt sends a message that was due at the given time.
func (cl *client) publishAt(c *conn, room string, at int64) error {
	at = max(at, cl.lastNonce+1)
	cl.lastNonce, c.published = at, at
	return cl.submit(c, room)
}

// submit sends the message under way, for the first time or again: the server
// knows it by its nonce.
func (cl *client) submit(c *conn, room string) error {
	if d := cl.foreign.dialect; d != nil {
		return d.submit(c, room)
	}
	cmd := wire.NewCommand(wire.TypeMessage)
	cmd.Room, cmd.Content, cmd.Nonce = room, cl.content, strconv.FormatInt(c.published, 10)
	cmd.Ref = cmd.Nonce
	cl.commands++
	return cl.command(c, &cmd)
}

var errClosed = errors.New("closed by the server")

// readable takes in what has come.
func (cl *client) readable(c *conn) error { return cl.readSome(c, len(cl.in)) }

// readSome takes in so many bytes of it.
func (cl *client) readSome(c *conn, limit int) error {
	have := copy(cl.in, c.rest)
	n, err := unix.Read(int(c.fd), cl.in[have:min(have+limit, len(cl.in))])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return errClosed
	}
	cl.now = clock()
	cl.foreign.heard = cl.now
	if c.appetite == readsAll {
		cl.throttled.taken += int64(n)
	}
	data := cl.in[:have+n]
	if c.phase == phaseHandshake {
		if data, err = cl.shaken(c, data); err != nil {
			return err
		}
	}
	for c.phase > phaseHandshake {
		opcode, payload, n, err := cl.nextFrame(c, data)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		data = data[n:]
		if err := cl.frame(c, opcode, payload); err != nil {
			return err
		}
	}
	if len(data) == 0 && cap(c.rest) > 1<<10 {
		c.rest = nil
	}
	c.rest = append(c.rest[:0], data...)
	return nil
}

// shaken looks for the end of the server's handshake and returns what follows.
func (cl *client) shaken(c *conn, data []byte) ([]byte, error) {
	head, after, ok := bytes.Cut(data, []byte("\r\n\r\n"))
	if !ok {
		if len(data) > 4<<10 {
			return nil, errors.New("handshake without end")
		}
		return data, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte(wsAccept)) {
		return nil, fmt.Errorf("not upgraded: %.300q", data)
	}
	c.phase = phaseWelcome
	return after, cl.hello(c)
}

// frame handles one frame.
func (cl *client) frame(c *conn, opcode byte, payload []byte) error {
	switch opcode {
	case opText:
		cl.frames++
		return cl.objects(c, payload)
	case opPart:
		return nil
	case opPing:
		cl.pings++
		return cl.write(c, appendFrame(cl.out[:0], opPong, payload))
	case opClose:
		if len(payload) >= 2 {
			return fmt.Errorf("%w with %d %q", errClosed, binary.BigEndian.Uint16(payload), payload[2:])
		}
		return fmt.Errorf("%w without a code", errClosed)
	}
	return fmt.Errorf("frame with opcode %d", opcode)
}

// object handles one JSON object.
func (cl *client) object(c *conn, payload []byte) error {
	if cl.once != nil && c.cursor.joined {
		if p := cl.once.find(c.cursor.rev+1, payload); p != nil {
			c.cursor.rev++
			return cl.took(c, stepMessage, p)
		}
	}
	st, p, err := c.cursor.read(payload)
	if err != nil {
		if cl.putOff(c, payload) || cl.startOver(c, payload) {
			return nil
		}
		return err
	}
	if cl.once != nil && st == stepMessage {
		cl.once.keep(p.Rev, payload)
	}
	return cl.took(c, st, &p)
}

// took goes on after a frame that was in order.
func (cl *client) took(c *conn, st step, p *wire.Peeked) error {
	switch st {
	case stepMessage:
		cl.delivered++
		c.got++
		if cl.load != nil {
			return cl.load.delivered(c, p)
		}
	case stepAck:
		if string(p.Ref) != strconv.FormatInt(c.published, 10) {
			return fmt.Errorf("ack of %q, which was not asked for", p.Ref)
		}
		if cl.load != nil {
			return cl.load.acked(c, p)
		}
		return errors.New("ack while nothing is being sent")
	case stepWelcome:
		if c.phase != phaseWelcome {
			return errors.New("welcome twice")
		}
		if c.room < 0 {
			cl.opened(c)
			return nil
		}
		c.phase = phaseJoin
		return cl.join(c)
	case stepJoined:
		if !c.cursor.behind {
			cl.opened(c)
		}
	case stepSynced:
		if c.phase == phaseJoin {
			cl.opened(c)
		}
	case stepSignal:
		cl.signals++
	}
	return nil
}
