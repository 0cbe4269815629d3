package door

import (
	"net/netip"
	"sync"
)

// RequestLimits bound the requests under way.
type RequestLimits struct {
	All        int
	PerAddress int // 0: no bound
	PerUser    int
}

// Requests counts the requests under way, each of which holds a connection: in
// all, by address and by user, so that one who never sends what they have
// announced leaves room for others. All methods are safe for concurrent use.
type Requests struct {
	limits RequestLimits

	mu        sync.Mutex
	all       int
	byAddress counts[netip.Addr]
	byUser    counts[string]
}

// NewRequests returns a Requests of which none is under way.
func NewRequests(l RequestLimits) *Requests {
	return &Requests{limits: l, byAddress: make(counts[netip.Addr]), byUser: make(counts[string])}
}

// Full says what there is no room for.
type Full uint8

// There is room, or there is not.
const (
	NotFull     Full = iota
	AllFull          // there are too many
	AddressFull      // there are too many from the address
)

// Enter counts one in, if there is room. Leave goes with it then.
func (q *Requests) Enter(ip netip.Addr) Full {
	ip = network(ip)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all >= q.limits.All {
		return AllFull
	}
	if q.limits.PerAddress > 0 && ip.IsValid() && !q.byAddress.enter(ip, q.limits.PerAddress) {
		return AddressFull
	}
	q.all++
	return NotFull
}

// Leave counts one out.
func (q *Requests) Leave(ip netip.Addr) {
	ip = network(ip)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all--
	if q.limits.PerAddress > 0 && ip.IsValid() {
		q.byAddress.leave(ip)
	}
}

// EnterUser counts one that has entered in for its user, once that is known.
// LeaveUser goes with it if it reports true.
func (q *Requests) EnterUser(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.byUser.enter(id, q.limits.PerUser)
}

// LeaveUser undoes EnterUser.
func (q *Requests) LeaveUser(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.byUser.leave(id)
}
