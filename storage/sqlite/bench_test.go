package sqlite_test

import (
	"crypto/sha256"
	"database/sql/driver"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
	"github.com/gabblehq/chat/storage/storagetest"
)

const (
	benchRooms   = 1000
	benchWriters = 64
)

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, harness{}) }

// BenchmarkAgainstBare measures what the store costs on top of the rows that
// it writes: the same messages, once through 64 callers of Append, once as bare
// INSERTs of one row each, so many per transaction as the store can have at
// most, one for each caller, and as it has about on a machine of two cores.
func BenchmarkAgainstBare(b *testing.B) {
	for _, sync := range []sqlite.Synchronous{sqlite.Full, sqlite.Normal} {
		o := sqlite.Options{Synchronous: sync}
		b.Run("store/"+string(sync), func(b *testing.B) { benchStore(b, o) })
		for _, batch := range []int{benchWriters, benchWriters / 3} {
			b.Run(fmt.Sprint("bare/", sync, "/by_", batch), func(b *testing.B) { benchBare(b, o, batch) })
		}
	}
}

// BenchmarkServer is how many messages a second go through a server; put it
// beside AgainstBare.
func BenchmarkServer(b *testing.B) {
	for _, sync := range []sqlite.Synchronous{sqlite.Full, sqlite.Normal} {
		b.Run(string(sync), func(b *testing.B) { storagetest.BenchServer(b, open(b, file(b), sqlite.Options{Synchronous: sync})) })
	}
}

// BenchmarkLatency is what a server adds to the time that one message takes.
func BenchmarkLatency(b *testing.B) {
	storagetest.BenchLatency(b, open(b, file(b), sqlite.Options{}))
}

func benchContent(i int) (id, content string) {
	return fmt.Sprintf("%026d", i), "a message of the usual length, forty-two."
}

func benchStore(b *testing.B, o sqlite.Options) {
	s := open(b, file(b), o)
	keys := make([]string, benchRooms)
	for i := range keys {
		keys[i] = fmt.Sprint("bench/", i)
		room(b, s, keys[i])
	}
	var next atomic.Int64
	var writers sync.WaitGroup
	b.ResetTimer()
	for range benchWriters {
		writers.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				id, content := benchContent(i)
				_, err := s.Append(b.Context(), keys[i%benchRooms], chat.Position{}, []chat.Change{{
					Kind: chat.ChangeCreate, At: time.Now(),
					Message: chat.Message{ID: id, User: "alice", Kind: chat.KindRegular, Content: content, Nonce: id},
				}})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

func benchBare(b *testing.B, o sqlite.Options, batch int) {
	c, err := sqlite.NewBare(file(b), o)
	require.NoError(b, err)
	defer func() { require.NoError(b, c.Close()) }()
	exec := func(sql string, args ...any) {
		values := make([]driver.Value, len(args))
		for i := range args {
			values[i] = args[i]
		}
		if err := c.Exec(sql, values...); err != nil {
			b.Fatal(err)
		}
	}
	seqs := make([]int64, benchRooms)
	b.ResetTimer()
	for i := 1; i <= b.N; {
		exec("BEGIN IMMEDIATE")
		for range min(batch, b.N-i+1) {
			id, content := benchContent(i)
			key := sha256.Sum256([]byte(id))
			seqs[i%benchRooms]++
			seq := seqs[i%benchRooms]
			exec(bareInsert, int64(i%benchRooms), seq, seq+1, seq+1, id, "alice", "regular", content, id, key[:16], time.Now().UnixMilli())
			i++
		}
		exec("COMMIT")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

const bareInsert = "INSERT INTO messages (room, seq, rev, first_rev, id, user, kind, content, nonce, nonce_key, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
