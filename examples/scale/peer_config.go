//go:build linux

package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// peerConfig is what the flags say of the comparison with other libraries.
type peerConfig struct {
	Peers    []string `json:"peers,omitempty"`
	PeersBin string   `json:"-"`
	Jobs     []string `json:"jobs,omitempty"`
}

// peerLibraries are those that examples/scale/peers has, and peerJobs what is
// measured.
func peerLibraries() []string {
	return []string{"gorilla", "coder", "gws", "nbio", "melody", "centrifuge"}
}

func peerJobs() []string { return []string{"fanout", "rooms", "latency", "idle", "connect"} }

// peerFlags defines the flags.
func (c *config) peerFlags(f *flag.FlagSet) {
	list := func(to *[]string, known []string) func(string) error {
		return func(s string) error {
			*to = nil
			for name := range strings.SplitSeq(s, ",") {
				if !slices.Contains(known, name) {
					return fmt.Errorf("%q is not one of %s", name, strings.Join(known, ", "))
				}
				if !slices.Contains(*to, name) {
					*to = append(*to, name)
				}
			}
			return nil
		}
	}
	c.Peers, c.Jobs = peerLibraries(), peerJobs()
	f.Func("peers", "peers: which, with commas; all unless given", list(&c.Peers, c.Peers))
	f.Func("jobs", "peers: what is measured, with commas, of "+strings.Join(c.Jobs, ", ")+"; all unless given", list(&c.Jobs, c.Jobs))
	f.StringVar(&c.PeersBin, "peers-bin", "", "peers: the program of examples/scale/peers, rather than building it")
}

// peerDefaults are those of other flags in this mode.
func peerDefaults() map[string]string {
	return map[string]string{"rooms": "1000", "rate": "1000", "duration": "2s", "warmup": "500ms", "settle": "5s"}
}

// The sizes of rooms where there are many.
const (
	smallRoom = 10 // in the job rooms
	pacedRoom = 20 // in the job latency
	idleRoom  = 100
)

// pacedConns is how many connections the job latency has, at most.
const pacedConns = 5000

// checkPeers also tells how many connections there are at most.
func (c *config) checkPeers() (sockets int, err error) {
	if c.Members < 1 || c.Small < 0 || c.Publishers < 1 || c.Rooms < 1 || c.Conns < 1 {
		return 0, fmt.Errorf("-members %d, -small %d, -publishers %d, -rooms %d, -conns %d: too few", c.Members, c.Small, c.Publishers, c.Rooms, c.Conns)
	}
	if c.Rate <= 0 || c.Duration <= 0 {
		return 0, fmt.Errorf("-rate %v, -duration %v: not above 0", c.Rate, c.Duration)
	}
	for _, k := range c.peerCases() {
		sockets = max(sockets, k.members+k.publishers)
	}
	return sockets, nil
}

// peerCase is a server with connections, and what is done with them.
type peerCase struct {
	name                       string
	members, rooms, publishers int
	loads                      []peerLoad
	idle, connect              bool
}

// peerLoad is one thing that is measured.
type peerLoad struct {
	name   string
	window int     // fan-out, messages on their way; 0: something else
	rate   float64 // messages per second that are due; 0: as many as there can be
}

// peerCases is what the jobs come to.
func (c *config) peerCases() (cases []peerCase) {
	if slices.Contains(c.Jobs, "fanout") {
		for _, n := range []int{c.Small, c.Members} {
			if n == 0 || len(cases) > 0 && n == c.Small {
				continue
			}
			k := peerCase{name: fmt.Sprintf("fan-out, one room of %d", n), members: n, rooms: 1, publishers: c.Publishers}
			for _, w := range slices.Compact([]int{1, c.Window}) {
				k.loads = append(k.loads, peerLoad{name: fmt.Sprintf("%d in flight", w), window: w})
			}
			cases = append(cases, k)
		}
	}
	if slices.Contains(c.Jobs, "rooms") {
		even := c.Rate * pacedRoom / smallRoom
		cases = append(cases, peerCase{
			name: fmt.Sprintf("%d rooms of %d", c.Rooms, smallRoom), members: c.Rooms * smallRoom, rooms: c.Rooms,
			loads: []peerLoad{{name: "every member writes"}, {name: fmt.Sprintf("%v messages/s", even), rate: even}},
		})
	}
	if slices.Contains(c.Jobs, "latency") {
		n := min(pacedConns, c.Conns)
		rooms := max(n/pacedRoom, 1)
		cases = append(cases, peerCase{
			name: fmt.Sprintf("latency, %d rooms of %d", rooms, n/rooms), members: n / rooms * rooms, rooms: rooms,
			loads: []peerLoad{{name: fmt.Sprintf("%v messages/s", c.Rate), rate: c.Rate}},
		})
	}
	idle, connect := slices.Contains(c.Jobs, "idle"), slices.Contains(c.Jobs, "connect")
	if idle || connect {
		rooms := max(c.Conns/idleRoom, 1)
		cases = append(cases, peerCase{
			name: fmt.Sprintf("%d connections in %d rooms", c.Conns, rooms), members: c.Conns, rooms: rooms, idle: idle, connect: connect,
		})
	}
	return cases
}
