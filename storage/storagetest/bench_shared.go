package storagetest

import (
	"context"
	"testing"

	"github.com/gabblehq/chat"
)

// benchHeads asks for the heads of 100 rooms in one call.
func benchHeads(b *testing.B, h Harness) {
	s := h.Open(b)
	w, ok := capability[chat.Watcher](s)
	if !ok {
		b.Skip("the store is no chat.Watcher")
	}
	keys := benchRooms(b, s, 100)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := w.Heads(b.Context(), keys); err != nil {
			b.Fatal(err)
		}
	}
}

// benchTold measures how long it takes from the beginning of an append on one
// server until another one is told.
func benchTold(b *testing.B, h Harness) {
	sharer, ok := h.(Sharer)
	if !ok {
		b.Skip("the harness is no storagetest.Sharer")
	}
	s := h.Open(b)
	w, ok := capability[chat.Watcher](sharer.Share(b, s))
	if !ok {
		b.Skip("the store is no chat.Watcher")
	}
	benchRoom(b, s, benchKey)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	e := &ear{news: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() { done <- w.Watch(ctx, e) }()
	<-e.news
	b.ResetTimer()
	for i := range b.N {
		mark := e.mark()
		benchDo(b, s, benchKey, []chat.Change{benchMessage(i)})
		for !b.Failed() && !toldOf(e.since(mark), benchKey, int64(i)+1) {
			select {
			case <-e.news:
			case err := <-done:
				b.Fatal("Watch has ended: ", err)
			}
		}
	}
	b.StopTimer()
	cancel()
	<-done
}

// toldOf reports whether the room is known to have come as far as a seq.
func toldOf(all []told, room string, seq int64) bool {
	for _, n := range all {
		if n.hint != nil && n.room == room && n.hint.Head.Seq >= seq {
			return true
		}
	}
	return missedRoom(all, room)
}
