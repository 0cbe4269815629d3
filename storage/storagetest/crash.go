package storagetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func crashChecks() []check {
	const durable = "Once Append has returned nil the changes are durable to the degree that the backend documents."
	return []check{
		{"all_is_there", durable, "after a crash the same log goes on", crashAll},
		{"while_writing", durable, "whatever else is half done: it is there in whole or not at all", crashWriting},
		{"again_and_again", durable, "", crashAgain},
	}
}

func crashAll(t *rig) {
	h := able[Crasher](t)
	r := t.busy()
	c := r.rich("alice", "n")
	m := r.one(c).Message
	head, before := r.head(), r.audit()
	r.s = h.Crash(t, r.s)
	require.Equal(t, head, r.head(), "the same epoch, rev and seq")
	sameMessages(t, before, r.audit(), "every message")
	r.duplicate(c, m)
	require.Equal(t, head.Rev+1, r.one(r.create("alice", "", "on")).Position.Rev)
}

// crashWriting crashes in the midst of batches of three.
func crashWriting(t *rig) {
	h := able[Crasher](t)
	r := t.room()
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	before := *r
	before.ctx = ctx
	var mu sync.Mutex
	var acked []chat.Change
	enough := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				var batch []chat.Change
				for j := range 3 {
					batch = append(batch, before.create(fmt.Sprint("user ", w), fmt.Sprint(i, " ", j), "x"))
				}
				if _, err := before.try(batch...); err != nil {
					return // the store is no more
				}
				mu.Lock()
				if acked = append(acked, batch...); len(acked) == 300 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-t.ctx.Done():
		t.Fatalf("100 appends are not done in time")
	}
	mu.Lock()
	sure := acked // what is acknowledged later may have missed the crash
	mu.Unlock()
	r.s = h.Crash(t, r.s)
	cancel()
	writers.Wait()

	msgs := r.audit()
	require.Zero(t, len(msgs)%3, "half a batch is there")
	byID := map[string]chat.Message{}
	for _, m := range msgs {
		byID[m.ID] = m
	}
	for _, c := range sure {
		require.Contains(t, byID, c.Message.ID, "acknowledged and not there")
	}
	for _, res := range r.append(sure...) {
		require.NoError(t, res.Err)
		require.True(t, res.Duplicate, "a retry gets the first answer")
		sameMessage(t, byID[res.Message.ID], res.Message, "the first answer")
	}
}

func crashAgain(t *rig) {
	h := able[Crasher](t)
	r := t.room()
	for i := range 4 {
		res := r.one(r.create("alice", "", fmt.Sprint(i)))
		require.Equal(t, chat.Position{Epoch: r.epoch, Rev: int64(i) + 2, Seq: int64(i) + 1}, res.Position)
		r.s = h.Crash(t, r.s)
	}
	require.Len(t, r.audit(), 4)
}
