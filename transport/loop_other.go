//go:build !linux

package transport

import (
	"errors"
	"net"
	"net/netip"
)

// haveLoops tells that this system has event loops. Without them every connection
// runs on the goroutine engine, and nothing below is ever called.
const haveLoops = false

type loop struct{}

type op uint8

const (
	opResume op = iota
	opEnding
	opAbort
)

func (l *loop) close()  {}
func (l *loop) cutAll() {}

func (c *Conn) write([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (c *Conn) watch()                    {}
func (c *Conn) post(op, []byte)           {}
func (c *Conn) closeWrite()               { c.end.sent = true }

func (c *Conn) inputWaits(bool) bool { return false }

func peerOf(int) netip.AddrPort { return netip.AddrPort{} }

func (t *Transport) adopt(*Conn, net.Conn) bool             { return false }
func (t *Transport) run(*Conn, []byte, func(*Conn) Handler) {}
func (t *Transport) serveLoop(net.Listener, AcceptFunc) (bool, error) {
	return false, nil
}
