package wire_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

// What decodes is what strict readers of JSON accept, and written out again it
// is the same command.
func FuzzCommandDecode(f *testing.F) {
	for _, c := range clientFrames {
		f.Add(wire.AppendCommand(nil, &c))
	}
	for _, tc := range invalidCases(f) {
		f.Add([]byte(tc.Frame))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		var c wire.Command
		err := c.Decode(payload)
		require.Equal(t, before, payload, "the payload is the caller's")
		if err != nil {
			e := err.(*wire.Error)
			require.Contains(t, []string{wire.CodeInvalid, wire.CodeTooLarge}, e.Code)
			require.LessOrEqual(t, len(e.Ref), wire.MaxRef)
			return
		}
		require.True(t, json.Valid(payload))
		var reference struct {
			Type    string `json:"type"`
			Ref     string `json:"ref"`
			Content string `json:"content"`
		}
		require.NoError(t, jsonv2.Unmarshal(payload, &reference))
		require.Equal(t, reference.Type, c.Type)
		require.Equal(t, reference.Ref, c.Ref)
		require.Equal(t, reference.Content, c.Content)

		again := wire.AppendCommand(nil, &c)
		require.True(t, json.Valid(again), "%s", again)
		var c2 wire.Command
		require.NoError(t, c2.Decode(again), "%s", again)
		require.Equal(t, normal(c), normal(c2))
	})
}

// normal drops the difference between no list and an empty one.
func normal(c wire.Command) wire.Command {
	if len(c.Mentions) == 0 {
		c.Mentions = nil
	}
	if len(c.Attachments) == 0 {
		c.Attachments = nil
	}
	return c
}

// Our encoder and encoding/json say the same of every message.
func FuzzEncodeMessage(f *testing.F) {
	f.Add("m", "general", "alice", "Alice", "Hello <b>\u2028\x00\xff\"\\", "n", "reply", "bob", "/a", int64(1), int64(2), int64(3), int64(1764000000123), int64(0), `{"a":[1]}`)
	f.Add("", "", "", "", "", "", "", "", "", int64(-1), int64(0), int64(1<<62), int64(-1<<40), int64(5), ``)
	f.Fuzz(func(t *testing.T, id, room, user, name, content, nonce, reply, mention, url string, seq, rev, size, created, editedAt int64, meta string) {
		const millisecondsTo9999 = 253402300799000
		m := wire.Message{
			ID: id, Room: room, Seq: seq, Rev: rev, FirstRev: size, User: wire.User{ID: user, Name: name, Avatar: url},
			Kind: "regular", Content: content, Nonce: nonce, ReplyTo: reply, Thread: id,
			CreatedAt: time.UnixMilli(created % millisecondsTo9999).In(time.FixedZone("", 3600)),
			Mentions:  []string{mention, content}, Attachments: []wire.Attachment{{URL: url, Name: name, Type: nonce, Size: size, Width: int(seq), Height: int(rev)}, {}},
		}
		if editedAt != 0 {
			m.EditedAt = time.UnixMilli(editedAt % millisecondsTo9999)
		}
		if compact, err := wire.CompactMeta([]byte(meta)); err == nil {
			m.Meta, m.Attachments[0].Meta = compact, compact
		}
		if y := m.CreatedAt.UTC().Year(); y < 0 || y > 9999 {
			m.CreatedAt = time.Time{}
		}
		if y := m.EditedAt.UTC().Year(); y < 0 || y > 9999 {
			m.EditedAt = time.Time{}
		}
		m.CreatedAt, m.EditedAt = m.CreatedAt.UTC(), m.EditedAt.UTC()

		ours := wire.AppendMessageObject(nil, &m)
		theirs, err := json.Marshal(m)
		require.NoError(t, err)
		var a, b wire.Message
		require.NoError(t, jsonv2.Unmarshal(ours, &a), "%s", ours) // strict
		require.NoError(t, json.Unmarshal(theirs, &b))
		// encoding/json compacts and escapes what is raw; the meaning counts.
		require.Equal(t, meaning(t, b.Meta), meaning(t, a.Meta))
		a.Meta, b.Meta = nil, nil
		a.Attachments[0].Meta, b.Attachments[0].Meta = nil, nil
		require.Equal(t, b, a)

		frame := wire.AppendMessage(nil, "edit", &m)
		var ev wire.Event
		require.NoError(t, ev.Decode(frame))
		require.Equal(t, "edit", ev.Type)
		require.Equal(t, a.Content, ev.Content)
	})
}

func meaning(t *testing.T, raw []byte) (v any) {
	if raw == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

// Whatever Event accepts, Peek reads the same from.
func FuzzPeek(f *testing.F) {
	for _, frame := range serverFrames {
		f.Add(frame)
	}
	f.Add([]byte(` { "t\u0079pe" : "\"}", "x":{"rev":1,"y":"\\\"}{"},"rev" : 7 , "room":"a\\" } `))
	f.Add([]byte(`{"meta":{"type":"x","a":[{"rev":3},"]"]},"seq":12}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, ok := wire.Peek(payload)
		var ev wire.Event
		if ev.Decode(payload) != nil {
			return
		}
		if bytes.Equal(bytes.TrimSpace(payload), []byte("null")) {
			return // which empties an Event, and is no frame
		}
		require.True(t, ok)
		require.Equal(t, ev.Type, string(got.Type))
		require.Equal(t, ev.Room, string(got.Room))
		require.Equal(t, ev.Ref, string(got.Ref))
		require.Equal(t, ev.Nonce, string(got.Nonce))
		require.Equal(t, ev.Seq, got.Seq)
		require.Equal(t, ev.Rev, got.Rev)
		if len(got.CreatedAt) > 0 {
			at, err := time.Parse(time.RFC3339, string(got.CreatedAt))
			require.NoError(t, err)
			require.True(t, at.Equal(ev.CreatedAt))
		}
	})
}
