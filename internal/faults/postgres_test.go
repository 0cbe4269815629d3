package faults

import (
	"testing"
	"time"

	"github.com/gabblehq/chat/internal/pgtest"
)

// Row 22: Postgres is killed, and restarted without a checkpoint.
func TestPostgresKilled(t *testing.T) {
	pg := pgtest.Start(t, "fsync=on", "synchronous_commit=on", "full_page_writes=on")
	c := begin(t, pg.CreateDB(t), 2)
	var back []time.Duration
	for i := range rounds() {
		c.flows()
		sleepUpTo(500 * time.Millisecond)
		if i%2 == 0 {
			pg.Kill(t)
		} else {
			pg.StopImmediate(t)
		}
		sleepUpTo(700 * time.Millisecond)
		pg.Restart(t)
		back = append(back, c.flows())
	}
	c.settle()
	report(t, "first acknowledgement after Postgres was back", back)
}

func TestNodeOfPostgresKilled(t *testing.T) {
	pg := pgtest.Start(t)
	c := begin(t, pg.CreateDB(t), 3)
	for i := range rounds() {
		c.flows()
		sleepUpTo(300 * time.Millisecond)
		c.nodes[i%len(c.nodes)].restart()
	}
	c.flows()
	c.settle()
}
