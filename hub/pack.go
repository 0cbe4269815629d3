package hub

import "sync"

// Packer is a Sink that may take frames in their second encoding; see
// [Options.Pack]. It is asked once, by Attach.
type Packer interface {
	Packs() bool
}

// packing is the second encoding of a frame in a ring. It is made when a
// subscription first needs it, outside of all locks but that of the members
// it is made for, and shared by all lanes.
type packing struct {
	once sync.Once
	data []byte // the frame as it is where packing is not worth it
	own  int    // bytes of data that are not the frame's

	// What the ring counts for it, guarded by the topic's lock.
	size int
	gone bool // the ring has let go of the frame
}

// packingOverhead is what a packing costs beside its bytes.
const packingOverhead = 64

func (p *packing) of(frame []byte, pack func([]byte) []byte) []byte {
	p.once.Do(func() {
		p.data = pack(frame)
		if p.own = len(p.data); p.own == 0 {
			p.data = frame
		}
	})
	return p.data
}

// packing returns the entry's second encoding, which may have to be made. The
// topic's lock is held.
func (e *entry) packing() *packing {
	if e.packed == nil {
		e.packed = &packing{}
	}
	return e.packed
}

// pack puts the second encodings into the place of the frames that come from
// the ring.
func (b *batch) pack(t *Topic, r *ring) {
	if len(b.packs) == 0 {
		return
	}
	pack := t.hub.opt.Pack
	for i, p := range b.packs {
		b.frames[i] = p.of(b.frames[i], pack)
	}
	if b.unpaid {
		t.countPacked(r, b.packs)
	}
	clear(b.packs)
	b.packs, b.unpaid = b.packs[:0], false
}

// countPacked has the ring pay for encodings that have been made. The topic's
// lock is not held.
func (t *Topic) countPacked(r *ring, packs []*packing) {
	t.mu.Lock()
	if t.ring != r {
		t.mu.Unlock()
		return
	}
	before := r.bytes
	for _, p := range packs {
		if p.size == 0 && !p.gone {
			p.size = packingOverhead + p.own
			r.bytes += p.size
		}
	}
	r.shrink(t.hub.opt.RingFrames, t.hub.opt.RingBytes)
	t.hub.size.Add(int64(r.bytes - before))
	t.mu.Unlock()
	t.hub.cold.evict(t.hub, int64(t.hub.opt.TotalBytes))
}

// pair holds the batches of a walk for one kind of member.
type pair struct {
	main  batch // for the cursor that most members share
	other batch // for the last one that differed
}

func (p *pair) release() {
	p.main.release()
	p.other.release()
}

// of returns the walk's batches for members like the subscription.
func (p *pass) of(s *Sub) *pair {
	if s.flags&packs != 0 {
		return &p.packed
	}
	return &p.plain
}

// batchesFor returns the page as the subscription takes it.
func (p *sharedPage) batchesFor(s *Sub) []batch {
	if s.flags&packs != 0 {
		return p.packed
	}
	return p.batches
}

// packPage makes the second encoding of a page.
func packPage(p Page, pack func([]byte) []byte) []batch {
	frames := make([]Frame, len(p.Frames))
	for i, f := range p.Frames {
		if small := pack(f.Data); small != nil {
			f.Data = small
		}
		frames[i] = f
	}
	p.Frames = frames
	return split(p)
}
