//go:build linux

package main

import (
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// proberArgs has the prober connect to servers, the first token being for the
// first of them and so on.
type proberArgs struct {
	Addrs  []string `json:"addrs"`
	Tokens []string `json:"tokens"`
	Source int      `json:"source"` // number of the first connection among all clients
}

type proberResult struct {
	Realtime bool `json:"realtime"` // it is scheduled before all that is not
}

// probeArgs has it ping one of the servers.
type probeArgs struct {
	Server int   `json:"server"`
	Every  int64 `json:"every_us"`
	Micro  int64 `json:"us"`
}

// probed is what came of it. Due is from when a ping was due to its pong: a slow
// pong that keeps the next ping from being sent counts for that, too. Late is
// the prober's own part, Trip the server's and that of whoever delays it.
type probed struct {
	Pings int64   `json:"pings"`
	Due   latency `json:"from_due"`
	Late  latency `json:"late"` // from when a ping was due and the one before was answered to when it was sent
	Trip  latency `json:"trip"` // from when it was sent
}

// prober is a client that does nothing but wait for the time and for pongs.
type prober struct{ sockets []*socket }

// runProber is its role. Its sockets end with the process.
func runProber(in io.Reader, out io.Writer) error {
	p := &prober{}
	m := &mouth{out: out}
	o := ops{
		"connect": op(p.connect),
		"probe":   op(func(a probeArgs) (any, error) { return p.probe(a, m.progress) }),
	}
	runtime.LockOSThread()
	return orders(in, func(ord order) { o.carry(m, ord) })
}

func (p *prober) connect(a proberArgs) (any, error) {
	for i, addr := range a.Addrs {
		s, err := dialSocket(addr, a.Source+i, "/chat/ws", a.Tokens[i])
		if err != nil {
			return nil, err
		}
		p.sockets = append(p.sockets, s)
	}
	return proberResult{Realtime: preferred()}, nil
}

// preferred has the process scheduled before others, as far as that is allowed,
// and tells whether that is before all of them. All threads must be, since those
// of Go's runtime hold locks that the prober waits for; new ones inherit it.
func preferred() (realtime bool) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return false
	}
	realtime = true
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err == nil {
			err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		}
		if err != nil {
			realtime = false
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, -20) // it may not be allowed either
		}
	}
	return realtime
}

// probe pings on a schedule, one ping at a time.
func (p *prober) probe(a probeArgs, progress func(int)) (any, error) {
	s := p.sockets[a.Server]
	ping := appendFrame(nil, opPing, nil)
	due, late, trip := newHistogram(), newHistogram(), newHistogram()
	begin := clock()
	pings, end := int64(0), begin
	for at := begin + a.Every; at < begin+a.Micro; at += a.Every {
		if err := sleepUntil(at); err != nil {
			return nil, err
		}
		free, sent := max(at, end), clock()
		if err := s.write(ping); err != nil {
			return nil, err
		}
		if err := s.pong(); err != nil {
			return nil, err
		}
		end = clock()
		for _, err := range []error{
			due.RecordValue(max(end-at, 1)), late.RecordValue(max(sent-free, 1)), trip.RecordValue(max(end-sent, 1)),
		} {
			if err != nil {
				return nil, err
			}
		}
		if pings++; pings%64 == 0 {
			progress(int((end - begin) / 1e3))
		}
	}
	return probed{pings, latencyOf(due), latencyOf(late), latencyOf(trip)}, nil
}

// sleepUntil waits in the kernel for a time of clock, without Go's timers, which
// a busy machine makes later.
func sleepUntil(at int64) error {
	for {
		left := at - clock()
		if left <= 0 {
			return nil
		}
		ts := unix.NsecToTimespec(left * int64(time.Microsecond))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil); err != nil && err != unix.EINTR {
			return err
		}
	}
}
