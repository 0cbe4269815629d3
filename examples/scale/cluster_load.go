//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/gabblehq/chat/internal/wire"
)

// The orders that the clients of a cluster get once they are connected: note
// what arrives, send so many messages to every room, send at a steady rate, and
// wait until everybody has everything. What one process sends arrives at all
// others at any time, also while they do something else.

// burstArgs has messages sent to every room.
type burstArgs struct {
	Rooms  int `json:"rooms"`
	Total  int `json:"total"`  // connections of all processes
	Each   int `json:"each"`   // messages to each room, of all processes
	Window int `json:"window"` // messages of this process that are not acknowledged
}

// steadyArgs has messages sent to rooms taken at random.
type steadyArgs struct {
	Rooms int     `json:"rooms"`
	Rate  float64 `json:"rate"` // messages per second, of this process
	Micro int64   `json:"us"`
	Dying int     `json:"dying"` // the server that will be killed meanwhile; -1: none
}

// sentResult is what one process has sent, all of it acknowledged.
type sentResult struct {
	Rooms   []int32 `json:"rooms"` // messages, by room
	Sent    int64   `json:"sent"`
	LastAck int64   `json:"last_ack"` // when, by the clock
}

// arrival is a message as one process has seen it. Times are by the clock.
type arrival struct {
	Room    int32 `json:"r"`
	Rev     int64 `json:"v"`
	Due     int64 `json:"d"` // when it was to be sent
	Acked   int64 `json:"a,omitempty"`
	Last    int64 `json:"l,omitempty"` // when the last member here had it
	Members int32 `json:"n,omitempty"` // how many here have it
}

// ackPatience bounds the wait for acknowledgements.
const ackPatience = 60e6

// courier is the load of a cluster.
type courier struct {
	cl       *client
	res      sentResult
	inFlight int
	last     int64 // when the last message came
	arrivals []arrival
	byPlace  map[position]int // index of arrivals; nil: they are not noted
}

type position struct {
	room int32
	rev  int64
}

// note returns the arrivals noted so far, and notes those that come from now
// on if told to. It comes before everything else.
func (cl *client) note(on bool) (any, error) {
	var seen []arrival
	if k, ok := cl.load.(*courier); ok {
		seen = k.arrivals
	}
	k := &courier{cl: cl}
	if on {
		k.byPlace = make(map[position]int)
	}
	cl.load = k
	return seen, cl.err
}

// courier begins to send: what has been sent before is forgotten.
func (cl *client) courier(rooms int) (*courier, error) {
	k, ok := cl.load.(*courier)
	if !ok {
		return nil, errors.New("told to send before told to note")
	}
	k.res = sentResult{Rooms: make([]int32, rooms)}
	return k, nil
}

// burst sends as fast as the window allows. Each message of a room comes from
// another member than the one before it, who is on another server.
func (cl *client) burst(a burstArgs, progress func(int)) (any, error) {
	k, err := cl.courier(a.Rooms)
	if err != nil {
		return nil, err
	}
	var queue []*conn
	for m := range a.Each {
		for i := range cl.conns {
			n := cl.first + i
			room := n % a.Rooms
			if n/a.Rooms == (m+room)%membersOf(room, a.Total, a.Rooms) {
				queue = append(queue, &cl.conns[i])
			}
		}
	}
	sent, told := 0, clock()
	begin := told
	err = cl.until(func() bool {
		for sent < len(queue) && k.inFlight < a.Window && queue[sent].published == 0 {
			k.send(queue[sent], clock())
			sent++
		}
		if now := clock(); now-told > 100e3 {
			told = now
			progress(int(k.res.Sent))
		}
		return sent == len(queue) && k.inFlight == 0 || k.late(begin)
	})
	progress(int(k.res.Sent))
	return k.res, err
}

// steady sends at a rate, whatever becomes of what has been sent.
func (cl *client) steady(a steadyArgs, progress func(int)) (any, error) {
	k, err := cl.courier(a.Rooms)
	if err != nil {
		return nil, err
	}
	cl.dying = int16(a.Dying)
	begin := clock()
	err = cl.pace(pacing{a.Rate, a.Micro}, progress, k.pick, func() bool {
		return k.inFlight == 0 || k.late(begin+a.Micro)
	})
	return k.res, err
}

// pick has some member send who is free to. It reports false where none was
// found.
func (k *courier) pick(due int64) bool {
	for range 100 {
		c := &k.cl.conns[rand.IntN(len(k.cl.conns))]
		if c.phase == phaseOpen && c.published == 0 {
			k.send(c, due)
			return true
		}
	}
	return false
}

func (k *courier) send(c *conn, due int64) {
	k.inFlight++
	k.cl.fail(c, k.cl.publishAt(c, roomName(int(c.room)), due))
}

// late fails the run where acknowledgements do not come.
func (k *courier) late(since int64) bool {
	if last := max(since, k.res.LastAck); clock()-last > ackPatience {
		k.cl.fail(nil, fmt.Errorf("%d messages have not been acknowledged within a minute", k.inFlight))
	}
	return false
}

// delivered implements workload.
func (k *courier) delivered(c *conn, p *wire.Peeked) error {
	k.last = k.cl.now
	if k.byPlace == nil {
		return nil
	}
	a := k.arrival(c.room, p.Rev)
	if a.Due == 0 {
		var err error
		if a.Due, err = strconv.ParseInt(string(p.Nonce), 10, 64); err != nil {
			return fmt.Errorf("nonce %q: %w", p.Nonce, err)
		}
	}
	a.Last = k.cl.now
	a.Members++
	return nil
}

// acked implements workload.
func (k *courier) acked(c *conn, p *wire.Peeked) error {
	if k.byPlace != nil {
		a := k.arrival(c.room, p.Rev)
		a.Due, a.Acked = c.published, k.cl.now
	}
	k.inFlight--
	k.res.Sent++
	k.res.Rooms[c.room]++
	k.res.LastAck = k.cl.now
	c.published = 0
	return nil
}

func (k *courier) arrival(room int32, rev int64) *arrival {
	i, ok := k.byPlace[position{room, rev}]
	if !ok {
		i = len(k.arrivals)
		k.byPlace[position{room, rev}] = i
		k.arrivals = append(k.arrivals, arrival{Room: room, Rev: rev})
	}
	return &k.arrivals[i]
}
