package hub

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// filler reads pages for lagging cursors: a bounded number at once, equal
// ones together, with goroutines that live only while there is something to
// read. Of the cursors of one sink one has its turn: what is read for the others
// meanwhile could not go out. A page counts as being read until all who wait for
// it have been offered it, so that pages do not pile up.
type filler struct {
	hub *Hub
	max int

	mu      sync.Mutex
	wg      sync.WaitGroup
	groups  map[fillKey]*fillGroup
	queue   []*fillGroup
	running int
	turns   map[Sink]*fillTurn
	nturns  atomic.Int64 // how many, to be seen without the lock

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

	left atomic.Int64  // of subs, those that have not been offered the page
	done chan struct{} // closed when left is 0
}

// offered notes that one of those who wait has been offered the page.
func (g *fillGroup) offered() {
	if g != nil && g.left.Add(-1) == 0 {
		close(g.done)
	}
}

// fillTurn says which cursor of a sink has pages read, until it needs no more or
// has failed to get one, and who comes next.
type fillTurn struct {
	sub     *Sub
	asked   bool // for a page, since its turn began
	waiting []*Sub
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
	f.hub, f.max, f.groups, f.turns = h, max, make(map[fillKey]*fillGroup), make(map[Sink]*fillTurn)
}

func (f *filler) wait() { f.wg.Wait() }

// request has a page read, when it is the cursor's turn. The members' lock is
// held.
func (f *filler) request(t *Topic, s *Sub) {
	key := fillKey{t, s.cursor, t.origin(s)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if turn := f.turns[s.sink]; turn == nil {
		f.turns[s.sink] = &fillTurn{sub: s, asked: true}
		f.nturns.Add(1)
	} else if turn.sub != s {
		turn.waiting = append(turn.waiting, s)
		return
	} else {
		turn.asked = true
	}
	if page := f.recall(key, s.flags&packs != 0); page != nil {
		f.hub.lanes[s.lane].deliver(result{sub: s, page: page})
		return
	}
	if g := f.groups[key]; g != nil {
		g.subs = append(g.subs, s)
		g.packs = g.packs || s.flags&packs != 0
		return
	}
	g := &fillGroup{key: key, subs: []*Sub{s}, packs: s.flags&packs != 0, done: make(chan struct{})}
	f.groups[key] = g
	f.queue = append(f.queue, g)
	if f.running < f.max && f.hub.ctx.Err() == nil {
		f.running++
		f.wg.Add(1)
		go f.work()
	}
}

// granted reports whether the cursor's turn has begun, and it has not asked for a
// page yet.
func (f *filler) granted(s *Sub) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	turn := f.turns[s.sink]
	return turn != nil && turn.sub == s && !turn.asked
}

// pass ends a cursor's turn, or its waiting for one: it needs no page any more,
// or gets none now. The members' lock is held.
func (f *filler) pass(s *Sub) {
	if f.nturns.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	turn := f.turns[s.sink]
	if turn == nil {
		return
	}
	if turn.sub != s {
		if i := slices.Index(turn.waiting, s); i >= 0 {
			turn.waiting = slices.Delete(turn.waiting, i, i+1)
		}
		return
	}
	if len(turn.waiting) == 0 {
		delete(f.turns, s.sink)
		f.nturns.Add(-1)
		return
	}
	turn.sub, turn.asked = turn.waiting[0], false
	turn.waiting = shift(turn.waiting, 1)
	// By its lane: its members' lock is another.
	f.hub.lanes[turn.sub.lane].wakeUp(turn.sub)
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
	g.left.Store(int64(len(g.subs)))
	for _, s := range g.subs {
		f.hub.lanes[s.lane].deliver(result{s, page, err, g})
	}
	if err != nil && f.hub.ctx.Err() == nil {
		f.hub.opt.Logger.Warn("hub: page for lagging cursors not read", "error", err, "cursors", len(g.subs))
		time.AfterFunc(retryAfter, func() {
			for _, s := range g.subs {
				s.Wake()
			}
		})
	}
	select {
	case <-g.done:
	case <-f.hub.ctx.Done():
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
