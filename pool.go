package chat

import "sync"

// task is work that may block, done off the event loops.
type task interface{ work() }

// pool runs tasks on goroutines that it keeps for the next task: a fresh
// goroutine would have to grow its stack anew for every command.
type pool struct {
	mu     sync.Mutex
	idle   []chan task // the parked workers, the latest last
	count  int
	queue  []task // waiting because there are maxWorkers already
	closed bool
	wg     sync.WaitGroup
}

const (
	// maxWorkers bounds what a host's code or store that has come to a halt
	// can pile up.
	maxWorkers = 16 << 10
	// idleWorkers is how many stay when there is nothing to do.
	idleWorkers = 16
)

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
	if p.count >= maxWorkers {
		p.queue = append(p.queue, t)
		p.mu.Unlock()
		return
	}
	p.count++
	p.wg.Add(1)
	p.mu.Unlock()
	go p.worker(t)
}

func (p *pool) worker(t task) {
	defer p.wg.Done()
	inbox := make(chan task, 1)
	for t != nil {
		t.work()
		t = p.next(inbox)
	}
}

// next returns the worker's next task, or nil when it is to end.
func (p *pool) next(inbox chan task) task {
	p.mu.Lock()
	switch {
	case len(p.queue) > 0:
		t := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.mu.Unlock()
		return t
	case p.closed || len(p.idle) >= idleWorkers:
		p.count--
		p.mu.Unlock()
		return nil
	}
	p.idle = append(p.idle, inbox)
	p.mu.Unlock()
	return <-inbox // nil from close
}

// close ends the idle workers and waits for the busy ones.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.count -= len(p.idle)
	for _, w := range p.idle {
		w <- nil
	}
	p.idle = nil
	p.mu.Unlock()
	p.wg.Wait()
}
