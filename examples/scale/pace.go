//go:build linux

package main

import (
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// pacing is a schedule: messages at a rate, for a time.
type pacing struct {
	Rate  float64 `json:"rate"` // messages per second, of this process
	Micro int64   `json:"us"`
}

// pace runs the loop and calls send for one message of the schedule after the
// other, until all are sent and done says so. Send is told when its message was
// due, and latencies count from then on: whoever is late, a server that keeps
// its clients waiting or this client itself, only makes them longer. Counting
// from the moment of sending would leave out just the waiting that a pause
// causes (coordinated omission). Where send reports false, nobody is free to
// send just now; the message is not forgotten.
func (cl *client) pace(p pacing, progress func(int), send func(due int64) bool, done func() bool) error {
	begin, told := clock(), clock()
	step := 1e6 / p.Rate
	// Processes do not all send at the same moments.
	due := float64(begin) + rand.Float64()*step
	end := float64(begin + p.Micro)
	for cl.err == nil {
		now := clock()
		blocked := false
		for due < min(float64(now), end) && !blocked {
			if blocked = !send(int64(due)); !blocked {
				due += step
			}
		}
		if due >= end && done() {
			break
		}
		if now-told > 100e3 {
			told = now
			progress(int(min(now-begin, p.Micro) / 1e3))
		}
		cl.mend()
		cl.sip(now)
		const longest = 10e3
		switch {
		case due >= end:
			cl.nap(longest)
		case blocked:
			cl.nap(1e3)
		default:
			cl.nap(int64(min(due-float64(clock()), longest)))
		}
		cl.turn(0)
	}
	return cl.err
}

// nap waits until there is something to read, at most so many microseconds:
// epoll_wait counts in milliseconds, in which a schedule cannot be kept.
func (cl *client) nap(us int64) {
	if us <= 0 {
		return
	}
	timeout := unix.NsecToTimespec(us * 1e3)
	// Whatever goes wrong here goes wrong in epoll_wait, too.
	_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(cl.epoll), Events: unix.POLLIN}}, &timeout, nil)
}
