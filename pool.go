package chat

import (
	"log/slog"
	"sync"
)

// task is work that may block, done off the event loops.
type task interface{ work() }

// pool runs tasks on goroutines that it keeps for the next task: a fresh
// goroutine would have to grow its stack anew for every command. A task that
// panics ends nothing but itself.
type pool struct {
	log  *slog.Logger
	max  int // workers; 0: as many as there are tasks
	wait int // of those, beside max, how many may be parked
	keep int // how many stay when there is nothing to do

	mu     sync.Mutex
	idle   []chan task // the workers without a task, the latest last
	count  int         // workers, without those that are parked or lent
	parked int
	queue  []task // waiting because there are max already
	closed bool
	wg     *sync.WaitGroup // of all pools of a server: a task of one may begin one of another
}

// pools are the workers of a server, by what may hold them up: what waits in
// one never holds what it waits for.
type pools struct {
	// turns take up the commands of sessions. They run the host's code, so a
	// host that has come to a halt may use them all up.
	turns pool
	// auths ask the host who a session is, and checks whether one may stay in a
	// room: sessions that are in do not need them.
	auths  pool
	checks pool
	// commits put into rooms' logs what has entered their queues, and answer it.
	// They never run the host's code, but its store, one for each room at most.
	commits pool
	// chores are what is short, or waits for the store alone.
	chores pool

	wg sync.WaitGroup
}

const (
	// maxWorkers bounds what a host's code that has come to a halt can pile up,
	// and maxParked how many commands inside a middleware wait for their commit.
	maxWorkers = 16 << 10
	maxParked  = 16 << 10
	maxAuths   = 4 << 10
	maxChecks  = 256
	maxChores  = 64
)

func (p *pools) init(log *slog.Logger) {
	p.turns = pool{log: log, wg: &p.wg, max: maxWorkers, wait: maxParked, keep: 12}
	p.auths = pool{log: log, wg: &p.wg, max: maxAuths, keep: 2}
	p.checks = pool{log: log, wg: &p.wg, max: maxChecks, keep: 1}
	p.commits = pool{log: log, wg: &p.wg, keep: 6}
	p.chores = pool{log: log, wg: &p.wg, max: maxChores, keep: 3}
}

// close returns when everything that was begun is done.
func (p *pools) close() {
	for _, one := range []*pool{&p.turns, &p.auths, &p.checks, &p.commits, &p.chores} {
		one.close()
	}
	p.wg.Wait()
}

// run has the task done soon. Tasks given to a closed pool are still done.
func (p *pool) run(t task) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		w <- t
		return
	}
	if p.max > 0 && p.count >= p.max {
		p.queue = append(p.queue, t)
		p.mu.Unlock()
		return
	}
	p.start(t)
	p.mu.Unlock()
}

// start makes a worker. The lock is held.
func (p *pool) start(t task) {
	p.count++
	p.wg.Add(1)
	go p.worker(t)
}

func (p *pool) worker(t task) {
	defer p.wg.Done()
	left := true
	defer func() {
		if left { // a task has ended its goroutine
			p.leave()
		}
	}()
	inbox := make(chan task, 1)
	for t != nil {
		p.do(t)
		t = p.next(inbox)
	}
	left = false
}

func (p *pool) do(t task) {
	defer rescue(p.log, "a task")
	t.work()
}

// next returns the worker's next task, or nil when it is to end.
func (p *pool) next(inbox chan task) task {
	p.mu.Lock()
	switch {
	case p.max > 0 && p.count > p.max: // somebody came back from where they waited
		p.count--
		p.mu.Unlock()
		return nil
	case len(p.queue) > 0:
		t := p.take()
		p.mu.Unlock()
		return t
	case p.closed || len(p.idle) >= p.keep:
		p.count--
		p.mu.Unlock()
		return nil
	}
	p.idle = append(p.idle, inbox)
	p.mu.Unlock()
	return <-inbox // nil from close
}

// take takes the first task off the queue. The lock is held.
func (p *pool) take() task {
	t := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	return t
}

// lend takes the calling worker out of the count while it does the work of
// another pool, or waits for it; back puts it in again.
func (p *pool) lend() {
	p.mu.Lock()
	p.uncount()
	p.mu.Unlock()
}

func (p *pool) back() {
	p.mu.Lock()
	p.count++
	p.mu.Unlock()
}

// park is lend for a worker that waits, where not too many wait already;
// unpark undoes it.
func (p *pool) park() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parked >= p.wait {
		return false
	}
	p.parked++
	p.uncount()
	return true
}

func (p *pool) unpark() {
	p.mu.Lock()
	p.parked--
	p.count++
	p.mu.Unlock()
}

// leave is the end of a worker that has not come back from its task.
func (p *pool) leave() {
	p.mu.Lock()
	p.uncount()
	p.mu.Unlock()
}

// uncount makes room for another worker, which goes on with what waits. The
// lock is held.
func (p *pool) uncount() {
	p.count--
	if len(p.queue) > 0 && p.count < p.max {
		p.start(p.take())
	}
}

// close ends the idle workers; the busy ones end after their tasks.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.count -= len(p.idle)
	for _, w := range p.idle {
		w <- nil
	}
	p.idle = nil
	p.mu.Unlock()
}
