// Package turn orders what comes in on a connection: one at a time is taken up,
// by whoever has the turn, while those before may still be under way.
package turn

import "slices"

// Limits bound an Inbox.
type Limits struct {
	Outstanding int // payloads that wait, and those under way
	Bytes       int // of those that wait, beside one of any size
}

// Inbox holds the payloads that have come in and are not under way yet. What is
// taken up may have a rest of type R, to be taken up by and by before the next
// payload. A nil Inbox is empty. The caller has a lock around every call.
type Inbox[R any] struct {
	limits  *Limits
	queue   [][]byte
	rest    *R // nil: nothing is left
	bytes   int
	active  int  // under way
	running bool // somebody has the turn
	paused  bool // nothing more is to come in
	blocked bool // nothing more is to be taken up
}

// New returns an empty Inbox. Many share their limits.
func New[R any](l *Limits) *Inbox[R] { return &Inbox[R]{limits: l} }

// Push puts in a payload, which may be nil. It reports whether to stop what
// comes in, until Resume reports true.
func (in *Inbox[R]) Push(payload []byte) (pause bool) {
	in.queue = append(in.queue, payload)
	in.bytes += len(payload)
	if in.paused || len(in.queue) < in.limits.Outstanding && in.bytes < in.limits.Bytes {
		return false
	}
	in.paused = true
	return true
}

// Resume reports whether there is room again for what comes in.
func (in *Inbox[R]) Resume() bool {
	if !in.paused || len(in.queue) > in.limits.Outstanding/2 || in.bytes > in.limits.Bytes/2 {
		return false
	}
	in.paused = false
	return true
}

// Start takes the turn, if it is free and there is something to do.
func (in *Inbox[R]) Start() bool {
	if in == nil || in.running || !in.ready() {
		return false
	}
	in.running = true
	return true
}

// ready reports whether something is to be taken up now.
func (in *Inbox[R]) ready() bool {
	return in.waits() && !in.blocked && in.active < in.limits.Outstanding
}

// waits reports whether there is something to be taken up at some time.
func (in *Inbox[R]) waits() bool { return len(in.queue) > 0 || in.rest != nil }

// Take returns what comes next, for whoever has the turn: the rest of the
// payload before, or a payload. Done goes with it. Where there is nothing to
// do, it gives the turn away.
func (in *Inbox[R]) Take() (payload []byte, rest *R, ok bool) {
	if !in.ready() {
		in.running = false
		return nil, nil, false
	}
	in.active++
	if in.rest != nil {
		return nil, in.rest, true
	}
	payload = in.queue[0]
	in.queue[0] = nil
	in.queue = in.queue[1:]
	in.bytes -= len(payload)
	return payload, nil, true
}

// Done counts one as done that was under way.
func (in *Inbox[R]) Done() { in.active-- }

// Stop gives the turn away.
func (in *Inbox[R]) Stop() { in.running = false }

// StopIdle gives the turn away unless something is left to do in it, and
// reports whether it has.
func (in *Inbox[R]) StopIdle() bool {
	if in.waits() && in.active < in.limits.Outstanding {
		return false
	}
	in.running = false
	return true
}

// Rest is what is left of the payload before, nil where that is nothing.
func (in *Inbox[R]) Rest() *R { return in.rest }

// SetRest says what is left of it; nil: nothing more.
func (in *Inbox[R]) SetRest(r *R) { in.rest = r }

// Block has nothing more taken up until Unblock.
func (in *Inbox[R]) Block() { in.blocked = true }

// Unblock undoes Block.
func (in *Inbox[R]) Unblock() {
	if in != nil {
		in.blocked = false
	}
}

// Remove takes out a payload, which is known by its first byte, if it still
// waits. It does not while nothing is taken up.
func (in *Inbox[R]) Remove(payload []byte) bool {
	if in == nil || in.blocked {
		return false
	}
	i := slices.IndexFunc(in.queue, func(p []byte) bool { return len(p) > 0 && &p[0] == &payload[0] })
	if i < 0 {
		return false
	}
	in.queue = slices.Delete(in.queue, i, i+1)
	in.bytes -= len(payload)
	return true
}

// Clear throws away what waits.
func (in *Inbox[R]) Clear() { in.queue, in.bytes, in.rest = nil, 0, nil }

// Free reports whether what comes in now would be taken up at once.
func (in *Inbox[R]) Free() bool { return in == nil || !in.running && !in.blocked && !in.waits() }

// Empty reports whether there is nothing in it to be kept.
func (in *Inbox[R]) Empty() bool { return in.Free() && (in == nil || !in.paused && in.active == 0) }
