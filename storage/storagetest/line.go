package storagetest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Line is how the driver below a store reaches its server, for the [Breaker]
// of a harness: give Dial to the driver. The zero value is whole.
type Line struct {
	mu     sync.Mutex
	broken bool
	conns  map[net.Conn]struct{}
}

// Dial connects, unless the line is broken.
func (l *Line) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	broken := l.broken
	l.mu.Unlock()
	if broken {
		return nil, errLine
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		_ = conn.Close()
		return nil, errLine
	}
	if l.conns == nil {
		l.conns = map[net.Conn]struct{}{}
	}
	l.conns[conn] = struct{}{}
	return &lineConn{Conn: conn, line: l}, nil
}

// A dial that fails as those of package net do: drivers look for that.
var errLine = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("the line is broken")}

// Break ends all connections, and refuses new ones until Mend.
func (l *Line) Break() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

// Mend ends Break.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = false
}

type lineConn struct {
	net.Conn
	line *Line
}

func (c *lineConn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c.Conn)
	c.line.mu.Unlock()
	return c.Conn.Close()
}
