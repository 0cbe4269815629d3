package redis_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/redis"
)

func fullMessage() chat.Message {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	return chat.Message{
		ID: "id 1\n", User: "alice", Kind: chat.KindSystem, Content: "héllo", Nonce: "n", FirstRev: 1, Rev: 2,
		CreatedAt: at, EditedAt: at.Add(time.Hour), DeletedAt: time.UnixMilli(-1).UTC(), ReplyTo: "r", Thread: "t",
		Mentions: []string{"bob", ""}, Meta: json.RawMessage(`{"a": 1}`),
		Attachments: []chat.Attachment{{URL: "u", Name: "n", Type: "t", Size: -1, Width: 2, Height: 3, Meta: json.RawMessage(`{}`)}},
	}
}

func TestRecordsComeBack(t *testing.T) {
	full := fullMessage()
	for _, m := range []chat.Message{full, {FirstRev: 1, Rev: 2, CreatedAt: full.CreatedAt}} {
		got, err := redis.Decode(redis.Encode(&m))
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	info := chat.RoomInfo{ID: "r", Kind: chat.RoomDirect, Peers: []string{"a", "b"}, CreatedAt: full.CreatedAt, Rev: 3}
	got, err := redis.DecodeRoom(redis.EncodeRoom(&info))
	require.NoError(t, err)
	require.Equal(t, info, got)
}

// A later version has more fields, and an older server of the same cluster reads
// what it knows of them.
func TestRecordsOfALaterVersionAreRead(t *testing.T) {
	full := fullMessage()
	for _, m := range []chat.Message{full, {FirstRev: 1, Rev: 2, CreatedAt: full.CreatedAt, Content: "x"}} {
		for _, more := range []string{"\x00", "\x05field", strings.Repeat("\xff", 100)} {
			got, err := redis.Decode(redis.Grown(redis.Encode(&m), more))
			require.NoError(t, err)
			require.Equal(t, m, got)
		}
	}
	info := chat.RoomInfo{ID: "r", Kind: chat.RoomDirect, Title: "t", Peers: []string{"a", "b"}, CreatedAt: full.CreatedAt, Rev: 3}
	got, err := redis.DecodeRoom(redis.GrownRoom(redis.EncodeRoom(&info), "\x01x"))
	require.NoError(t, err)
	require.Equal(t, info, got)
}

func TestNoFlippedBitPasses(t *testing.T) {
	m := fullMessage()
	rec := redis.Encode(&m)
	for i := len("1 2 "); i < len(rec); i++ {
		for bit := range 8 {
			b := []byte(rec)
			b[i] ^= 1 << bit
			_, err := redis.Decode(string(b))
			require.Error(t, err, "byte %d, bit %d", i, bit)
		}
		_, err := redis.Decode(rec[:i])
		require.Error(t, err, "cut at %d", i)
	}
}

func FuzzDecode(f *testing.F) {
	m := fullMessage()
	f.Add(redis.Encode(&m))
	f.Add(redis.EncodeRoom(&chat.RoomInfo{ID: "r", Title: "t"}))
	f.Add("H1 e 0 0 1 0 1 1 rr\x01\x00\x01\x01")
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := redis.Decode(s); err == nil {
			again, err := redis.Decode(redis.Encode(&m))
			require.NoError(t, err)
			m.FirstRev, m.Rev = again.FirstRev, again.Rev
			require.Equal(t, m, again)
		}
		_, _ = redis.DecodeRoom(s)
		if h, ok := redis.ParseHint(s); ok && h.Entries != nil {
			_, _ = h.Entries()
		}
	})
}

func TestURLs(t *testing.T) {
	for _, u := range []string{
		"redis://user:secret@h:1/2?read_timeout=1s", "rediss://h:1", "unix:///tmp/sock?db=1",
		"redis-cluster://user:secret@a:1,b:2,c:3", "rediss-cluster://a:1,b:2?dial_timeout=3s",
		"redis-sentinel://a:1,b:2/3?master_name=m",
	} {
		c, err := redis.Dial(u)
		require.NoError(t, err, u)
		require.NoError(t, c.Close())
	}
	for _, u := range []string{
		"", "h:1", "http://h", "redis-other://h", "redis-sentinel://a:1", "redis://user:secret@h:1/x",
		"redis://user:secret@h:port",
	} {
		_, err := redis.Open(t.Context(), u)
		require.ErrorIs(t, err, chat.ErrInvalid, u)
		require.False(t, strings.Contains(err.Error(), "secret"), "%v", err)
	}
}
