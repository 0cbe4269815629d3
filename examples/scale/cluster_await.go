//go:build linux

package main

import "fmt"

// awaitArgs says what everybody must have received in the end.
type awaitArgs struct {
	Want  []int32 `json:"want"` // messages, by room
	Micro int64   `json:"us"`   // how long to wait for the last of them
}

// awaitResult says who has what.
type awaitResult struct {
	Expected int64    `json:"expected"`
	Received int64    `json:"received"`
	Wrong    int      `json:"wrong"`    // connections that have not got just what they should
	Examples []string `json:"examples"` // some of them
	Last     int64    `json:"last"`     // when the last message came, by the clock
	Back     int      `json:"back"`     // connections that have come back from a dead server
	Mended   int64    `json:"mended"`   // when the last of them did
}

// maxExamples is how many connections are named of those that lack something.
const maxExamples = 5

// await waits until every connection of this process has received every message
// of its room, and none twice, or until the time is over.
func (cl *client) await(a awaitArgs, progress func(int)) (any, error) {
	r := awaitResult{}
	for i := range cl.conns {
		r.Expected += int64(a.Want[cl.conns[i].room])
	}
	begin, told := clock(), int64(0)
	err := cl.until(func() bool {
		now := clock()
		if now-told > 100e3 {
			told = now
			progress(int(cl.delivered))
		}
		return cl.delivered >= r.Expected && cl.open == len(cl.conns) || now-begin > a.Micro
	})
	progress(int(cl.delivered))
	if err != nil {
		return nil, err
	}
	r.Received, r.Back, r.Mended = cl.delivered, cl.back, cl.mended
	if k, ok := cl.load.(*courier); ok {
		r.Last = k.last
	}
	for i := range cl.conns {
		c := &cl.conns[i]
		if want := a.Want[c.room]; c.got != want || c.phase != phaseOpen {
			if r.Wrong++; len(r.Examples) < maxExamples {
				r.Examples = append(r.Examples, fmt.Sprintf("%s on server %d has %d of %d messages in %s, up to position %d",
					userName(cl.first+i), c.server, c.got, want, roomName(int(c.room)), c.cursor.rev))
			}
		}
	}
	return r, nil
}
