package storagetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gabblehq/chat"
)

// Bench measures the stores that h opens, in the ways a server uses them.
// Compare backends and commits by its names.
func Bench(b *testing.B, h Harness) {
	b.Run("append/one_room", func(b *testing.B) { benchAppend(b, h, 1, 1) })
	b.Run("append/one_room/by_100", func(b *testing.B) { benchAppend(b, h, 1, 100) })
	b.Run("append/1000_rooms", func(b *testing.B) { benchAppend(b, h, 1000, 1) })
	b.Run("append/1000_rooms/by_8", func(b *testing.B) { benchAppend(b, h, 1000, 8) })
	b.Run("append/parallel_1000_rooms", func(b *testing.B) { benchParallel(b, h, 1000, 64) })
	b.Run("append/parallel_1000_rooms/512_writers", func(b *testing.B) { benchParallel(b, h, 1000, 512) })
	b.Run("append/parallel_one_room", func(b *testing.B) { benchParallel(b, h, 1, 64) })
	b.Run("append/duplicate", benchOn(h, func(ctx context.Context, s chat.Store, i int) error {
		return only(s.Append(ctx, benchKey, chat.Position{}, []chat.Change{benchMessage(i % benchSize)})).Err
	}))
	b.Run("append/edit", benchOn(h, func(ctx context.Context, s chat.Store, i int) error {
		c := edit(benchID(i%benchSize), fmt.Sprint(i))
		return only(s.Append(ctx, benchKey, chat.Position{}, []chat.Change{c})).Err
	}))
	b.Run("changes/last_10", benchOn(h, func(ctx context.Context, s chat.Store, _ int) error {
		_, err := s.Changes(ctx, benchKey, benchSize-9, 50)
		return err
	}))
	b.Run("changes/page_of_100", benchOn(h, func(ctx context.Context, s chat.Store, i int) error {
		_, err := s.Changes(ctx, benchKey, int64(i%benchSize), 100)
		return err
	}))
	b.Run("history/newest_50", benchOn(h, func(ctx context.Context, s chat.Store, _ int) error {
		_, err := s.History(ctx, benchKey, chat.Query{Limit: 50})
		return err
	}))
	b.Run("history/before_50", benchOn(h, func(ctx context.Context, s chat.Store, i int) error {
		_, err := s.History(ctx, benchKey, chat.Query{Before: int64(i%benchSize) + 1, Limit: 50})
		return err
	}))
	b.Run("heads/100_rooms", func(b *testing.B) { benchHeads(b, h) })
	b.Run("watch/told", func(b *testing.B) { benchTold(b, h) })
	b.Run("head", benchOn(h, func(ctx context.Context, s chat.Store, _ int) error {
		_, err := s.Head(ctx, benchKey)
		return err
	}))
}

const (
	benchKey  = "bench/full"
	benchSize = 5000 // messages in the room that is read from
)

func benchID(i int) string { return fmt.Sprintf("%026d", i) }

// benchMessage always is the same for the same number.
func benchMessage(i int) chat.Change {
	return chat.Change{Kind: chat.ChangeCreate, At: now(), Message: chat.Message{
		ID: benchID(i), Room: "bench", User: "alice", Kind: chat.KindRegular,
		Content: "a message of the usual length, forty-two.", Nonce: benchID(i),
	}}
}

func benchRoom(b *testing.B, s chat.Store, key string) {
	c := chat.Change{Kind: chat.ChangeCreateRoom, At: now(), Room: chat.RoomInfo{ID: "bench", Kind: chat.RoomPublic}}
	benchDo(b, s, key, []chat.Change{c})
}

func benchDo(b *testing.B, s chat.Store, key string, changes []chat.Change) {
	results, err := s.Append(b.Context(), key, chat.Position{}, changes)
	if err == nil {
		err = results[len(results)-1].Err
	}
	if err != nil {
		b.Error(err)
	}
}

// benchAppend counts messages, however many go in one call.
func benchAppend(b *testing.B, h Harness, rooms, batch int) {
	s := h.Open(b)
	keys := benchRooms(b, s, rooms)
	// Making messages is not measured, but stopping the clock costs too: make
	// many at a time.
	stock := make([]chat.Change, 0, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; {
		if i%cap(stock) == 0 {
			b.StopTimer()
			stock = stock[:0]
			for j := range cap(stock) {
				stock = append(stock, benchMessage(i+j))
			}
			b.StartTimer()
		}
		from := i % cap(stock)
		benchDo(b, s, keys[i/batch%rooms], stock[from:from+batch])
		i += batch
	}
}

// benchParallel has so many writers wait for their appends at once, however
// many processors there are: what a store gains by writing many appends
// together depends on how many there are. It makes the messages inside the
// measured time.
func benchParallel(b *testing.B, h Harness, rooms, writers int) {
	s := h.Open(b)
	keys := benchRooms(b, s, rooms)
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	together(writers, func(int) {
		for {
			// Neighbours in time write to different rooms, as servers do, that
			// send one append of a room after the other.
			i := int(next.Add(1))
			if i > b.N {
				return
			}
			benchDo(b, s, keys[i%rooms], []chat.Change{benchMessage(i)})
		}
	})
}

func benchRooms(b *testing.B, s chat.Store, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("bench/", i)
		benchRoom(b, s, keys[i])
	}
	return keys
}

// benchOn measures a call on a room of benchSize messages.
func benchOn(h Harness, call func(ctx context.Context, s chat.Store, i int) error) func(*testing.B) {
	return func(b *testing.B) {
		s := h.Open(b)
		benchRoom(b, s, benchKey)
		for i := 0; i < benchSize; {
			var changes []chat.Change
			for ; len(changes) < 500; i++ {
				changes = append(changes, benchMessage(i))
			}
			benchDo(b, s, benchKey, changes)
		}
		ctx := b.Context()
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			if err := call(ctx, s, i); err != nil {
				b.Fatal(err)
			}
		}
	}
}
