// Package door knows who may come in: how many there is room for, which pages
// of browsers are let in, and who is behind a proxy.
package door

import (
	"net/netip"
	"sync"
)

// counts is how many there are of each key. Those that there are none of take
// no memory.
type counts[K comparable] map[K]int

// enter counts one in, unless there are as many as may be.
func (c counts[K]) enter(k K, most int) bool {
	n := c[k]
	if n >= most {
		return false
	}
	c[k] = n + 1
	return true
}

// leave counts one out.
func (c counts[K]) leave(k K) {
	if c[k]--; c[k] <= 0 {
		delete(c, k)
	}
}

// Addresses counts what comes from one address. What has none, as on a Unix
// socket, is not counted. All methods are safe for concurrent use.
type Addresses struct {
	most int // 0: nothing is counted

	mu sync.Mutex
	n  counts[netip.Addr]
}

// NewAddresses returns an Addresses that bounds those from one address to most;
// 0 is no bound.
func NewAddresses(most int) *Addresses {
	return &Addresses{most: most, n: make(counts[netip.Addr])}
}

// Full reports whether an address has as many as it may have.
func (a *Addresses) Full(ip netip.Addr) bool {
	if ip = network(ip); a.most == 0 || !ip.IsValid() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n[ip] >= a.most
}

// Enter counts one in, unless its address has as many as it may have.
func (a *Addresses) Enter(ip netip.Addr) bool {
	if ip = network(ip); a.most == 0 || !ip.IsValid() {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n.enter(ip, a.most)
}

// Leave goes with an Enter that has reported true.
func (a *Addresses) Leave(ip netip.Addr) {
	if ip = network(ip); a.most == 0 || !ip.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n.leave(ip)
}

// network is what counts as one client: an IPv4 address, or the /64 that a
// subscriber of IPv6 has.
func network(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if !ip.Is6() {
		return ip
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}
