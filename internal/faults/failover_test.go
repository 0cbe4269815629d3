package faults

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/redistest"
)

// pair is a primary and a replica whose link can be cut. Nodes reach whichever
// is the primary at one address.
type pair struct {
	primary, replica *redistest.Server
	front, between   *proxy
}

func startPair(t *testing.T) *pair {
	p := &pair{primary: redistest.Start(t, "repl-diskless-sync-delay 0")}
	p.front, p.between = link(t, p.primary.Addr), link(t, p.primary.Addr)
	// The replica knows its primary by the address of the link.
	p.replica = redistest.Replica(t, &redistest.Server{Addr: p.between.p.Listen})
	return p
}

// failover ends the primary and makes the replica one.
func (p *pair) failover(t *testing.T) {
	p.primary.Kill()
	client := p.replica.Client()
	defer func() { _ = client.Close() }()
	require.NoError(t, client.Do(context.Background(), "REPLICAOF", "NO", "ONE").Err())
	p.front.sever()
	p.front.p.Upstream = p.replica.Addr
	p.front.mend()
}

// Row 6: what the replica has not had is lost with the primary. It is said: a
// new epoch begins, and no position of the old one is used again.
func TestFailoverLosesAndSaysSo(t *testing.T) {
	p := startPair(t)
	c := begin(t, p.front.through(p.primary.URL(), p.primary.Addr), 2)
	c.lossy.Store(true)
	c.flows()
	p.between.blackhole()
	time.Sleep(time.Second)
	c.flows()
	p.failover(t)
	c.flows()
	for _, r := range c.readers {
		require.Eventually(t, func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.resets >= 1
		}, 10*time.Second, 10*time.Millisecond, "%s has been told", r.user)
	}
	c.forgetAcks()
	c.settle()
}

// Row 6, with WAIT: nothing is acknowledged that the replica has not had, so
// nothing acknowledged is lost.
func TestFailoverWithWaitLosesNothing(t *testing.T) {
	p := startPair(t)
	c := begin(t, waitPrefix+p.front.through(p.primary.URL(), p.primary.Addr), 2)
	c.flows()
	p.between.blackhole()
	time.Sleep(time.Second)
	p.failover(t)
	// There is no second replica now, so nothing more is acknowledged; what
	// was, is there.
	c.halt()
	c.abandon.Store(true)
	c.settle()
}

// Row 6, with Sentinel: nodes follow to the new primary by themselves.
func TestSentinelFailsOver(t *testing.T) {
	primary := redistest.Start(t)
	redistest.Replica(t, primary)
	sentinel := redistest.Sentinel(t, primary)
	c := begin(t, "redis-sentinel://"+sentinel.Addr+"?master_name="+redistest.Master, 2)
	c.lossy.Store(true) // what the replica has not had is lost, and that is said
	c.flows()
	primary.Kill()
	back := c.flows()
	c.forgetAcks()
	c.settle()
	report(t, "first acknowledgement after the primary's end", []time.Duration{back})
}

// Row 6, with Sentinel and a replica that is behind: others write past the
// place where what is gone had ended, at once and on all nodes. Every reader is
// told, and holds what there is afterwards.
func TestSentinelFailsOverToAReplicaBehind(t *testing.T) {
	p := startPair(t)
	sentinel := redistest.Sentinel(t, p.primary)
	c := begin(t, "redis-sentinel://"+sentinel.Addr+"?master_name="+redistest.Master, 2)
	c.lossy.Store(true)
	c.flows()
	p.between.blackhole()
	// What is written now is lost, in every room and far more than one reads.
	for enough := c.acked.Load() + 100; c.acked.Load() < enough; {
		c.flows()
	}
	p.primary.Kill()
	c.flows()
	for _, r := range c.readers {
		require.Eventually(t, func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.resets >= 1
		}, 20*time.Second, 10*time.Millisecond, "%s has been told", r.user)
	}
	c.forgetAcks()
	c.settle()
}
