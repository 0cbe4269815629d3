//go:build linux

package main

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/gabblehq/chat/internal/wire"
)

// cursor is what one connection has seen of its room, and what it may see next.
type cursor struct {
	epoch  string
	rev    int64
	joined bool
	behind bool // has resumed and not been told yet that it is at the head
}

// step is what a frame means for the load.
type step uint8

const (
	stepNone    step = iota
	stepWelcome      // the connection has a user
	stepJoined       // it follows its room, from the head or from where it was
	stepSynced       // it has caught up
	stepMessage      // a message has been delivered
	stepAck          // a message of its own has been acknowledged
	stepSignal       // presence and the like: without a position
)

// joinedFrame is what counts of a joined frame.
type joinedFrame struct {
	Epoch    string `json:"epoch"`
	Head     int64  `json:"head"`
	Reset    bool   `json:"reset"`
	Messages []struct {
		Rev int64 `json:"rev"`
	} `json:"messages"`
}

// read decodes one text frame and checks that it is what the connection may be
// sent now. What is not in order is an error, whatever came of it.
func (c *cursor) read(payload []byte) (step, wire.Peeked, error) {
	p, ok := wire.Peek(payload)
	if !ok {
		return stepNone, p, fmt.Errorf("not JSON: %.200q", payload)
	}
	switch string(p.Type) {
	case "message":
		return stepMessage, p, c.advance(&p)
	case "room", "edit", "delete":
		return stepNone, p, c.advance(&p)
	case "ack":
		return stepAck, p, nil
	case "synced":
		if !c.joined || p.Rev != c.rev {
			return stepNone, p, fmt.Errorf("synced at %d, but the last position seen is %d", p.Rev, c.rev)
		}
		c.behind = false
		return stepSynced, p, nil
	case "joined":
		return stepJoined, p, c.join(payload)
	case "welcome":
		return stepWelcome, p, nil
	case "presence":
		if !c.joined {
			return stepNone, p, errors.New("presence before joined")
		}
		return stepSignal, p, nil
	}
	// error, reset, left, reconnect and whatever nobody has heard of: none of
	// them may happen here.
	return stepNone, p, fmt.Errorf("unexpected frame: %.300s", payload)
}

// advance takes a change at the next position. Nothing is folded here, since
// nothing is ever changed twice, so positions have no holes even where the
// store served them.
func (c *cursor) advance(p *wire.Peeked) error {
	switch {
	case !c.joined:
		return fmt.Errorf("%s at %d before joined", p.Type, p.Rev)
	case p.Rev == c.rev+1:
		c.rev++
		return nil
	case p.Rev <= c.rev:
		return fmt.Errorf("%s at %d after %d: doubled or out of order", p.Type, p.Rev, c.rev)
	}
	return &missingError{string(p.Type), p.Rev, c.rev}
}

// join begins or, after a cut, goes on.
func (c *cursor) join(payload []byte) error {
	var j joinedFrame
	if err := json.Unmarshal(payload, &j); err != nil {
		return fmt.Errorf("joined: %w", err)
	}
	switch {
	case c.joined && !c.behind:
		return fmt.Errorf("joined twice: %.300s", payload)
	case j.Reset:
		return fmt.Errorf("told to start over after %d, head %d", c.rev, j.Head)
	case len(j.Messages) > 0:
		return fmt.Errorf("joined with %d messages, asked for none", len(j.Messages))
	case !c.behind:
		c.epoch, c.rev = j.Epoch, j.Head
	case j.Head < c.rev:
		return fmt.Errorf("resumed %s after %d, but joined %s with head %d", c.epoch, c.rev, j.Epoch, j.Head)
	default:
		c.epoch = j.Epoch // its position is one of that, too
	}
	c.joined = true
	return nil
}
