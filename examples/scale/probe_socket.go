//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/wire"
)

// socket is a connection that waits in its system calls, for a process that has
// nothing else to do meanwhile. It is not safe for concurrent use.
type socket struct {
	fd    int
	buf   []byte
	first int // of what has been read and not taken yet
	end   int
}

// socketPatience bounds, in seconds, how long a call waits for a server.
const socketPatience = 10

// dialSocket connects, as client number i, and upgrades. A token is shown where
// it is not empty. The caller closes the socket.
func dialSocket(addr string, i int, path, token string) (*socket, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	s := &socket{fd: fd, buf: make([]byte, 4<<10)}
	wait := unix.Timeval{Sec: socketPatience}
	err = errors.Join(
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: source(i)}),
	)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()})
	}
	if err == nil { // before, a signal would interrupt Connect
		err = errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait),
		)
	}
	if err == nil {
		err = s.upgrade(addr, path, token)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s%s: %w", addr, path, err), s.close())
	}
	return s, nil
}

func (s *socket) close() error { return unix.Close(s.fd) }

func (s *socket) upgrade(host, path, token string) error {
	req := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + wsKey + "\r\nSec-WebSocket-Protocol: " + wire.Subprotocol + "\r\n"
	if token != "" {
		req += "Authorization: Bearer " + token + "\r\n"
	}
	if err := s.write([]byte(req + "\r\n")); err != nil {
		return err
	}
	for {
		if head, _, ok := bytes.Cut(s.buf[:s.end], []byte("\r\n\r\n")); ok {
			if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
				return fmt.Errorf("not upgraded: %.300q", head)
			}
			s.first = len(head) + 4
			return nil
		}
		if err := s.read(); err != nil {
			return err
		}
	}
}

func (s *socket) write(b []byte) error {
	for {
		switch n, err := unix.Write(s.fd, b); {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n < len(b):
			return errors.New("the server does not read")
		default:
			return nil
		}
	}
}

// read waits for more bytes.
func (s *socket) read() error {
	if s.first > 0 {
		s.first, s.end = 0, copy(s.buf, s.buf[s.first:s.end])
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for {
		n, err := unix.Read(s.fd, s.buf[s.end:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return errClosed
		}
		s.end += n
		return nil
	}
}

// pong waits for the next pong, answers pings, and skips the rest.
func (s *socket) pong() error {
	for {
		opcode, payload, n, err := nextFrame(s.buf[s.first:s.end])
		if err != nil {
			return err
		}
		if n == 0 {
			if err := s.read(); err != nil {
				return err
			}
			continue
		}
		s.first += n
		switch opcode {
		case opPong:
			return nil
		case opPing:
			if err := s.write(appendFrame(nil, opPong, payload)); err != nil {
				return err
			}
		case opClose:
			return errClosed
		}
	}
}
