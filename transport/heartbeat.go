package transport

// verdict is what a sweep finds to be done about a connection.
type verdict int

const (
	fine verdict = iota
	overdue
)

// beat looks after a connection: it pings the silent, closes the dead, the stalled
// and those that do not finish what they began, and tells when the time to close
// has run out. partial is the tick at which an incomplete message began.
//
// Only what the peer did counts as a sign of life. Bytes that went straight into
// the kernel's buffer are none: there they would wait for a peer that is gone.
func (c *Conn) beat(now uint32, partial uint32, isPartial bool) verdict {
	t := c.t
	c.mu.Lock()
	state, end := c.state.Load(), c.end
	waits, since := c.out != nil, now
	if waits {
		since = c.out.since
	}
	late := end != nil && passed(now, end.deadline)
	c.mu.Unlock()

	silent := min(age(now, c.heard.Load()), age(now, c.taken.Load()))
	switch {
	case state&isClosed != 0:
	case end != nil:
		if late {
			return overdue
		}
	case state&isParked != 0:
		if age(now, c.heard.Load()) >= t.deadTicks {
			return overdue // hung up, and nobody wants to read the rest
		}
	case waits && age(now, since) >= t.stallTicks:
		c.fail(t.opts.StallCode, "output is not taken", ErrStalled)
	case state&(isPaused|isInflating) != 0:
	case c.inputWaits(silent >= t.deadTicks || isPartial && age(now, partial) >= t.frameTicks):
		// The process has been standing still, not the peer.
	case silent >= t.deadTicks:
		c.fail(t.opts.DeadCode, "nothing heard", ErrDead)
	case isPartial && age(now, partial) >= t.frameTicks:
		bad := &ProtocolError{codePolicy, "message did not come in whole in time"}
		c.fail(bad.Code, bad.Reason, bad)
	case !waits && min(age(now, c.heard.Load()), age(now, c.pinged)) >= t.pingTicks:
		c.pinged = now
		c.Signal(t.ping)
	}
	return fine
}
