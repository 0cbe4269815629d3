//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gabblehq/chat/internal/wire"
)

// centrifuge is the JSON protocol of centrifuge: commands with an id, which
// replies echo, and pushes. A room is a channel, a position its offset.
type centrifuge struct {
	cl  *client
	ids []uint32 // of each connection's last command
	buf []byte
}

// The ids of the first two commands of a connection.
const (
	centrifugeConnect   = 1
	centrifugeSubscribe = 2
)

// hello implements dialect.
func (d *centrifuge) hello(c *conn) error {
	if len(d.ids) < len(d.cl.conns) {
		d.ids = make([]uint32, len(d.cl.conns))
	}
	d.ids[c.index] = centrifugeSubscribe
	return d.send(c, fmt.Appendf(d.buf[:0], `{"id":%d,"connect":{}}`, centrifugeConnect))
}

// join implements dialect.
func (d *centrifuge) join(c *conn) error {
	return d.send(c, fmt.Appendf(d.buf[:0], `{"id":%d,"subscribe":{"channel":%q}}`, centrifugeSubscribe, roomName(int(c.room))))
}

// submit implements dialect.
func (d *centrifuge) submit(c *conn, room string) error {
	d.cl.commands++
	d.ids[c.index]++
	b := append(d.buf[:0], `{"id":`...)
	b = strconv.AppendUint(b, uint64(d.ids[c.index]), 10)
	b = append(append(append(b, `,"publish":{"channel":"`...), room...), `","data":{"content":`...)
	b, err := jsontext.AppendQuote(b, d.cl.content)
	if err != nil {
		return err
	}
	b = strconv.AppendInt(append(b, `,"nonce":"`...), c.published, 10)
	return d.send(c, append(b, `"}}}`...))
}

func (d *centrifuge) send(c *conn, payload []byte) error {
	d.buf = payload
	d.cl.out = appendFrame(d.cl.out[:0], opText, payload)
	return d.cl.write(c, d.cl.out)
}

// object implements dialect.
func (d *centrifuge) object(c *conn, payload []byte) error {
	if string(payload) == "{}" {
		d.cl.pings++
		return d.send(c, append(d.buf[:0], "{}"...))
	}
	var id uint64
	err := members(payload, func(name, value []byte) (err error) {
		switch string(name) {
		case "id":
			id, err = strconv.ParseUint(string(value), 10, 32)
			return err
		case "connect":
			return d.cl.took(c, stepWelcome, &wire.Peeked{})
		case "subscribe":
			return d.subscribed(c, value)
		case "publish":
			return d.acked(c, id)
		case "push":
			return members(value, func(name, value []byte) error { return d.push(c, name, value) })
		}
		return errors.New("neither asked for nor a push")
	})
	if err != nil {
		return fmt.Errorf("%.300q: %w", payload, err)
	}
	return nil
}

func (d *centrifuge) subscribed(c *conn, value []byte) error {
	if c.cursor.joined {
		return errors.New("subscribed twice")
	}
	err := members(value, func(name, value []byte) (err error) {
		if string(name) == "offset" {
			c.cursor.rev, err = strconv.ParseInt(string(value), 10, 64)
		}
		return err
	})
	if err != nil {
		return err
	}
	c.cursor.joined = true
	return d.cl.took(c, stepJoined, &wire.Peeked{})
}

// acked takes the reply to a publish, which does not tell the position: none
// that any message has.
func (d *centrifuge) acked(c *conn, id uint64) error {
	if id != uint64(d.ids[c.index]) {
		return errors.New("the answer to another command")
	}
	return d.cl.took(c, stepAck, &wire.Peeked{Rev: math.MaxInt64, Ref: strconv.AppendInt(nil, c.published, 10)})
}

// push takes a member of a push: of a publication, what the data says of it and
// its offset.
func (d *centrifuge) push(c *conn, name, value []byte) error {
	switch string(name) {
	case "channel":
		return nil
	case "pub":
	default:
		return fmt.Errorf("a push of %q", name)
	}
	p := wire.Peeked{Type: []byte("message")}
	err := members(value, func(name, value []byte) (err error) {
		switch string(name) {
		case "offset":
			p.Rev, err = strconv.ParseInt(string(value), 10, 64)
		case "data":
			err = members(value, func(name, value []byte) error {
				if string(name) == "nonce" {
					p.Nonce = unquoted(value)
				}
				return nil
			})
		}
		return err
	})
	if err == nil {
		err = c.cursor.advance(&p)
	}
	if err != nil {
		return err
	}
	return d.cl.took(c, stepMessage, &p)
}

// bystander lets everything happen.
type bystander struct{}

func (bystander) delivered(*conn, *wire.Peeked) error { return nil }
func (bystander) acked(*conn, *wire.Peeked) error     { return nil }
