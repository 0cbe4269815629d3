package hub

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// lane does the writing to the members of its topics, on one goroutine.
type lane struct {
	walker

	mu      sync.Mutex
	topics  []*members // to walk, in turn
	wakes   []*Sub     // to serve by themselves
	results []result   // pages that have arrived
	woken   chan struct{}

	resting atomic.Bool // has nothing to do
	helped  atomic.Bool // somebody walks a topic instead of waking it
	counts  counts
}

// walker is what a walk needs. It belongs to one goroutine.
type walker struct {
	hub     *Hub
	counts  *counts // of the lane whose topic is walked
	solo    batch   // for subscriptions served by themselves
	free    []*pass
	written int // since others were let run

	writes, delivered int // not in counts yet
}

type counts struct{ passes, writes, delivered, refused atomic.Int64 }

// result is a page for one subscription.
type result struct {
	sub   *Sub
	page  *sharedPage
	err   error
	group *fillGroup // that it was read for; nil: it was kept
}

// pass is one walk over a topic's members on a lane.
type pass struct {
	next    int   // index of the member to visit, downwards
	goal    int64 // positions up to here go out in this pass
	gen     generation
	signals [][]byte
	more    bool // somebody could not be given everything in one write
	plain   pair
	packed  pair
}

const (
	// portion is how many writes one topic gets before the next has its turn: a
	// large room must not delay the small ones.
	portion = 256
	// breath is how many writes are made before the lane lets others run.
	breath = 64
	// turn is how many writes one member who is far behind gets before the
	// others of the topic have their turn, and those who join or leave.
	turn = 8
)

func newLane(h *Hub) *lane {
	l := &lane{woken: make(chan struct{}, 1)}
	l.walker = walker{hub: h, counts: &l.counts}
	return l
}

func (l *lane) poke() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// push queues a walk over m, once.
func (l *lane) push(m *members) {
	if m.walk.queue(l.hub) {
		l.enqueue(m)
	}
}

func (l *lane) enqueue(m *members) {
	l.mu.Lock()
	l.topics = append(l.topics, m)
	l.mu.Unlock()
	l.poke()
}

func (l *lane) wakeUp(s *Sub) {
	l.mu.Lock()
	l.wakes = append(l.wakes, s)
	l.mu.Unlock()
	l.poke()
}

func (l *lane) deliver(r result) {
	l.mu.Lock()
	l.results = append(l.results, r)
	l.mu.Unlock()
	l.poke()
}

func (l *lane) run() {
	defer l.hub.wg.Done()
	var wakes [breath]*Sub
	var results [breath]result
	for l.hub.ctx.Err() == nil {
		l.mu.Lock()
		nw := copy(wakes[:], l.wakes)
		l.wakes = shift(l.wakes, nw)
		nr := copy(results[:], l.results)
		l.results = shift(l.results, nr)
		var m *members
		if len(l.topics) > 0 {
			m = l.topics[0]
			l.topics = shift(l.topics, 1)
		}
		l.mu.Unlock()

		if m == nil && nw == 0 && nr == 0 {
			l.resting.Store(true)
			select {
			case <-l.woken:
			case <-l.hub.ctx.Done():
			}
			l.resting.Store(false)
			continue
		}
		for i, r := range results[:nr] {
			l.receive(r)
			results[i] = result{}
		}
		for i, s := range wakes[:nw] {
			l.wake(s)
			wakes[i] = nil
		}
		l.settle()
		l.yield(nw + nr)
		if m != nil && m.walk.claim() { // else somebody has helped
			l.stepOn(m)
		}
	}
}

// settle adds to the counts what has been done. Once for each write it would cost
// as much as the rest of what is not the kernel's.
func (l *walker) settle() {
	if l.writes > 0 {
		l.counts.writes.Add(int64(l.writes))
		l.counts.delivered.Add(int64(l.delivered))
		l.writes, l.delivered = 0, 0
	}
}

// yield lets others run after every so many writes. Small rooms share a breath:
// a lane that gave way after each of them would come last among all who write.
func (l *walker) yield(writes int) {
	if l.written += writes; l.written >= breath {
		l.written = 0
		runtime.Gosched()
	}
}

// shift takes n elements off the front of a queue.
func shift[T any](q []T, n int) []T {
	clear(q[:n])
	if n == len(q) && cap(q) <= breath {
		return q[:0]
	}
	if n == len(q) {
		return nil
	}
	return q[n:]
}

