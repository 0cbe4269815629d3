package redis_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

func TestOldMessagesGo(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, srv.URL(), redis.Options{MaxAge: time.Hour})
	add(t, s, "r", creation("r"))
	var last chat.Message
	for i := range 250 { // more than are looked at in one go
		m := message("")
		m.At = m.At.Add(time.Duration(i)*time.Millisecond - time.Hour + 10*time.Second)
		last = add(t, s, "r", m).Message
	}
	require.EqualValues(t, 250, last.Seq)
	late := message("n")
	late.At = late.At.Add(-30 * time.Minute)
	kept := add(t, s, "r", late).Message
	old := message("")
	old.At = old.At.Add(-2 * time.Hour)
	add(t, s, "r", old) // behind one that is kept: it goes with it
	p, err := s.History(t.Context(), "r", chat.Query{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, p.Messages, 252)

	young := open(t, srv.URL(), redis.Options{MaxAge: 45 * time.Minute})
	p, err = young.History(t.Context(), "r", chat.Query{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, p.Messages, 2)
	require.Equal(t, kept, p.Messages[0])
	require.Equal(t, last.FirstRev, p.Floor)
}

func TestNoncesAreKnownForTheirLifetime(t *testing.T) {
	const ttl = 300 * time.Millisecond
	s := open(t, redistest.Start(t).URL(), redis.Options{NonceTTL: ttl})
	add(t, s, "r", creation("r"))
	sent := time.Now()
	m := add(t, s, "r", message("n")).Message
	others, forgotten := 0, false
	for !forgotten {
		require.Less(t, time.Since(sent), 10*ttl+bound, "for ever")
		add(t, s, "r", message("")) // what happens meanwhile does not matter
		others++
		res := add(t, s, "r", message("n"))
		// It was stored after sent; an answer that took long proves nothing.
		if forgotten = !res.Duplicate; forgotten {
			require.Greater(t, time.Since(sent), ttl, "too soon")
			require.EqualValues(t, others+2, res.Message.Seq)
		} else {
			require.Equal(t, m, res.Message)
		}
		if others%20 == 0 {
			add(t, s, "r", message(res.Position.Epoch+time.Now().String()))
			others++
		}
	}
}

func TestCorruptedRecordsAreLoggedOnce(t *testing.T) {
	srv := redistest.Start(t)
	c := client(t, srv)
	var log onceLog
	s := open(t, srv.URL(), redis.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	add(t, s, "r", creation("r"))
	m := add(t, s, "r", message("1")).Message
	next := add(t, s, "r", message("2")).Message
	key := "gabble:{" + bucket(t, srv, "r") + "}k:r"
	for _, damage := range []func(){
		func() { require.NoError(t, c.HSet(t.Context(), key, "1", "rubbish").Err()) },
		func() { require.NoError(t, c.HDel(t.Context(), key, "1").Err()) },
		func() { require.NoError(t, c.HSet(t.Context(), key, "i", "1 rubbish").Err()) },
	} {
		damage()
		for range 3 {
			p, err := s.History(t.Context(), "r", chat.Query{Limit: 10})
			require.NoError(t, err)
			require.Len(t, p.Messages, 2)
			require.True(t, p.Messages[0].Deleted())
			require.Equal(t, m.Seq, p.Messages[0].Seq)
			require.Equal(t, next, p.Messages[1])
			require.Equal(t, "r", p.Room.ID)
		}
	}
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "record=settings") }, time.Minute, time.Millisecond)
	require.Equal(t, 1, strings.Count(log.String(), `record="message 1"`))
	require.Equal(t, 1, strings.Count(log.String(), "record=settings"))
	require.NotContains(t, log.String(), "rubbish")
}

// onceLog is written to by the store's own goroutine.
type onceLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *onceLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *onceLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
