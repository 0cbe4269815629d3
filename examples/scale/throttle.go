//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// appetite is how a connection reads.
type appetite uint8

const (
	readsAll   appetite = iota
	readsNone           // nothing any more
	readsDrops          // a few bytes now and then
	readsShare          // a share of what the others get
)

// sipEvery is how long those who read little wait in between, in microseconds;
// a drop is what the thirstiest of them take.
const (
	sipEvery = 100e3
	drop     = 16
)

// throttleArgs makes the first members read less than they get, in this order.
type throttleArgs struct {
	Stalled   int     `json:"stalled"`
	Trickling int     `json:"trickling"`
	Slow      int     `json:"slow"`
	Share     float64 `json:"share"` // of the bytes, which the slow ones read
}

// throttled are the connections that read less.
type throttled struct {
	conns  []*conn
	share  float64
	others int     // members that read everything
	at     int64   // of the last sip
	taken  int64   // bytes that the others have read since then
	budget float64 // bytes that each of the slow ones may still read
}

// Here the client's kernel would take in a few hundred kilobytes for whoever
// does not read; who is far away has not that much on the way to him. So those
// who read little have a small receive buffer, as long as they do.
const (
	smallBuffer = 4 << 10
	usualBuffer = 64 << 10
)

// receiveBuffer sets the size of a connection's receive buffer, of which the
// kernel makes twice that.
func receiveBuffer(c *conn, n int) error {
	return unix.SetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_RCVBUF, n)
}

// throttle makes members read less. It returns their addresses.
func (cl *client) throttle(a throttleArgs) (any, error) {
	cl.throttled = throttled{share: a.Share, at: clock()}
	var addrs []netip.AddrPort
	var errs []error
	for i := range cl.conns {
		c := &cl.conns[i]
		switch {
		case c.room < 0:
			continue
		case i < a.Stalled:
			c.appetite = readsNone
		case i < a.Stalled+a.Trickling:
			c.appetite = readsDrops
		case i < a.Stalled+a.Trickling+a.Slow:
			c.appetite = readsShare
		default:
			cl.throttled.others++
			continue
		}
		c.late = true
		cl.throttled.conns = append(cl.throttled.conns, c)
		sa, err := unix.Getsockname(int(c.fd))
		if in, ok := sa.(*unix.SockaddrInet4); ok {
			addrs = append(addrs, netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)))
		}
		errs = append(errs, err, unix.EpollCtl(cl.epoll, unix.EPOLL_CTL_DEL, int(c.fd), nil), receiveBuffer(c, smallBuffer))
	}
	return addrs, errors.Join(errs...)
}

// sip has those who read little read, if it is time.
func (cl *client) sip(now int64) {
	t := &cl.throttled
	if len(t.conns) == 0 || now-t.at < sipEvery {
		return
	}
	t.budget += t.share * float64(t.taken) / float64(max(t.others, 1))
	t.at, t.taken = now, 0
	slice := min(int(t.budget), len(cl.in)/2)
	t.budget -= float64(slice)
	for _, c := range t.conns {
		switch {
		case c.appetite == readsDrops:
			cl.fail(c, cl.readSome(c, drop))
		case c.appetite == readsShare && slice > 0:
			cl.fail(c, cl.readSome(c, slice))
		}
	}
}

// recovered says what became of those who had read little.
type recovered struct {
	Behind int64 `json:"behind"` // messages that they lacked in the beginning, all together
	Resets int64 `json:"resets"` // how many of them had to start over, since the program began
}

// patience bounds the wait for something that has to happen.
const patience = 60e6

// release lets everybody read again and waits until all have caught up. That
// nobody lacks anything then is what their cursors check.
func (cl *client) release(struct{}) (any, error) {
	var head int64
	for i := range cl.conns {
		head = max(head, cl.conns[i].cursor.rev)
	}
	var r recovered
	for _, c := range cl.throttled.conns {
		c.appetite = readsAll
		r.Behind += head - c.cursor.rev
		err := errors.Join(receiveBuffer(c, usualBuffer), unix.EpollCtl(cl.epoll, unix.EPOLL_CTL_ADD, int(c.fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.index}))
		if err != nil {
			return nil, err
		}
	}
	late := cl.throttled.conns
	cl.throttled = throttled{}
	begin := clock()
	err := cl.until(func() bool {
		for len(late) > 0 && late[len(late)-1].cursor.rev >= head {
			late[len(late)-1].late = false
			late = late[:len(late)-1]
		}
		return len(late) == 0 || clock()-begin > patience
	})
	if err == nil && len(late) > 0 {
		c := late[len(late)-1]
		err = fmt.Errorf("%s reads again, but is at position %d of %d a minute later", userName(cl.first+int(c.index)), c.cursor.rev, head)
	}
	r.Resets = cl.resets
	return r, err
}

// startOver takes a reset: who has read too little for too long is told to go
// on from the head, and that what lies between is in the history. It reports
// false where a frame says anything else, or says it to somebody else.
func (cl *client) startOver(c *conn, payload []byte) bool {
	var reset struct {
		Type  string `json:"type"`
		Epoch string `json:"epoch"`
		Head  int64  `json:"head"`
	}
	if !c.late || json.Unmarshal(payload, &reset) != nil || reset.Type != "reset" || reset.Epoch != c.cursor.epoch || reset.Head < c.cursor.rev {
		return false
	}
	c.cursor.rev = reset.Head
	cl.resets++
	return true
}
