package chat

import "sync"

// gate lets callers in until it is shut, and waits for those who are in.
type gate struct {
	mu   sync.RWMutex
	shut bool
	in   sync.WaitGroup
}

// enter reports whether the caller is let in; then it calls leave once.
func (g *gate) enter() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.shut {
		return false
	}
	g.in.Add(1)
	return true
}

func (g *gate) leave() { g.in.Done() }

// close lets nobody in any more and returns when everybody is out.
func (g *gate) close() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.in.Wait()
}
