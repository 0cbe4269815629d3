//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"runtime"
)

const (
	inboundPayload = 64 // bytes of a message
	inboundFrame   = 6 + inboundPayload
	pingBytes      = 6 // an empty masked ping

	// barriers is how many connections carry pings only: enough that a
	// transport, which deals connections out to at most eight loops in turn,
	// has one of them on each.
	barriers    = 8
	barrierPath = "/barrier"

	// roundsAhead is how many rounds over the connections may be under way. The
	// kernel's buffers would take far more, and a server that is behind would
	// then find many frames in each read.
	roundsAhead = 2

	// roundWrites is how many writes a round has at least: a server takes only so
	// many pings a second.
	roundWrites = 500
)

// dialArgs has a flood's connections opened.
type dialArgs struct {
	Addr  string `json:"addr"`
	Conns int    `json:"conns"`
}

// floodArgs has every connection send in turn.
type floodArgs struct {
	PerWrite int   `json:"per_write"` // frames in one write
	Micro    int64 `json:"us"`
}

type floodResult struct {
	Frames int64 `json:"frames"`
	Pings  int64 `json:"pings"`
	Micro  int64 `json:"us"`
	CPU    int64 `json:"client_cpu"`
}

// flooder is a client that writes and expects no answer but to its pings.
type flooder struct {
	conns, barriers []*socket
}

// runFlooder is its role. Its sockets end with the process.
func runFlooder(in io.Reader, out io.Writer) error {
	f := &flooder{}
	m := &mouth{out: out}
	o := ops{
		"connect": op(f.connect),
		"flood":   op(func(a floodArgs) (any, error) { return f.flood(a, m.progress) }),
	}
	runtime.LockOSThread()
	return orders(in, func(ord order) { o.carry(m, ord) })
}

func (f *flooder) connect(a dialArgs) (any, error) {
	for i := range a.Conns + barriers {
		path, to := "/", &f.conns
		if i >= a.Conns {
			path, to = barrierPath, &f.barriers
		}
		s, err := dialSocket(a.Addr, i, path, "")
		if err != nil {
			return nil, err
		}
		*to = append(*to, s)
	}
	return nil, nil
}

// flood writes round after round.
func (f *flooder) flood(a floodArgs, progress func(int)) (any, error) {
	frame := appendFrame(nil, opText, []byte(filler(inboundPayload)))
	batch := bytes.Repeat(frame, a.PerWrite)
	ping := appendFrame(nil, opPing, nil)
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	var res floodResult
	begin := clock()
	rounds, ahead := int64(0), 0
	sweeps := 1 + roundWrites/len(f.conns)
	for clock()-begin < a.Micro {
		for range sweeps {
			for _, s := range f.conns {
				if err := s.write(batch); err != nil {
					return nil, err
				}
			}
		}
		for _, s := range f.barriers {
			if err := s.write(ping); err != nil {
				return nil, err
			}
		}
		rounds++
		if ahead++; ahead == roundsAhead {
			ahead--
			if err := f.barrier(); err != nil {
				return nil, err
			}
		}
		if rounds%32 == 0 {
			progress(int((clock() - begin) / 1e3))
		}
	}
	for range ahead {
		if err := f.barrier(); err != nil {
			return nil, err
		}
	}
	end, err := cpuTime()
	res.Frames, res.Pings = rounds*int64(sweeps*len(f.conns)*a.PerWrite), rounds*int64(len(f.barriers))
	res.Micro, res.CPU = clock()-begin, end-cpu
	return res, err
}

// barrier waits until the server has come to the pings of the oldest round.
func (f *flooder) barrier() error {
	var errs []error
	for _, s := range f.barriers {
		errs = append(errs, s.pong())
	}
	return errors.Join(errs...)
}
