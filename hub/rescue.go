package hub

import (
	"runtime/debug"
	"time"
)

// What the hub calls is not its own: sinks, logs, the second encoding. It calls
// them from goroutines that serve everybody, some under a lock, so what panics
// there is caught right there: it harms the subscriptions it was done for, and
// they are tried again after a while.

// panicked logs a panic.
func (h *Hub) panicked(where string, v any) {
	h.opt.Logger.Error("hub: panic in "+where, "panic", v, "stack", string(debug.Stack()))
}

// rescue is deferred around each thing that a goroutine of the hub does.
func (h *Hub) rescue(where string) {
	if v := recover(); v != nil {
		h.panicked(where, v)
	}
}

// offer gives a batch to the subscription's sink and returns how many of its
// frames that takes. The members' lock is held.
func (l *walker) offer(s *Sub, b *batch) (taken int) {
	defer func() {
		if v := recover(); v != nil {
			taken = 0
			l.hub.panicked("a sink", v)
			time.AfterFunc(retryAfter, s.Wake)
		}
	}()
	return s.sink.Write(b.joined, b.frames)
}

// synced is the log's frame that says so, nil where it cannot make one.
func (t *Topic) synced(epoch string, rev int64) []byte {
	defer t.hub.rescue("a log")
	return t.log.Synced(epoch, rev)
}

// safePack is a second encoding that leaves a frame as it is where it panics.
func (h *Hub) safePack(pack func([]byte) []byte) func([]byte) []byte {
	if pack == nil {
		return nil
	}
	return func(frame []byte) []byte {
		defer h.rescue("the second encoding")
		return pack(frame)
	}
}

// stepOn goes on with a walk that has been claimed. A bug of ours must not stop
// the topic for ever: the walk is given up, and begun again after a while.
func (l *walker) stepOn(m *members) {
	defer func() {
		if v := recover(); v != nil {
			l.hub.panicked("a walk", v)
			m.pass = nil
			m.walk.end()
			time.AfterFunc(retryAfter, func() { m.home().push(m) })
		}
	}()
	l.step(m)
}
