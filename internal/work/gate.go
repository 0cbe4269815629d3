package work

import "sync"

// Gate lets callers in until it is shut, and waits for those who are in. The
// zero Gate is open.
type Gate struct {
	mu   sync.RWMutex
	shut bool
	in   sync.WaitGroup
}

// Enter reports whether the caller is let in; then it calls Leave once.
func (g *Gate) Enter() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.shut {
		return false
	}
	g.in.Add(1)
	return true
}

// Leave goes with an Enter that has reported true.
func (g *Gate) Leave() { g.in.Done() }

// Close lets nobody in any more and returns when everybody is out.
func (g *Gate) Close() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.in.Wait()
}
