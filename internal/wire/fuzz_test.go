package wire_test

import (
	"bytes"
	"encoding/json"
	"strings"
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

// shown is what readers are given of a text: what they would refuse is U+FFFD.
func shown(s string) string { return strings.ReplaceAll(string([]rune(s)), "\x00", "\ufffd") }

// counted is what readers are given of a number.
func counted(n int64) int64 { return min(max(n, 0), wire.MaxNumber) }

// object is what readers are given of a meta: an object, or nothing.
func object(t *testing.T, raw []byte) any {
	var v any
	if len(raw) == 0 || raw[0] != '{' || raw[len(raw)-1] != '}' || jsonv2.Unmarshal(raw, &v) != nil || depth(v) > 16 {
		return nil
	}
	return meaning(t, raw)
}

func depth(v any) (deepest int) {
	switch v := v.(type) {
	case map[string]any:
		for _, v := range v {
			deepest = max(deepest, depth(v))
		}
	case []any:
		for _, v := range v {
			deepest = max(deepest, depth(v))
		}
	default:
		return 0
	}
	return deepest + 1
}

// event reads a frame as the strictest of clients does.
func event(t *testing.T, frame []byte) (ev wire.Event) {
	require.NoError(t, jsonv2.Unmarshal(frame, &ev), "%s", frame)
	require.NotContains(t, string(frame), `\u0000`)
	return ev
}

// Whatever a host, a store or another server has made of a value: what goes out
// is a frame that every client reads, with the same fields.
func FuzzFrames(f *testing.F) {
	f.Add("m", "general", "alice", "Alice", "Hello <b>\u2028\x00\xff\"\\", "n", "/a", int64(1), int64(2), int64(48213), int64(1764000000123), int64(0), []byte(`{"a":[1]}`))
	f.Add("", "", "", "", "", "", "", int64(-1), int64(0), int64(1<<62), int64(-1<<40), int64(5), []byte(`{"a":1,"a":2}`))
	f.Add("m", "r", "al\xff", "\x00", "x", "n", "/", int64(1), int64(1), int64(1), int64(1), int64(1), []byte(`{},"user":{"id":"bob"},"content":"forged","x":{}`))
	f.Add("m", "r", "a", "a", "x", "n", "/", int64(1), int64(1), int64(1), int64(1), int64(1), []byte("{\"a\":\"\xff\"}"))
	f.Add("m", "r", "a", "a", "x", "n", "/", int64(1), int64(1), int64(1), int64(1), int64(1), []byte(strings.Repeat(`{"a":`, 17)+"1"+strings.Repeat("}", 17)))
	f.Fuzz(func(t *testing.T, id, room, user, name, content, nonce, url string, seq, rev, size, created, edited int64, meta []byte) {
		m := wire.Message{
			ID: id, Room: room, Seq: seq, Rev: rev, FirstRev: size, User: wire.User{ID: user, Name: name, Avatar: url},
			Kind: name, Content: content, Nonce: nonce, ReplyTo: id, Thread: nonce,
			CreatedAt: time.UnixMilli(created).In(time.FixedZone("", 3600)), Meta: meta,
			Mentions:    []string{user, content},
			Attachments: []wire.Attachment{{URL: url, Name: name, Type: nonce, Size: size, Width: int(seq), Height: int(rev), Meta: meta}, {}},
		}
		if edited != 0 {
			m.EditedAt = time.UnixMilli(edited)
		}
		who := wire.User{ID: shown(user), Name: shown(name), Avatar: shown(url)}
		same := func(got wire.Message) {
			t.Helper()
			require.Equal(t, object(t, meta), meaning(t, got.Meta))
			require.Equal(t, object(t, meta), meaning(t, got.Attachments[0].Meta))
			got.Meta, got.Attachments[0].Meta = nil, nil
			require.Equal(t, wire.Message{
				ID: shown(id), Room: shown(room), Seq: counted(seq), Rev: counted(rev), FirstRev: counted(size), User: who,
				Kind: shown(name), Content: shown(content), Nonce: shown(nonce), ReplyTo: shown(id), Thread: shown(nonce),
				CreatedAt: dated(m.CreatedAt), EditedAt: dated(m.EditedAt), Mentions: []string{shown(user), shown(content)},
				Attachments: []wire.Attachment{{
					URL: shown(url), Name: shown(name), Type: shown(nonce), Size: counted(size), Width: int(counted(seq)), Height: int(counted(rev)),
				}, {}},
			}, got)
		}
		for _, typ := range []string{"message", "edit", "delete"} {
			ev := event(t, wire.AppendMessage(nil, typ, &m))
			require.Equal(t, typ, ev.Type)
			ev.Message.Room = shown(room)
			same(ev.Message)
		}
		r := wire.Room{
			ID: room, Kind: nonce, Title: name, Topic: content, Avatar: url, Peers: []wire.User{m.User, {}}, Online: int(seq),
			LastMessage: &m, Meta: meta, CreatedAt: m.CreatedAt, Rev: rev,
		}
		state := func(got *wire.Room) {
			t.Helper()
			require.Equal(t, object(t, meta), meaning(t, got.Meta))
			same(*got.LastMessage)
			got.Meta, got.LastMessage = nil, nil
			require.Equal(t, &wire.Room{
				ID: shown(room), Kind: shown(nonce), Title: shown(name), Topic: shown(content), Avatar: shown(url),
				Peers: []wire.User{who, {}}, Online: int(counted(seq)), CreatedAt: dated(m.CreatedAt), Rev: counted(rev),
			}, got)
		}
		ev := event(t, wire.AppendJoined(nil, &wire.Joined{
			Ref: nonce, Room: room, Epoch: id, Head: rev, Messages: []wire.Message{m}, State: &r, Online: int(seq), Users: []wire.User{m.User},
		}))
		require.Equal(t, shown(nonce), ev.Ref)
		require.Equal(t, counted(rev), ev.Head)
		require.Equal(t, []wire.User{who}, ev.Users)
		same(ev.Messages[0])
		state(ev.State)
		ev = event(t, wire.AppendRooms(nil, &wire.Rooms{Ref: nonce, Rooms: []wire.Room{r}, Cursor: id, More: true}))
		require.Equal(t, shown(id), ev.Cursor)
		state(&ev.Rooms[0])
		ev = event(t, wire.AppendReset(nil, &wire.Reset{Room: room, Epoch: id, Head: rev, Messages: []wire.Message{m}}))
		same(ev.Messages[0])
		ev = event(t, wire.AppendHistory(nil, &wire.History{Ref: nonce, Room: room, Messages: []wire.Message{m}, Epoch: id, Head: seq}))
		same(ev.Messages[0])
		ev = event(t, wire.AppendOnline(nil, &wire.Online{Type: "members", Ref: nonce, Room: room, Online: int(seq), Users: []wire.User{m.User}, Cursor: id}))
		require.Equal(t, []wire.User{who}, ev.Users)
		ev = event(t, wire.AppendPresence(nil, &wire.Presence{Room: room, Online: int(seq), Join: []wire.User{m.User}, Leave: []wire.User{m.User}}))
		require.Equal(t, []wire.User{who}, ev.Join)
		require.Equal(t, []wire.User{who}, ev.Leave)
		ev = event(t, wire.AppendError(nil, &wire.Error{Ref: nonce, Room: room, Code: id, Message: content, Field: name, RetryAfterMS: rev}))
		require.Equal(t, shown(content), ev.Text)
		require.Equal(t, counted(rev), ev.RetryAfterMS)
		ev = event(t, wire.AppendTyping(nil, &wire.Typing{Room: room, User: m.User}))
		require.Equal(t, who, ev.User)
		event(t, wire.AppendRoom(nil, &r))
		event(t, wire.AppendAck(nil, &wire.Ack{Ref: nonce, Room: room, ID: id, Seq: seq, Rev: rev, CreatedAt: m.CreatedAt}))
		event(t, wire.AppendLeft(nil, room, id))
		event(t, wire.AppendSynced(nil, room, id, rev))
		event(t, wire.AppendPong(nil, nonce, m.CreatedAt))
		event(t, wire.AppendReconnect(nil, rev, name))
		event(t, wire.AppendWelcome(nil, &wire.Welcome{Ref: nonce, Session: id, User: m.User, ExpiresInMS: rev, HeartbeatMS: size}))
	})
}

// dated is a time as readers are given it: none where RFC 3339 cannot say it.
func dated(at time.Time) time.Time {
	at = at.UTC()
	if at.Year() < 0 || at.Year() > 9999 {
		return time.Time{}
	}
	return at
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
