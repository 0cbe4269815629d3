package hub

import (
	"sort"
	"sync"
	"time"
)

// ring holds the newest frames of a topic. The topic's lock guards it.
type ring struct {
	entries []entry // in rev order
	base    int64   // cursors at or above it can go on from here
	bytes   int
	touched time.Time // guarded by coldList.mu, like the links

	topic      *Topic
	prev, next *ring
}

// entry is a frame and the position it follows.
type entry struct {
	rev int64
	// after is where a cursor from outside must stand for this entry to be
	// the next: the rev before it, or, for all entries of one folded page, the
	// position that the page was read from. A cursor strictly within a folded
	// page may lack a change that the page has folded away under a later rev,
	// and the frames were made for those who have seen nothing of the page.
	after  int64
	data   []byte
	packed *packing // nil until a subscription wants it
}

// entryOverhead is what an entry costs beside its frame.
const entryOverhead = 48

// push appends an entry and returns by how much the ring has grown.
func (r *ring) push(e entry, maxFrames, maxBytes int) int {
	before := r.bytes
	r.entries = append(r.entries, e)
	r.bytes += len(e.data) + entryOverhead
	r.shrink(maxFrames, maxBytes)
	return r.bytes - before
}

// shrink lets go of the oldest entries until the rest fits.
func (r *ring) shrink(maxFrames, maxBytes int) {
	for len(r.entries) > 1 && (len(r.entries) > maxFrames || r.bytes > maxBytes) {
		e := &r.entries[0]
		r.base = e.rev
		r.bytes -= len(e.data) + entryOverhead
		if e.packed != nil {
			r.bytes -= e.packed.size
			e.packed.gone = true
		}
		*e = entry{} // let go of the frame
		r.entries = r.entries[1:]
	}
}

// seek returns the index of the first entry above the cursor.
func (r *ring) seek(cursor int64) int {
	n := len(r.entries)
	// Positions are almost always dense: look where the entry should be.
	if n > 0 {
		if i := n - int(r.entries[n-1].rev-cursor); i >= 0 && i < n && r.entries[i].rev == cursor+1 {
			return i
		}
	}
	return sort.Search(n, func(i int) bool { return r.entries[i].rev > cursor })
}

// coldList orders the rings by when they were last appended to.
type coldList struct {
	mu          sync.Mutex
	first, last *ring // first: the coldest
}

func (c *coldList) touch(r *ring, now time.Time) {
	c.mu.Lock()
	r.touched = now
	if c.last != r {
		c.unlink(r)
		r.prev = c.last
		if c.last != nil {
			c.last.next = r
		} else {
			c.first = r
		}
		c.last = r
	}
	c.mu.Unlock()
}

func (c *coldList) remove(r *ring) {
	c.mu.Lock()
	c.unlink(r)
	c.mu.Unlock()
}

func (c *coldList) unlink(r *ring) {
	switch {
	case r.prev != nil:
		r.prev.next = r.next
	case c.first == r:
		c.first = r.next
	}
	switch {
	case r.next != nil:
		r.next.prev = r.prev
	case c.last == r:
		c.last = r.prev
	}
	r.prev, r.next = nil, nil
}

// evict drops the coldest rings until all fit into max bytes. No topic's lock
// may be held.
func (c *coldList) evict(h *Hub, max int64) {
	for h.size.Load() > max {
		c.mu.Lock()
		r := c.first
		if r == nil || r == c.last { // the one that is being written to stays
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		r.topic.dropRing(r)
	}
}

// trim drops the rings that have not been touched since then.
func (c *coldList) trim(h *Hub, since time.Time) {
	for {
		c.mu.Lock()
		r := c.first
		if r == nil || r.touched.After(since) {
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		r.topic.dropRing(r)
	}
}

// dropRing forgets the frames. r is the ring that the caller has seen; where
// the topic has another by now, nothing happens.
func (t *Topic) dropRing(r *ring) {
	t.mu.Lock()
	if t.ring == r {
		t.forget()
	}
	t.mu.Unlock()
}

// batch is what one write offers: frames of the log and signals behind them.
type batch struct {
	from    int64      // the cursor that it follows
	gen     generation // of the topic's epoch, when the batch was made
	valid   bool
	status  status
	inside  bool // a cursor from outside may go on in the ring from here
	frames  [][]byte
	revs    []int64 // of the first len(revs) frames; the rest are signals
	through int64   // where the cursor stands once all revs are taken
	joined  []byte
	buf     []byte

	packs  []*packing // of the frames, while the batch is made
	unpaid bool       // the ring does not count all of them yet
}

type status uint8

const (
	current status = iota // nothing above the cursor
	ready                 // the batch holds what is next
	outside               // the ring does not reach back to the cursor
)

// maxBatch bounds the bytes that one write offers, so that a cursor far behind
// neither holds up its lane nor overruns a socket's buffer by much.
const maxBatch = 64 << 10

// collect fills b with what follows the subscription's cursor in the ring, up
// to goal. A foreign cursor has to stand where an entry can follow it.
func (t *Topic) collect(b *batch, s *Sub, goal int64, signals [][]byte) {
	cursor := s.cursor
	b.from, b.valid = cursor, true
	b.frames, b.revs, b.joined = b.frames[:0], b.revs[:0], nil
	b.through = cursor
	size := 0
	t.mu.Lock()
	b.gen = t.generation()
	b.status = t.reach(cursor)
	b.inside = t.admits(cursor)
	if s.flags&foreign != 0 && b.status == ready && !b.inside {
		b.status = outside
	}
	r := t.ring
	if b.status == ready {
		i := r.seek(cursor)
		for ; i < len(r.entries); i++ {
			e := &r.entries[i]
			if e.rev > goal || size > 0 && size+len(e.data) > maxBatch {
				break
			}
			b.frames = append(b.frames, e.data)
			if s.flags&packs != 0 {
				p := e.packing()
				b.packs = append(b.packs, p)
				b.unpaid = b.unpaid || p.size == 0
			}
			b.revs = append(b.revs, e.rev)
			b.through = e.rev
			size += len(e.data)
		}
		if i == len(r.entries) {
			b.through = t.head // a folded page may reach beyond its last entry
		}
	}
	t.mu.Unlock()
	b.pack(t, r)
	b.frames = append(b.frames, signals...)
	b.join()
}

func (b *batch) join() {
	if len(b.frames) == 1 {
		b.joined = b.frames[0]
		return
	}
	b.buf = b.buf[:0]
	for _, f := range b.frames {
		b.buf = append(b.buf, f...)
	}
	b.joined = b.buf
}

// reach says how a cursor that has followed the ring stands to it.
func (t *Topic) reach(cursor int64) status {
	switch {
	case cursor >= t.head:
		return current
	case t.ring == nil || cursor < t.ring.base:
		return outside
	}
	return ready
}

// admits reports whether a cursor from outside may go on in the ring. One that
// is ahead of the topic, because the store has shown it what the topic has not
// heard of yet, may not: it is asked again when the topic has moved. The lock
// is held.
func (t *Topic) admits(cursor int64) bool {
	if t.reach(cursor) != ready {
		return cursor == t.head
	}
	i := t.ring.seek(cursor)
	return i == len(t.ring.entries) || t.ring.entries[i].after == cursor
}

// release lets go of the frames that the batch refers to, but keeps its
// buffers.
func (b *batch) release() {
	clear(b.frames[:cap(b.frames)])
	b.frames, b.joined, b.valid = b.frames[:0], nil, false
	if cap(b.buf) > maxBatch {
		b.buf = nil
	}
	b.revs = b.revs[:0]
}
