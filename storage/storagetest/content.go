package storagetest

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func contentChecks() []check {
	const set = "ChangeCreate adds Change.Message, whose ID, User, Kind, Content, Nonce, ReplyTo, Thread, Mentions, Attachments and Meta are set."
	return []check{
		{"every_field", set, "each comes back as it went in", everyField},
		{"any_text", "Strings are valid UTF-8 without U+0000, Meta is valid JSON; both are kept byte for byte.", "whatever text", anyText},
		{"large", set, "64 KiB of it too", largeText},
		{"json_is_opaque", "Strings are valid UTF-8 without U+0000, Meta is valid JSON; both are kept byte for byte.", "spaces, order of keys, escapes and all", jsonOpaque},
		{"any_key", "The room argument is one opaque key of printable ASCII, at most 256 bytes; a Store must not read anything into it.", "", anyKey},
		{"times", "becomes CreatedAt, EditedAt or DeletedAt, in UTC and whole milliseconds", "", wholeTimes},
	}
}

func everyField(t *rig) {
	r := t.room()
	c := r.rich("alice", "n")
	res := r.one(c)
	want := c.Message
	want.Seq, want.Rev, want.FirstRev, want.CreatedAt = 1, 2, 2, stamp(c.At)
	sameMessage(t, want, res.Message, "Result.Message")
	sameMessage(t, want, r.message(want.ID), "by id")
	sameMessage(t, want, r.history(chat.Query{Limit: 1}).Messages[0], "History")
	sameMessage(t, want, *r.changes(1, 1).Entries[0].Message, "Changes")
	sameMessage(t, want, r.one(r.create("alice", "n", "retry")).Message, "a duplicate")
	r.audit()
}

func texts() []string {
	all := []string{
		"", " ", "  leading and trailing  ", "\n", "line\r\nline\ttab",
		"\x01\x02\x1b[31m\x7f", "\u0085\u2028\u2029", "日本語", "שלום עולם", "e\u0301 and é", "👩‍👩‍👧‍👦 🇩🇪 👍🏽", "\U0010FFFF\uFFFD\uFEFF",
		`"quoted" \ \n \u0000 'single' ` + "`back`", "<script>&amp;</script>", "'; DROP TABLE messages; --", "$1 ? :name @p %s %d {{.}} ${x}",
		"null", "true", "0", "1e999", "NaN", "-1", "[]", "{}", `{"id":"x"}`, "*", "__proto__", strings.Repeat("é", 1000),
	}
	for r := rune(1); r < 32; r++ {
		all = append(all, "c"+string(r), string(r))
	}
	return all
}

func anyText(t *rig) {
	r := t.room()
	for i, text := range texts() {
		c := r.create("alice", fmt.Sprint(i, text), text)
		c.Message.User = "user " + text
		c.Message.Mentions = []string{text, "x", text}
		c.Message.Attachments = []chat.Attachment{{URL: text, Name: text, Type: text}}
		res := r.one(c)
		want := res.Message
		require.Equal(t, text, want.Content)
		require.Equal(t, plain(c.Message).Mentions, want.Mentions)
		require.Equal(t, plain(c.Message).Attachments, plain(want).Attachments)
		sameMessage(t, want, r.message(c.Message.ID), "what is stored")
		r.duplicate(c, want)
		if text != "" {
			res := r.one(edit(want.ID, text+text))
			require.Equal(t, text+text, res.Message.Content)
			require.Equal(t, text, r.one(retitle(text)).Room.Title)
			require.Equal(t, text, r.history(chat.Query{}).Room.Title)
		}
	}
	r.audit()
}

func largeText(t *rig) {
	r := t.room()
	for _, text := range []string{
		strings.Repeat("x", 64<<10), strings.Repeat("é", 32<<10), strings.Repeat("👍", 16<<10), strings.Repeat("\x01\"\\", 20<<10),
	} {
		m := r.send(text)
		require.True(t, m.Content == text, "64 KiB come back in the answer")
		require.True(t, r.message(m.ID).Content == text, "64 KiB come back from the store")
	}
	r.append(r.create("alice", "", strings.Repeat("a", 64<<10)), r.create("alice", "", strings.Repeat("b", 64<<10)))
	require.Len(t, r.history(chat.Query{Limit: 10}).Messages, 6)
}

func jsonOpaque(t *rig) {
	r := t.room()
	for _, meta := range []string{
		`{}`, `{ }`, "{\t}", `{"b":1,"a":2}`, "{\n\t\"a\" : [ 1 , 2.0e+00 ]\r\n}", `{"a":1,"a":2}`, `{"":{"":""}}`,
		`{"n":12345678901234567890.123456789}`, `{"n":[-0,0.10,1E+400,1e-400,9007199254740993,123456789012345678901234567890]}`,
		`{"s":"\u00e9\u0000é<>&\/\ud83d\ude00"}`, `{"\u0061":1,"a":2}`, `{"half":"\ud83d"}`, "{\"s\":\"\u2028\x7f\uFFFD\U0010FFFF\"}",
		`{"a":{"b":{"c":[null,true,"x"]}}}`, `{"deep":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		`{"long":"` + strings.Repeat("é", 16<<10) + `"}`,
	} {
		require.True(t, json.Valid([]byte(meta)))
		c := r.create("alice", "", "x")
		c.Message.Meta = json.RawMessage(meta)
		c.Message.Attachments = []chat.Attachment{{URL: "u", Size: math.MaxInt64, Meta: json.RawMessage(meta)}}
		res := r.one(c)
		for _, m := range []chat.Message{res.Message, r.message(c.Message.ID)} {
			require.Equal(t, meta, string(m.Meta))
			require.Equal(t, meta, string(m.Attachments[0].Meta))
			require.EqualValues(t, int64(math.MaxInt64), m.Attachments[0].Size)
		}
		require.True(t, r.one(chat.Change{Kind: chat.ChangeUpdateRoom, At: now(), Update: chat.RoomUpdate{Meta: json.RawMessage(meta)}}).Err == nil)
		require.Equal(t, meta, string(r.history(chat.Query{}).Room.Meta))
	}
}

// anyKeys are keys that a careless store confuses.
func anyKeys() []string {
	var printable strings.Builder
	for c := byte(0x20); c < 0x7f; c++ {
		printable.WriteByte(c)
	}
	long := strings.Repeat("k", 255)
	return []string{
		"a", "A", "a/b", "a:b", "a:", ":a", "a{b}c", "{a}", "}{", "a*", "a?", "a[b]", "a b", " a", "a ", "%", "_", "a%2Fb", `a\b`, `'"`, "--",
		"..", ".", "/", "//", "~", "0", "1", "null", "a\\", "$a", "#a", "@", "a,b", "a|b", "a=b&c", long + "1", long + "2", long, printable.String(),
	}
}

func anyKey(t *rig) {
	s := t.open()
	keys := anyKeys()
	rooms := make([]*room, len(keys))
	for i, key := range keys {
		r := &room{t: t, ctx: t.ctx, s: s, key: key, id: fmt.Sprint("r", i)}
		r.make()
		rooms[i] = r
	}
	for i, r := range rooms {
		r.one(r.create("alice", "n", keys[i]))
	}
	for i, r := range rooms {
		msgs := r.audit()
		require.Len(t, msgs, 1, "the room %q", keys[i])
		require.Equal(t, keys[i], msgs[0].Content)
		require.Equal(t, r.id, r.history(chat.Query{}).Room.ID)
	}
}
