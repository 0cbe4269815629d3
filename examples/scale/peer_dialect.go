//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
)

// dialect is how the clients talk to a server that has a protocol of its own.
type dialect interface {
	hello(c *conn) error // just upgraded
	join(c *conn) error
	submit(c *conn, room string) error    // the message under way
	object(c *conn, payload []byte) error // one JSON object of the server
}

// foreign is what the clients do otherwise with a server that is not the SDK.
type foreign struct {
	dialect  dialect          // nil: they speak as with the SDK
	lines    bool             // a text frame may hold several objects, a line each
	patience int64            // microseconds of silence under load that fail the run; 0: forever
	heard    int64            // when the last bytes came
	parts    map[int32][]byte // of messages that come in several frames, by connection
	harm     harm
}

// harm is what a server has done to its clients.
type harm struct {
	Disconnected int   `json:"disconnected"` // connections that it has closed
	Lost         int64 `json:"lost"`         // messages known to be missing
}

// foreignArgs go before connecting.
type foreignArgs struct {
	Centrifuge bool  `json:"centrifuge"`
	Patience   int64 `json:"patience_us"`
}

// abroad prepares the clients for a server that is not the SDK.
func (cl *client) abroad(a foreignArgs) (any, error) {
	cl.foreign = foreign{lines: true, patience: a.Patience, parts: make(map[int32][]byte)}
	if a.Centrifuge {
		cl.foreign.dialect = &centrifuge{cl: cl}
	}
	return nil, nil
}

// hello says the first word, where that is not the server's.
func (cl *client) hello(c *conn) error {
	if cl.foreign.dialect == nil {
		return nil
	}
	return cl.foreign.dialect.hello(c)
}

// opPart stands for a frame that does not end its message.
const opPart = 0x10

// nextFrame takes one frame off the front of b, as the function of that name
// does. Where servers may fragment, the last frame of a message stands for it.
func (cl *client) nextFrame(c *conn, b []byte) (opcode byte, payload []byte, n int, err error) {
	const fin, rest = 0x80, 0
	if !cl.foreign.lines || len(b) == 0 || b[0]&fin != 0 && b[0]&0x0f != rest {
		return nextFrame(b)
	}
	head := b[0]
	b[0] |= fin
	opcode, payload, n, err = nextFrame(b)
	b[0] = head
	if n == 0 || err != nil {
		return opcode, payload, n, err
	}
	have, begun := cl.foreign.parts[c.index]
	if begun != (opcode == rest) || !begun && opcode != opText {
		return 0, nil, 0, fmt.Errorf("frame begins with %#x: fragments out of order", head)
	}
	have = append(have, payload...)
	if len(have) > maxFrame {
		return 0, nil, 0, fmt.Errorf("a message of more than %d bytes", maxFrame)
	}
	if head&fin == 0 {
		cl.foreign.parts[c.index] = have
		return opPart, nil, n, nil
	}
	delete(cl.foreign.parts, c.index)
	return opText, have, n, nil
}

// objects handles a text frame.
func (cl *client) objects(c *conn, payload []byte) error {
	if !cl.foreign.lines {
		return cl.object(c, payload)
	}
	one := cl.object
	if cl.foreign.dialect != nil {
		one = cl.foreign.dialect.object
	}
	for line := range bytes.SplitSeq(payload, []byte{'\n'}) {
		if err := one(c, line); err != nil {
			return err
		}
	}
	return nil
}

// missingError says that a connection has not been sent all there was.
type missingError struct {
	what      string
	rev, last int64
}

func (e *missingError) Error() string {
	return fmt.Sprintf("%s at %d after %d: %d missing", e.what, e.rev, e.last, e.rev-e.last-1)
}

// note counts what an error says about the server.
func (f *foreign) note(err error) {
	var m *missingError
	switch {
	case errors.As(err, &m):
		f.harm.Lost += m.rev - m.last - 1
	case broken(err):
		f.harm.Disconnected++
	}
}

// silence fails the run if the server has not sent anything for too long.
func (cl *client) silence() {
	if f := &cl.foreign; f.patience > 0 && cl.load != nil && clock()-max(f.heard, cl.lastNonce) > f.patience {
		cl.fail(nil, fmt.Errorf("nothing for %d ms, while messages are under way", f.patience/1e3))
	}
}

// aftermath is how long harm is looked for after it has begun.
const aftermath = 1e6

// damage tells what has become of the connections after a run that has failed.
func (cl *client) damage(struct{}) (any, error) {
	cl.load = bystander{}
	for end := clock() + aftermath; clock() < end; {
		cl.turn(10)
	}
	return cl.foreign.harm, nil
}
