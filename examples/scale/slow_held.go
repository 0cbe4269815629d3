//go:build linux

package main

import (
	"net/netip"
	"sync"
	"time"
)

// held is what the kernel held for the members that read little.
type held struct {
	Unsent    []int64 `json:"unsent"`     // by member, bytes of the server's send buffer at the end of the run
	Unread    []int64 `json:"unread"`     // the same, of the client's receive buffer
	UnsentMax []int64 `json:"unsent_max"` // by member, the most seen at any time
	Looks     int     `json:"looks"`
}

// heldBy sums that up for one kind of members, over all runs; bytes.
type heldBy struct {
	Kind       string  `json:"kind"`
	Conns      int     `json:"conns"`
	UnsentMean float64 `json:"unsent_mean"` // at the end of the runs
	UnsentMax  float64 `json:"unsent_max"`  // at any time
	UnreadMean float64 `json:"unread_mean"`
	UnreadMax  float64 `json:"unread_max"`
}

// looksPerRun is how often the kernel is asked during a run: each time it has
// to write a line for every connection of the machine.
const looksPerRun = 5

// holding watches what the kernel holds.
type holding struct {
	server  netip.AddrPort
	clients []netip.AddrPort
	quit    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
	held    held
	err     error
}

// watchKernel looks at the kernel's buffers for a time, until stop.
func (p *pair) watchKernel(clients []netip.AddrPort, t time.Duration) (*holding, error) {
	server, err := netip.ParseAddrPort(p.addr)
	if err != nil {
		return nil, err
	}
	n := len(clients)
	h := &holding{server: server, clients: clients, quit: make(chan struct{}), held: held{UnsentMax: make([]int64, n)}}
	h.wg.Go(func() {
		tick := time.NewTicker(max(t/looksPerRun, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-h.quit:
				return
			case <-tick.C:
				if h.look(); h.err != nil {
					return
				}
			}
		}
	})
	return h, nil
}

func (h *holding) look() {
	list, err := kernelQueues(h.server, h.clients)
	if err != nil {
		h.err = err
		return
	}
	h.held.Looks++
	h.held.Unsent, h.held.Unread = h.held.Unsent[:0], h.held.Unread[:0]
	for i, q := range list {
		h.held.Unsent, h.held.Unread = append(h.held.Unsent, q.unsent), append(h.held.Unread, q.unread)
		h.held.UnsentMax[i] = max(h.held.UnsentMax[i], q.unsent)
	}
}

// stop looks for the last time and returns what has been seen. Only the first
// call does.
func (h *holding) stop() (*held, error) {
	h.once.Do(func() {
		close(h.quit)
		h.wg.Wait()
		if h.err == nil {
			h.look()
		}
	})
	return &h.held, h.err
}

// heldByKind sums up what the kernel held.
func heldByKind(runs []slowRun, c *config) []heldBy {
	kinds := []heldBy{{Kind: "stalled", Conns: c.Stalled}, {Kind: "trickling", Conns: c.Trickling}, {Kind: "slow", Conns: c.Slow}}
	var list []heldBy
	at := 0
	for _, k := range kinds {
		looks := 0.0
		for _, r := range runs {
			if r.Held == nil {
				continue
			}
			for i := at; i < at+k.Conns; i++ {
				looks++
				k.UnsentMean += float64(r.Held.Unsent[i])
				k.UnreadMean += float64(r.Held.Unread[i])
				k.UnsentMax = max(k.UnsentMax, float64(r.Held.UnsentMax[i]))
				k.UnreadMax = max(k.UnreadMax, float64(r.Held.Unread[i]))
			}
		}
		at += k.Conns
		if k.Conns > 0 {
			k.UnsentMean, k.UnreadMean = k.UnsentMean/looks, k.UnreadMean/looks
			list = append(list, k)
		}
	}
	return list
}
