package wire_test

import (
	"cmp"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

// invalidCase has the code only where it is not invalid.
type invalidCase struct{ Name, Frame, Field, Ref, Code string }

func invalidCases(t testing.TB) (cases []invalidCase) {
	b, err := os.ReadFile("testdata/invalid/cases.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &cases))
	return append(cases,
		// What a JSON file cannot hold.
		invalidCase{"not UTF-8", "{\"type\":\"message\",\"ref\":\"r\",\"room\":\"general\",\"content\":\"\xff\"}", "content", "r", ""},
		invalidCase{"overlong UTF-8", "{\"type\":\"message\",\"ref\":\"r\",\"room\":\"general\",\"content\":\"\xc0\x80\"}", "content", "r", ""},
		invalidCase{"surrogate in UTF-8", "{\"type\":\"message\",\"ref\":\"r\",\"room\":\"general\",\"content\":\"\xed\xa0\x80\"}", "content", "r", ""},
		invalidCase{"name not UTF-8", "{\"type\":\"ping\",\"\xff\":1}", "", "", ""},
	)
}

func TestDecodeInvalid(t *testing.T) {
	for _, tc := range invalidCases(t) {
		t.Run(tc.Name, func(t *testing.T) {
			var c wire.Command
			err := c.Decode([]byte(tc.Frame))
			var e *wire.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, cmp.Or(tc.Code, wire.CodeInvalid), e.Code)
			require.Equal(t, tc.Field, e.Field, e.Message)
			require.Equal(t, tc.Ref, e.Ref)
			require.NotEmpty(t, e.Message)
			require.Less(t, len(e.Error()), 300)
		})
	}
}

func decode(t *testing.T, frame string) wire.Command {
	t.Helper()
	var c wire.Command
	require.NoError(t, c.Decode([]byte(frame)))
	return c
}

// Many languages send null for what is not there.
func TestDecodeNullIsAbsent(t *testing.T) {
	plain := decode(t, `{"type":"message","room":"general","content":"x"}`)
	nulls := decode(t, `{"type":"message","room":"general","content":"x","ref":null,"nonce":null,"reply_to":null,
		"mentions":null,"attachments":null,"meta":null,"after":null,"limit":null,"hard":null,"active":null,"rooms":null}`)
	require.Equal(t, plain, nulls)
}

func TestDecodeIgnoresWhatIsUnknown(t *testing.T) {
	require.Equal(t,
		decode(t, `{"type":"join","rooms":[{"room":"a"}]}`),
		decode(t, `{"x":[{}],"type":"join","Room":"b","rooms":[{"room":"a","feed":[1,{"a":null}]}],"":1.5e300}`))
}

func TestDecodeAnyOrderAndSpelling(t *testing.T) {
	require.Equal(t,
		decode(t, `{"type":"edit","room":"a","id":"m","content":"é\n"}`),
		decode(t, " {\n\"content\" : \"\\u00e9\\n\", \"i\\u0064\":\"m\",\"room\":\"\\u0061\",\t\"type\":\"\\u0065dit\" }\r\n"))
}

// What was taken out of a command stays valid when the payload and the command
// are used again.
func TestDecodeKeepsNothing(t *testing.T) {
	frame := wire.AppendCommand(nil, ptr(clientFrames["message-full"]))
	var c wire.Command
	require.NoError(t, c.Decode(frame))
	taken := c
	for i := range frame {
		frame[i] = '#'
	}
	require.NoError(t, c.Decode([]byte(`{"type":"message","room":"b","content":"y","mentions":["x"],"meta":{"z":1},"attachments":[{"url":"/z"}]}`)))
	require.Equal(t, clientFrames["message-full"], taken)
}

func ptr[T any](v T) *T { return &v }

func TestDecodeCompactsMeta(t *testing.T) {
	c := decode(t, `{"type":"message","room":"a","content":"x","meta":{ "b" : [1, 2.50 ], "a":"x y" }}`)
	require.Equal(t, `{"b":[1,2.50],"a":"x y"}`, string(c.Meta))
}

func TestDecodeBody(t *testing.T) {
	var c wire.Command
	require.NoError(t, c.DecodeBody("edit", "general", "m1", []byte(`{"content":"new","type":"delete","room":"other","id":"m2","ref":"r"}`)))
	require.Equal(t, command("edit", func(c *wire.Command) {
		c.Room, c.ID, c.Content, c.HasContent = "general", "m1", "new", true
	}), c)

	var e *wire.Error
	require.ErrorAs(t, c.DecodeBody("message", "general", "", []byte(`{}`)), &e)
	require.Equal(t, "content", e.Field)
}

func TestCompactMeta(t *testing.T) {
	meta, err := wire.CompactMeta([]byte(` { "a" : 1 } `))
	require.NoError(t, err)
	require.Equal(t, `{"a":1}`, string(meta))

	meta, err = wire.CompactMeta(nil)
	require.NoError(t, err)
	require.Nil(t, meta)

	for _, bad := range []string{" ", "{", "[]", "1", `{"a":1,"a":2}`, `{}{}`, "{\"a\":\"\xff\"}", strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17), `{"a":"` + strings.Repeat("x", wire.MaxMeta) + `"}`} {
		_, err = wire.CompactMeta([]byte(bad))
		var e *wire.Error
		require.ErrorAs(t, err, &e, bad)
		require.Equal(t, "meta", e.Field)
	}
}

func TestValidRoomID(t *testing.T) {
	for _, id := range []string{"a", "general", "~user.x", "A-Z_0.9", "...", "-", strings.Repeat("a", 128)} {
		require.True(t, wire.ValidRoomID(id), id)
	}
	for _, id := range []string{"", ".", "..", "a b", "a/b", "ä", "a\x00", "a:b", strings.Repeat("a", 129)} {
		require.False(t, wire.ValidRoomID(id), id)
	}
}
