package postgres_test

import (
	"crypto/md5"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
	"github.com/gabblehq/chat/storage/storagetest"
)

// The rows of both benchmarks: batches of this many, in as many rooms.
const batchSize = 256

// BenchmarkBare is what the database does with the same rows, in the same
// table, in batches of the size of the store's, without anything else.
func BenchmarkBare(b *testing.B) {
	url := pgtest.Start(b).CreateDB(b)
	openWith(b, url, postgres.Options{})
	pool := newPool(b, url)
	var next atomic.Int64
	b.SetParallelism(1) // two transactions at once on two processors, as the store has
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for {
			var rows bareRows
			for len(rows.seq) < batchSize && pb.Next() {
				rows.add(int(next.Add(1)))
			}
			if len(rows.seq) == 0 {
				return
			}
			var q pgx.Batch
			q.Queue("begin")
			q.Queue(`INSERT INTO gabble.messages (room_id, seq, rev, first_rev, created_at, edited_at, deleted_at, id, user_id, kind, nonce,
					content, reply_to, thread, mentions, attachments, meta, nonce_hash)
				SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
					$8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::json[], $16::json[], $17::json[], $18::bytea[])`,
				rows.room, rows.seq, rows.seq, rows.seq, rows.at, rows.null, rows.null, rows.id, rows.user, rows.kind, rows.id,
				rows.content, rows.none, rows.none, rows.json, rows.json, rows.json, rows.hash)
			q.Queue("commit")
			if err := pool.SendBatch(b.Context(), &q).Close(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

type bareRows struct {
	room, seq                     []int64
	at                            []time.Time
	null                          []*time.Time
	id, user, kind, content, none []string
	json                          []*string
	hash                          [][]byte
}

func (r *bareRows) add(i int) {
	id := fmt.Sprintf("%026d", i)
	hash := md5.Sum([]byte(id))
	r.room, r.seq = append(r.room, int64(i%batchSize)), append(r.seq, int64(i/batchSize))
	r.at, r.null = append(r.at, time.Now()), append(r.null, nil)
	r.id, r.user, r.kind = append(r.id, id), append(r.user, "alice"), append(r.kind, "regular")
	r.content, r.none = append(r.content, "a message of the usual length, forty-two."), append(r.none, "")
	r.json, r.hash = append(r.json, nil), append(r.hash, hash[:])
}

// BenchmarkServer is how many messages a second go through a server.
//
//	go test -run xxx -bench 'Server|Bare' -benchtime 100000x -count 5 ./storage/postgres
func BenchmarkServer(b *testing.B) {
	storagetest.BenchServer(b, openWith(b, pgtest.Start(b).CreateDB(b), postgres.Options{}))
}

// BenchmarkLatency is what a server adds to the time that one message takes.
func BenchmarkLatency(b *testing.B) {
	storagetest.BenchLatency(b, openWith(b, pgtest.Start(b).CreateDB(b), postgres.Options{}))
}

// BenchmarkAppend is the same through the store, one message per call.
func BenchmarkAppend(b *testing.B) {
	s := openWith(b, pgtest.Start(b).CreateDB(b), postgres.Options{})
	for i := range batchSize {
		makeRoom(b, s, fmt.Sprint("bench/", i))
	}
	var next atomic.Int64
	b.SetParallelism(batchSize)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(next.Add(1))
			c := chat.Change{Kind: chat.ChangeCreate, At: time.Now(), Message: chat.Message{
				ID: fmt.Sprintf("%026d", i), User: "alice", Kind: chat.KindRegular, Nonce: fmt.Sprint(i),
				Content: "a message of the usual length, forty-two.",
			}}
			results, err := s.Append(b.Context(), fmt.Sprint("bench/", i%batchSize), chat.Position{}, []chat.Change{c})
			if err != nil || results[0].Err != nil {
				b.Error(err, results)
				return
			}
		}
	})
}

func makeRoom(t testing.TB, s chat.Store, key string) chat.Position {
	t.Helper()
	c := chat.Change{Kind: chat.ChangeCreateRoom, At: time.Now(), Room: chat.RoomInfo{ID: "room", Kind: chat.RoomPublic}}
	results, err := s.Append(t.Context(), key, chat.Position{}, []chat.Change{c})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	return results[0].Position
}
