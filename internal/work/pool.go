package work

import (
	"log/slog"
	"sync"
)

// Task is work that may block.
type Task interface{ Work() }

// Group is pools that end together: a task of one may begin one of another.
type Group struct {
	log   *slog.Logger
	pools []*Pool
	wg    sync.WaitGroup // the workers of all
}

// NewGroup returns a group without pools. Panics of tasks go to log.
func NewGroup(log *slog.Logger) *Group { return &Group{log: log} }

// Limits bound a pool.
type Limits struct {
	Workers int // at once; 0: as many as there are tasks
	Parked  int // workers beside those that may be parked
	Idle    int // workers that stay when there is nothing to do
}

// Pool adds a pool to the group. All are added before Close is called.
func (g *Group) Pool(l Limits) *Pool {
	p := &Pool{log: g.log, wg: &g.wg, limits: l}
	g.pools = append(g.pools, p)
	return p
}

// Close returns when everything that was begun is done. Tasks given to a
// closed pool are still done.
func (g *Group) Close() {
	for _, p := range g.pools {
		p.close()
	}
	g.wg.Wait()
}

// Pool runs tasks on goroutines that it keeps for the next task: a fresh
// goroutine would have to grow its stack anew for each. A task that panics
// ends nothing but itself. All methods are safe for concurrent use.
type Pool struct {
	log *slog.Logger
	wg  *sync.WaitGroup // of the group

	mu     sync.Mutex
	limits Limits
	idle   []chan Task // the workers without a task, the latest last
	count  int         // workers, without those that are parked or detached
	parked int
	queue  []Task // waiting because there are as many workers as may be
	closed bool
}

// Resize changes the bounds for what comes from now on.
func (p *Pool) Resize(l Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = l
}

// Waiting is how many tasks wait for a worker, and how many workers are parked.
func (p *Pool) Waiting() (tasks, parked int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue), p.parked
}

// Run has the task done soon. It never blocks.
func (p *Pool) Run(t Task) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		w <- t
		return
	}
	if p.limits.Workers > 0 && p.count >= p.limits.Workers {
		p.queue = append(p.queue, t)
		p.mu.Unlock()
		return
	}
	p.start(t)
	p.mu.Unlock()
}

// start makes a worker. The lock is held.
func (p *Pool) start(t Task) {
	p.count++
	p.wg.Add(1)
	go p.worker(t)
}

func (p *Pool) worker(t Task) {
	defer p.wg.Done()
	left := true
	defer func() {
		if left { // a task has ended its goroutine
			p.Detach()
		}
	}()
	next := make(chan Task, 1)
	for t != nil {
		p.do(t)
		t = p.next(next)
	}
	left = false
}

func (p *Pool) do(t Task) {
	defer Recover(p.log, "a task")
	t.Work()
}

// next returns the worker's next task, or nil when it is to end.
func (p *Pool) next(inbox chan Task) Task {
	p.mu.Lock()
	switch {
	case p.limits.Workers > 0 && p.count > p.limits.Workers: // somebody came back from where they waited
		p.count--
		p.mu.Unlock()
		return nil
	case len(p.queue) > 0:
		t := p.dequeue()
		p.mu.Unlock()
		return t
	case p.closed || len(p.idle) >= p.limits.Idle:
		p.count--
		p.mu.Unlock()
		return nil
	}
	p.idle = append(p.idle, inbox)
	p.mu.Unlock()
	return <-inbox // nil from close
}

// dequeue takes the first task off the queue. The lock is held.
func (p *Pool) dequeue() Task {
	t := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	return t
}

// Detach takes the calling worker out of the count while it does the work of
// another pool, or waits for it; Attach puts it in again.
func (p *Pool) Detach() {
	p.mu.Lock()
	p.uncount()
	p.mu.Unlock()
}

// Attach undoes Detach.
func (p *Pool) Attach() {
	p.mu.Lock()
	p.count++
	p.mu.Unlock()
}

// Park is Detach for a worker that waits, where not too many wait already;
// where it reports true, Unpark undoes it.
func (p *Pool) Park() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parked >= p.limits.Parked {
		return false
	}
	p.parked++
	p.uncount()
	return true
}

// Unpark undoes Park.
func (p *Pool) Unpark() {
	p.mu.Lock()
	p.parked--
	p.count++
	p.mu.Unlock()
}

// uncount makes room for another worker, which goes on with what waits. The
// lock is held.
func (p *Pool) uncount() {
	p.count--
	if len(p.queue) > 0 && p.count < p.limits.Workers {
		p.start(p.dequeue())
	}
}

// close ends the idle workers; the busy ones end after their tasks.
func (p *Pool) close() {
	p.mu.Lock()
	p.closed = true
	p.count -= len(p.idle)
	for _, w := range p.idle {
		w <- nil
	}
	p.idle = nil
	p.mu.Unlock()
}