// step goes on with the walk over m for one portion.
func (l *walker) step(m *members) {
	t := m.topic
	p := m.pass
	if p == nil {
		p = l.begin(m)
	}
	for done := 0; p.next >= 0 && done < portion; {
		wrote := l.visitNext(t, m, p)
		done += wrote
		l.yield(wrote)
	}
	l.settle()
	if p.next >= 0 {
		m.walk.requeue(l.hub)
		m.home().enqueue(m)
		return
	}
	l.end(m, p)
}

// visitNext visits members until something has been written. Whoever joins or
// leaves waits for the members' lock, so it is let go of after each write. A large
// room has many who need nothing, so visits are bounded too.
func (l *walker) visitNext(t *Topic, m *members, p *pass) (wrote int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for visits := 0; p.next >= 0 && wrote == 0 && visits < 16*breath; visits++ {
		if p.next >= len(m.subs) {
			p.next = len(m.subs) - 1
			continue
		}
		s := m.subs[p.next]
		p.next--
		wrote += l.visit(t, s, p)
	}
	return wrote
}

func (l *walker) begin(m *members) *pass {
	l.counts.passes.Add(1)
	var p *pass
	if n := len(l.free); n > 0 {
		p, l.free = l.free[n-1], l.free[:n-1]
	} else {
		p = new(pass)
	}
	// The goal first: who attaches or what is appended after this has the walk
	// queued again.
	p.gen = m.topic.generation()
	_, p.goal = m.topic.Head()
	m.mu.Lock()
	p.signals = nil
	if m.waiting != nil {
		p.signals, m.waiting = m.waiting.frames, nil
	}
	p.next = len(m.subs) - 1
	m.mu.Unlock()
	p.more = false
	m.pass = p
	return p
}

func (l *walker) end(m *members, p *pass) {
	goal, gen, more := p.goal, p.gen, p.more
	p.plain.release()
	p.packed.release()
	p.signals = nil
	m.pass = nil
	if len(l.free) < 8 {
		l.free = append(l.free, p)
	}
	m.walk.end()
	_, head := m.topic.Head()
	m.mu.Lock()
	again := len(m.subs) > 0 && (more || head != goal || gen != m.topic.generation() || m.waiting != nil)
	m.mu.Unlock()
	if again {
		m.home().push(m)
	}
}

// visit serves one member in a walk and returns how many writes it made.
func (l *walker) visit(t *Topic, s *Sub, p *pass) int {
	if s.flags&blocked != 0 {
		return 0
	}
	if s.flags&(filling|lagging|foreign|turned) != 0 || s.gen != t.generation() {
		return l.detour(t, s, p)
	}
	if s.cursor >= p.goal && len(p.signals) == 0 {
		return 0
	}
	both := p.of(s)
	b := &both.main
	if !b.follows(s) {
		if b.valid {
			b = &both.other
		}
		if !b.follows(s) {
			t.collect(b, s, p.goal, p.signals)
			if b.gen != s.gen { // the log has been replaced this very moment
				return l.detour(t, s, p)
			}
		}
	}
	if b.status == outside {
		l.fill(t, s)
		if len(p.signals) == 0 {
			return 0
		}
	}
	l.write(s, b)
	if s.flags&blocked == 0 && s.cursor < p.goal && b.status == ready {
		p.more = true
	}
	return 1
}

// follows reports whether the batch is what the subscription needs next.
func (b *batch) follows(s *Sub) bool {
	return b.valid && b.from == s.cursor && b.gen == s.gen
}

// detour serves a member in a walk that cannot share the walk's batches.
func (l *walker) detour(t *Topic, s *Sub, p *pass) int {
	n := 0
	if len(p.signals) > 0 {
		b := &l.solo
		b.signals(p.signals)
		l.write(s, b)
		b.release()
		n++
	}
	return n + l.serve(t, s)
}

// signals makes the batch hold signals alone.
func (b *batch) signals(frames [][]byte) {
	b.status, b.valid, b.through = current, false, 0
	b.revs = b.revs[:0]
	b.frames = append(b.frames[:0], frames...)
	b.join()
}

// write offers the batch to the sink and moves the cursor by what it takes.
func (l *walker) write(s *Sub, b *batch) {
	taken := 0
	if len(b.frames) > 0 {
		taken = l.offer(s, b)
		l.writes++
		if taken < len(b.frames) {
			s.flags |= blocked
			l.counts.refused.Add(1)
		}
	}
	log := min(taken, len(b.revs))
	if log == len(b.revs) {
		s.cursor = max(s.cursor, b.through)
	} else if log > 0 {
		s.cursor = b.revs[log-1]
	}
	if log > 0 {
		l.delivered += log
	}
}
