//go:build linux

package main

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// connectArgs has the clients connect and join.
type connectArgs struct {
	Addrs      []string `json:"addrs"` // of the servers that the members are spread over
	Key        []byte   `json:"key"`
	First      int      `json:"first"`      // number of the first member among those of all processes
	Members    int      `json:"members"`    // each joins the room of its number modulo Rooms
	Rooms      int      `json:"rooms"`      // room names are the same in every process
	Publishers int      `json:"publishers"` // more connections, which join nothing
	Content    int      `json:"content"`
	Once       bool     `json:"once"`    // see decoded
	AtOnce     int      `json:"at_once"` // how many are being opened at a time
	Retry      bool     `json:"retry"`   // what is refused as unavailable is tried again
	Now        int      `json:"now"`     // open so many of them, the others later; 0: all
}

// rampResult tells how long it took.
type rampResult struct {
	Conns int   `json:"conns"`
	Micro int64 `json:"us"`
	CPU   int64 `json:"cpu"`
}

func (cl *client) connect(a connectArgs, progress func(int)) (any, error) {
	for _, addr := range a.Addrs {
		ap, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		cl.servers = append(cl.servers, remote{unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, addr})
	}
	cl.first, cl.atOnce, cl.retry, cl.content = a.First, a.AtOnce, a.Retry, filler(a.Content)
	if a.Once {
		cl.once = new(decoded)
	}
	cl.conns = make([]conn, a.Members+a.Publishers)
	cl.tokens = make([]string, len(cl.conns))
	for i := range cl.conns {
		cl.conns[i] = conn{index: int32(i), fd: -1, room: -1}
		if n := a.First + i; i < a.Members {
			cl.conns[i].room = int32(n % a.Rooms)
			cl.conns[i].server = int16(serverOf(n, a.Rooms, len(a.Addrs)))
		}
		var err error
		if cl.tokens[i], err = token(a.Key, a.First+i); err != nil {
			return nil, err
		}
	}
	if a.Now == 0 {
		a.Now = len(cl.conns)
	}
	return cl.ramp(a.Now, progress)
}

// ramp opens connections, a bounded number at once, until the first n are open.
func (cl *client) ramp(n int, progress func(int)) (any, error) {
	before, begin := cl.open, clock()
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	next, told := cl.open, begin // they have been opened in order, or not at all
	cl.opening = 0
	err = cl.until(func() bool {
		for cl.opening < cl.atOnce && next < n && cl.err == nil {
			cl.opening++
			cl.fail(&cl.conns[next], cl.dial(&cl.conns[next]))
			next++
		}
		if now := clock(); now-told > 100e3 {
			told = now
			progress(cl.open)
		}
		return cl.open == n
	})
	if err != nil {
		return nil, err
	}
	progress(cl.open)
	end, err := cpuTime()
	return rampResult{Conns: cl.open - before, Micro: clock() - begin, CPU: end - cpu}, err
}

func (cl *client) opened(c *conn) {
	if c.phase != phaseOpen {
		c.phase = phaseOpen
		cl.opening--
		cl.open++
		if c.published != 0 {
			cl.fail(c, cl.submit(c, roomName(int(c.room))))
		}
		if cl.dying >= 0 {
			cl.back, cl.mended = cl.back+1, clock()
		}
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
func (cl *client) resume(progress func(int)) (any, error) {
	return cl.ramp(len(cl.conns), progress)
}
