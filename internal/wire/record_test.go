package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestRecordsReadBack(t *testing.T) {
	at := time.Date(2024, 2, 29, 23, 59, 59, 7e6, time.UTC)
	for _, m := range []Message{
		{},
		{User: User{ID: "alice"}, Kind: "regular", Content: "héllo \"\n\u2028 \\"},
		{
			User: User{ID: "ü"}, Kind: "system", Content: strings.Repeat("x", 5000), Nonce: "n\t", EditedAt: at, DeletedAt: at.Add(-5e11),
			ReplyTo: "r", Thread: "t", Mentions: []string{"a", "b,]"}, Meta: json.RawMessage(`{ "a" : [1, {"b":"]}"}] }`),
			Attachments: []Attachment{{URL: "https://x/ü", Name: "n", Type: "t", Size: -1 << 62, Width: -1, Height: 2, Meta: json.RawMessage(`{}`)}, {}},
		},
	} {
		body := AppendMessageRecord(nil, &m)
		require.True(t, json.Valid(body), "%s", body)
		got, err := ParseMessageRecord(body)
		require.NoError(t, err, "%s", body)
		require.Equal(t, m, got)
	}
	r := RoomRecord{ID: "i", Kind: "direct", Title: "T", Topic: "P", Avatar: "A", Peers: []string{"a", "b"}, Meta: json.RawMessage(`{"x":1}`), CreatedBy: "c"}
	got, err := ParseRoomRecord(AppendRoomRecord(nil, &r))
	require.NoError(t, err)
	require.Equal(t, r, got)
}

// A later version may write fields that this one does not know, also with a
// time as others write it.
func TestRecordsOfALaterVersion(t *testing.T) {
	m, err := ParseMessageRecord([]byte(` {"pinned":{"by":["x"]},"user":"a", "content" : "c","edited_at":"2024-01-02T03:04:05.5+01:00","attachments":[{"url":"u","blur":"x"}] } `))
	require.NoError(t, err)
	require.Equal(t, Message{
		User: User{ID: "a"}, Content: "c", EditedAt: time.Date(2024, 1, 2, 2, 4, 5, 5e8, time.UTC), Attachments: []Attachment{{URL: "u"}},
	}, m)
}

func TestDamagedRecordsAreErrors(t *testing.T) {
	for _, body := range []string{
		"", "{", "[]", "null", `{"user":1}`, `{"user":"a"`, `{"user":"a"}x`, `{"mentions":["a"}`, `{"mentions":"a"}`, `{"mentions":[1]}`, `{"mentions":["a",]}`,
		`{"edited_at":"yesterday"}`, `{"edited_at":"2024-13-01T00:00:00.000Z"}`, `{"edited_at":1}`, `{"meta":[]}`, `{"meta":{"a":}}`, `{"attachments":[{"size":"x"}]}`,
		`{"attachments":[1]}`, "{\"content\":\"\xff\"}",
	} {
		_, err := ParseMessageRecord([]byte(body))
		require.ErrorIs(t, err, ErrRecord, body)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"user":"a","content":"c","created_at":"2024-01-02T03:04:05.006Z","mentions":["x"],"attachments":[{"url":"u","meta":{}}],"meta":{"a":1}}`))
	f.Add([]byte(`{"id":"r","peers":["a","b"],"title":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = ParseRoomRecord(body)
		m, err := ParseMessageRecord(body)
		if err != nil {
			return
		}
		if !utf8.ValidString(m.Content) {
			t.Fatalf("%q", m.Content)
		}
		// What has been read can be written, and reads the same.
		again, err := ParseMessageRecord(AppendMessageRecord(nil, &m))
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if strings.Contains(m.Content, "\x00") || m.EditedAt.Year() > 9999 || m.EditedAt.Year() < 0 {
			return
		}
		if again.Content != m.Content || again.User != m.User {
			t.Fatalf("%q: %v", body, again)
		}
	})
}
