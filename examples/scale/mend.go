//go:build linux

package main

import (
	"encoding/json"
	"errors"

	"golang.org/x/sys/unix"
)

// remote is a server as a client sees it.
type remote struct {
	addr unix.SockaddrInet4
	host string
}

// serverOf spreads the members of every room over all servers: member n of all
// is the (n/rooms)-th of room n%rooms, and neighbours are on different servers.
func serverOf(n, rooms, servers int) int { return (n/rooms + n%rooms) % servers }

// membersOf is how many members a room has.
func membersOf(room, total, rooms int) int { return (total - room + rooms - 1) / rooms }

// broken reports whether an error says no more than that the other side is
// gone.
func broken(err error) bool {
	var no unix.Errno
	return errors.Is(err, errClosed) || errors.As(err, &no)
}

// attempt is a command to be sent again.
type attempt struct {
	c  *conn
	at int64
}

// putOff notes a command that the server has refused because it cannot do it
// just now, and reports false where a frame says anything else. What a client
// is told to try again it tries again, or messages would be lost by its own
// doing.
func (cl *client) putOff(c *conn, payload []byte) bool {
	var e struct {
		Type  string `json:"type"`
		Code  string `json:"code"`
		After int64  `json:"retry_after_ms"`
	}
	if !cl.retry || json.Unmarshal(payload, &e) != nil || e.Type != "error" || e.Code != "unavailable" {
		return false
	}
	cl.refused++
	cl.later = append(cl.later, attempt{c, cl.now + max(e.After, 100)*1000})
	return true
}

// again does what has been put off: a connection has one command under way at
// most, and its phase tells which.
func (cl *client) again() {
	for len(cl.later) > 0 && cl.later[0].at <= clock() {
		c := cl.later[0].c
		cl.later = cl.later[1:]
		switch {
		case c.phase == phaseJoin:
			cl.fail(c, cl.join(c))
		case c.phase == phaseOpen && c.published != 0:
			cl.fail(c, cl.submit(c, roomName(int(c.room))))
		}
	}
}

// mend has connections whose server is gone come back to the others, a bounded
// number at once, and tries again what has been refused.
func (cl *client) mend() {
	cl.again()
	for len(cl.lost) > 0 && cl.opening < cl.atOnce && cl.err == nil {
		c := cl.lost[0]
		cl.lost = cl.lost[1:]
		n := len(cl.servers)
		c.server = int16((int(cl.dying) + 1 + (cl.first+int(c.index))%(n-1)) % n)
		cl.opening++
		cl.fail(c, cl.dial(c))
	}
}
