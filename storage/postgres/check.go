package postgres

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

const (
	// trialEvery is how often a database that refuses is written to for a test,
	// at most.
	trialEvery = time.Second
	// trialSize is more than a table has room for without growing.
	trialSize = 32 << 10
)

// trial is of a database that has refused a change, and taken none since.
type trial struct {
	refused atomic.Bool

	mu  sync.Mutex // held while one goes on
	at  time.Time  // of the last
	err error
}

// Check implements [chat.Checker]. It runs the statements of a message without a
// message, which is enough where rights are missing or the database is
// read-only. Where a change has been refused, it writes a message and rolls back:
// a full disk shows in no other way.
func (s *Store) Check(ctx context.Context) error {
	t := &s.trial
	if !t.refused.Load() {
		return s.attempt(ctx, nil)
	}
	if !t.mu.TryLock() {
		return errRefuses
	}
	defer t.mu.Unlock()
	if t.err == nil || time.Since(t.at) >= trialEvery {
		noise := make([]byte, trialSize) // what cannot be compressed
		_, _ = rand.Read(noise)
		if t.err = s.attempt(ctx, noise); t.err == nil {
			t.refused.Store(false)
		}
		t.at = time.Now()
	}
	return t.err
}

// attempt runs the statements of a message, of noise if there is any, and rolls
// back.
func (s *Store) attempt(ctx context.Context, noise []byte) error {
	var keys []string
	var steps []int64
	var rows messageRows
	if noise != nil {
		key := "~check " + rand.Text()
		keys, steps = []string{key}, []int64{1}
		// No room has an id below zero, and no two attempts the same.
		rows.addPlain(-1-int64(binary.BigEndian.Uint64(noise)>>2), &stored{Message: chat.Message{
			ID: key, CreatedAt: time.Now(), Content: base64.StdEncoding.EncodeToString(noise),
		}})
	}
	return s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := &batch{s: s, conn: conn}
		defer b.rollback()
		var q pgx.Batch
		b.begin(&q)
		for _, key := range keys {
			q.Queue(s.q(sqlMakeRoom), s.rooms, key, newEpoch())
		}
		q.Queue(s.q(sqlAdvance), s.rooms, keys, steps, steps)
		q.Queue(s.q(sqlInsertPlain), rows.plain()...)
		q.Queue(s.q(sqlTell), s.channel, keys)
		q.Queue("rollback")
		return conn.SendBatch(ctx, &q).Close()
	})
}
