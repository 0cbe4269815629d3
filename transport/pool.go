package transport

import "sync"

const (
	poolWorkers = 256
	poolWaiting = 4096
)

// pool runs what may block, such as the host's authentication, on a bounded number
// of goroutines. They exist only while there is work.
type pool struct {
	t       *Transport
	mu      sync.Mutex
	waiting []func()
	workers int
}

// run hands work over. It fails when too much waits already.
func (p *pool) run(work func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.workers == poolWorkers {
		if len(p.waiting) >= poolWaiting {
			return false
		}
		p.waiting = append(p.waiting, work)
		return true
	}
	p.workers++
	p.t.wg.Add(1)
	go p.work(work)
	return true
}

func (p *pool) work(work func()) {
	defer p.t.wg.Done()
	for work != nil {
		p.t.guarded("a handshake", work)()
		work = p.next()
	}
}

func (p *pool) next() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.workers--
		p.waiting = nil
		return nil
	}
	work := p.waiting[0]
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
	return work
}
