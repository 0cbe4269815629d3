package faults

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabblehq/chat/internal/redistest"
)

// The rows 1 to 3 of the fault matrix, in short: who is killed comes back, and
// nothing that was acknowledged is gone or there twice.

func TestNodeKilled(t *testing.T) {
	redis := redistest.Start(t)
	c := begin(t, redis.URL(), 3)
	for i := range rounds() {
		c.flows()
		sleepUpTo(300 * time.Millisecond)
		c.nodes[i%len(c.nodes)].restart()
	}
	c.flows()
	c.settle()
}

// The same over a Redis Cluster of three masters.
func TestNodeOfRedisClusterKilled(t *testing.T) {
	masters := redistest.Cluster(t)
	c := begin(t, "redis-cluster://"+strings.Join(masters.Addrs(), ","), 3)
	for i := range rounds() {
		c.flows()
		sleepUpTo(300 * time.Millisecond)
		c.nodes[i%len(c.nodes)].restart()
	}
	c.flows()
	c.settle()
}

func TestRedisKilled(t *testing.T) {
	redis := redistest.Start(t, "appendonly yes", "appendfsync everysec")
	c := begin(t, redis.URL(), 2)
	var back []time.Duration
	for range rounds() {
		c.flows()
		sleepUpTo(500 * time.Millisecond)
		redis.Kill()
		sleepUpTo(700 * time.Millisecond)
		redis.Restart()
		back = append(back, c.flows())
	}
	c.settle()
	report(t, "first acknowledgement after Redis was back", back)
}

// sleepUpTo lets the load go on for a while: faults strike at any moment.
func sleepUpTo(d time.Duration) { time.Sleep(rand.N(d)) }

// report prints times; what is promised of them is held to five times that.
func report(t *testing.T, what string, list []time.Duration) {
	t.Helper()
	slices.Sort(list)
	t.Logf("%s: median %v, longest %v", what, list[len(list)/2].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond))
	if worst := list[len(list)-1]; worst > 10*time.Second {
		t.Errorf("%s: %v", what, worst)
	}
}
