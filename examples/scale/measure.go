//go:build linux

package main

import (
	"context"
	"time"
)

// measured is what a server has done over a while, and the machine beside it.
type measured struct {
	load
	seconds float64
	client  float64 // cores
	others  float64 // cores that neither server nor clients have used
}

// measure takes the server's counters before and after f, which reports the
// microseconds that it took and the CPU time of the clients.
func (p *pair) measure(ctx context.Context, f func() (us, clientCPU int64, err error)) (m measured, err error) {
	before, err := p.load(ctx)
	if err != nil {
		return m, err
	}
	busy, err := busyTime()
	if err != nil {
		return m, err
	}
	us, clientCPU, err := f()
	if err != nil {
		return m, err
	}
	after, err := p.settled(ctx)
	if err != nil {
		return m, err
	}
	end, err := busyTime()
	if err != nil {
		return m, err
	}
	m.load = after.since(before)
	m.seconds = float64(us) / 1e6
	m.client = float64(clientCPU) / float64(us)
	m.others = max(0, float64(end-busy-m.CPU-clientCPU)/float64(us))
	return m, nil
}

// settled is the load once the server has counted what the clients have already:
// it does so behind its writes.
func (p *pair) settled(ctx context.Context) (load, error) {
	first, err := p.load(ctx)
	last := first
	for range 1000 {
		if err != nil {
			break
		}
		time.Sleep(time.Millisecond)
		before := last.Sent
		if last, err = p.load(ctx); last.Sent == before {
			break
		}
	}
	first.Sent, first.Writes = last.Sent, last.Writes // waiting is no work
	return first, err
}

// plus adds up what two servers have done.
func (l load) plus(b load) load {
	return load{
		CPU: l.CPU + b.CPU, Commands: l.Commands + b.Commands, Failed: l.Failed + b.Failed, Sent: l.Sent + b.Sent, Writes: l.Writes + b.Writes,
		Refused: l.Refused + b.Refused, Fills: l.Fills + b.Fills, Resets: l.Resets + b.Resets, BytesOut: l.BytesOut + b.BytesOut,
	}
}

// since is what has been added to an earlier load.
func (l load) since(b load) load {
	return load{
		CPU: l.CPU - b.CPU, Commands: l.Commands - b.Commands, Failed: l.Failed - b.Failed, Sent: l.Sent - b.Sent, Writes: l.Writes - b.Writes,
		Refused: l.Refused - b.Refused, Fills: l.Fills - b.Fills, Resets: l.Resets - b.Resets, BytesOut: l.BytesOut - b.BytesOut,
	}
}
