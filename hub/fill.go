package hub

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// filler reads pages for lagging cursors: a bounded number at once, equal
// ones together, with goroutines that live only while there is something to
// read.
type filler struct {
	hub *Hub
	max int

	mu      sync.Mutex
	wg      sync.WaitGroup
	groups  map[fillKey]*fillGroup
	queue   []*fillGroup
	running int

	kept     map[fillKey]keptPage
	keptSize int // bytes

	count, resets atomic.Int64
}

type fillKey struct {
	topic *Topic
	after int64
	epoch string // that the cursor belongs to; "" where it cannot go on
}

type fillGroup struct {
	key   fillKey
	subs  []*Sub
	packs bool // some of them take packed frames
}

// sharedPage is a page with its frames joined into writes, for all who asked.
type sharedPage struct {
	Page
	batches []batch
	packed  []batch // the same in the second encoding, where somebody takes it
}

// retryAfter is how long a page that could not be read waits for the next try.
const retryAfter = time.Second

func (f *filler) init(h *Hub, max int) {
	f.hub, f.max, f.groups = h, max, make(map[fillKey]*fillGroup)
}

func (f *filler) wait() { f.wg.Wait() }

func (f *filler) request(t *Topic, s *Sub) {
	key := fillKey{t, s.cursor, t.origin(s)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if page := f.recall(key, s.flags&packs != 0); page != nil {
		f.hub.lanes[s.lane].deliver(result{s, page, nil})
		return
	}
	if g := f.groups[key]; g != nil {
		g.subs = append(g.subs, s)
		g.packs = g.packs || s.flags&packs != 0
		return
	}
	g := &fillGroup{key: key, subs: []*Sub{s}, packs: s.flags&packs != 0}
	f.groups[key] = g
	f.queue = append(f.queue, g)
	if f.running < f.max && f.hub.ctx.Err() == nil {
		f.running++
		f.wg.Add(1)
		go f.work()
	}
}

func (f *filler) work() {
	defer f.wg.Done()
	for {
		f.mu.Lock()
		if len(f.queue) == 0 || f.hub.ctx.Err() != nil {
			f.running--
			f.mu.Unlock()
			return
		}
		g := f.queue[0]
		f.queue[0] = nil
		f.queue = f.queue[1:]
		f.mu.Unlock()

		f.serve(g)
	}
}

// serve reads the page of a group and has it delivered.
func (f *filler) serve(g *fillGroup) {
	defer f.hub.rescue("a page")
	page, err := f.read(g.key)

	f.mu.Lock()
	delete(f.groups, g.key) // who comes from now on may need a newer page
	f.mu.Unlock()
	if err == nil {
		if g.packs {
			page.packed = packPage(page.Page, f.hub.opt.Pack)
		}
		f.mu.Lock()
		f.keep(g.key, page, g.packs)
		f.mu.Unlock()
	}
	for _, s := range g.subs {
		f.hub.lanes[s.lane].deliver(result{s, page, err})
	}
	if err != nil && f.hub.ctx.Err() == nil {
		f.hub.opt.Logger.Warn("hub: page for lagging cursors not read", "error", err, "cursors", len(g.subs))
		time.AfterFunc(retryAfter, func() {
			for _, s := range g.subs {
				s.Wake()
			}
		})
	}
}

func (f *filler) read(k fillKey) (sp *sharedPage, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	t := k.topic
	f.count.Add(1)
	before, _ := t.Head()
	page, err := t.log.Fill(f.hub.ctx, k.epoch, k.after)
	if err != nil {
		return nil, err
	}
	// Nothing, where the Log has seen to it.
	t.Turn(Turn{From: before, To: page.Epoch, Good: unknown, Head: page.Through})
	return &sharedPage{Page: page, batches: split(page)}, nil
}

// split joins a page's frames into batches of bounded size.
func split(p Page) []batch {
	var bs []batch
	for i := 0; i < len(p.Frames); {
		var b batch
		size := 0
		for ; i < len(p.Frames) && (size == 0 || size+len(p.Frames[i].Data) <= maxBatch); i++ {
			b.frames = append(b.frames, p.Frames[i].Data)
			b.revs = append(b.revs, p.Frames[i].Rev)
			size += len(p.Frames[i].Data)
		}
		b.through = b.revs[len(b.revs)-1]
		b.join()
		bs = append(bs, b)
	}
	return bs
}
