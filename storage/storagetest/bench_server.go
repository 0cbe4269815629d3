package storagetest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabblehq/chat"
)

// BenchServer measures what host code gets that sends by [chat.Room.Send]: a
// thousand senders, each in a room of its own, wait for each message before
// they send the next. Put it beside what the database does by itself.
func BenchServer(b *testing.B, s chat.Store) {
	srv := benchServer(b, s)
	const rooms = 1000
	for i := range rooms {
		if _, err := srv.Room(fmt.Sprint("r", i)).Create(b.Context(), chat.RoomInfo{}); err != nil {
			b.Fatal(err)
		}
	}
	var next atomic.Int64
	var senders sync.WaitGroup
	b.ResetTimer()
	for i := range rooms {
		room := srv.Room(fmt.Sprint("r", i))
		senders.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := benchSend(b.Context(), room, n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// BenchLatency measures how long one message takes when there is no other, and
// how much of that is the server's: it sends by [chat.Room.Send] and by Append
// in turn, and reports the medians.
func BenchLatency(b *testing.B, s chat.Store) {
	srv := benchServer(b, s)
	room := srv.Room("r")
	if _, err := room.Create(b.Context(), chat.RoomInfo{}); err != nil {
		b.Fatal(err)
	}
	benchRoom(b, s, "direct")
	var through, direct []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if err := benchSend(b.Context(), room, int64(i)); err != nil {
			b.Fatal(err)
		}
		through = append(through, time.Since(began))
		began = time.Now()
		benchDo(b, s, "direct", []chat.Change{benchMessage(i)})
		direct = append(direct, time.Since(began))
		time.Sleep(time.Millisecond) // light load
	}
	slices.Sort(through)
	slices.Sort(direct)
	b.ReportMetric(float64(through[len(through)/2].Microseconds()), "µs/send")
	b.ReportMetric(float64(direct[len(direct)/2].Microseconds()), "µs/append")
	b.ReportMetric(float64((through[len(through)/2] - direct[len(direct)/2]).Microseconds()), "µs-added")
}

func benchServer(b *testing.B, s chat.Store) *chat.Server {
	srv, err := chat.New(&chat.Options{
		Store:        s,
		Authenticate: func(*http.Request) (chat.User, error) { return chat.User{}, chat.ErrUnauthenticated },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = srv.Close() })
	return srv
}

func benchSend(ctx context.Context, room *chat.Room, n int64) error {
	_, err := room.Send(ctx, chat.Message{
		User: "alice", Content: "a message of the usual length, forty-two.", Nonce: fmt.Sprint(n),
	})
	return err
}
