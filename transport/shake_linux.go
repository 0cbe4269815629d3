package transport

import (
	"net/http"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/poll"
)

// shake is an accepted connection until its handshake is done, or until its
// refusal has been read.
type shake struct {
	l        *loop
	s        *listener
	fd       int
	slot     int32
	from     netip.AddrPort
	left     func() // tells the host that the request is in, or will not come
	buf      []byte // the request so far
	deadline uint32
	refused  bool // answered; waiting for the peer to hang up
	turned   bool // was never let in
	over     bool
}

// open reads the request, which most often is there already: only if it is not,
// the loop has to watch for it.
func (h *shake) open() {
	defer rescueSource(h)
	h.deadline, h.slot = h.l.t.ticks()+h.l.t.shakeTicks, unwatched
	h.ready(poll.Readable)
	if !h.over {
		h.watch(h.deadline)
	}
}

const unwatched = -1

func (h *shake) watch(deadline uint32) {
	h.deadline = deadline
	h.slot = h.l.take(h)
	if err := h.l.poll.Add(h.fd, h.slot, poll.Readable); err != nil {
		h.cut()
		return
	}
	h.l.hurry(h)
}

// cut implements source.
func (h *shake) cut() {
	if h.over {
		return
	}
	h.over = true
	if !h.refused {
		h.left()
	}
	h.unwatch()
	h.l.shut = append(h.l.shut, h.fd)
	if h.turned {
		h.l.t.unholdRefusal()
		return
	}
	h.l.t.leave()
}

// panicked implements source.
func (h *shake) panicked(v any) {
	h.l.t.panicked("transport: panic in a handshake", v)
	h.cut()
}

func (h *shake) unwatch() {
	if h.slot != unwatched {
		h.l.release(h.slot, h.fd, true)
	}
}

// sweep implements source.
func (h *shake) sweep(now uint32) (urgent bool) {
	if !h.over && passed(now, h.deadline) {
		if !h.refused {
			_, _ = unix.Write(h.fd, refusal(refuse(http.StatusRequestTimeout, "the request did not come in whole in time")))
		}
		h.cut()
	}
	return !h.over
}

// ready implements source.
func (h *shake) ready(poll.Events) {
	n, err := unix.Read(h.fd, h.l.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil || n == 0:
		h.cut()
		return
	case h.refused:
		return
	}
	h.buf = append(h.buf, h.l.buf[:n]...)
	limit := h.l.t.opts.HandshakeBytes
	head := h.buf[:min(len(h.buf), limit)]
	whole, bad := h.l.t.checkRequestBytes(head)
	if !whole && bad == nil {
		return
	}
	// From here on a worker owns the descriptor: accept may block.
	h.over = true
	h.unwatch()
	work := func() { h.answer(bad) }
	if !h.l.t.workers.run(work) {
		h.left()
		h.refuse(refusal(refuseBusy()))
	}
}

// answer runs on a worker.
func (h *shake) answer(bad *HandshakeError) {
	t := h.l.t
	served := false
	defer func() {
		if v := recover(); v != nil {
			t.panicked("transport: panic in a handshake", v)
			if !served {
				h.refuse(refusal(refuse(http.StatusInternalServerError, "internal error")))
			}
		}
	}()
	h.left()
	if bad != nil {
		h.refuse(refusal(bad))
		return
	}
	if passed(t.ticks(), h.deadline) {
		h.refuse(refusal(refuseBusy())) // it has waited for a worker for too long
		return
	}
	n := endOfHeader(h.buf)
	answer, open, _ := t.greet(greeting{raw: h.buf[:n], remote: remote(h.from)}, h.s.accept)
	if open == nil {
		h.refuse(answer)
		return
	}
	c := t.newConn(h.l.id)
	c.fd = int32(h.fd)
	// The answer waits for what open sends, so that both go out in one write.
	c.out = &output{since: t.ticks()}
	c.out.push(answer)
	served = true
	t.run(c, h.buf[n:], open)
}

// uncork writes the answer to an upgrade and what has been sent behind it.
func (c *Conn) uncork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil || c.is(cannotWrite&^isClosing) {
		return
	}
	answer, all := len(c.out.frames[0]), slices.Concat(c.out.frames...)
	c.out = nil
	n, err := c.write(all)
	c.t.counters[c.loop].bytesOut.Add(-int64(min(n, answer))) // no part of the handshake counts
	switch {
	case err != nil:
		c.broke(err)
	case n < len(all):
		c.hold(all, n)
	case c.is(isClosing):
		c.closeWrite()
	}
}

// refuse sends the answer and has the loop wait until the peer has read it. The loop
// may still hold h itself, in its list of the urgent.
func (h *shake) refuse(answer []byte) {
	_, _ = unix.Write(h.fd, answer)
	_ = unix.Shutdown(h.fd, unix.SHUT_WR)
	rest := &shake{l: h.l, s: h.s, fd: h.fd, refused: true}
	h.l.call(func() { rest.watch(h.l.t.ticks() + h.l.t.closeTicks) })
}

// cutShakes cuts the handshakes of a listener that is closed.
func (t *Transport) cutShakes(s *listener) {
	t.mu.Lock()
	loops := append([]*loop(nil), t.loops...)
	t.mu.Unlock()
	for _, l := range loops {
		if l == nil {
			continue
		}
		l.call(func() {
			for _, o := range l.slots {
				if h, ok := o.(*shake); ok && h.s == s {
					h.cut()
				}
			}
		})
	}
}
