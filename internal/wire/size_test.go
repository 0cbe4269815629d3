package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

// TestSizesAreUpperBounds: what fits by its size fits when it is encoded.
func TestSizesAreUpperBounds(t *testing.T) {
	for _, s := range []string{"", "alice", `"quoted\"`, "line\nbreak", "\x00\x1f\x7f", "<b>&amp;", "\u2028 é 漢 😀", strings.Repeat("\x01", 100)} {
		u := wire.User{ID: "u" + s, Name: s, Avatar: s}
		one := wire.AppendOnline(nil, &wire.Online{Type: "members", Room: "r", Users: []wire.User{{ID: "a"}, {ID: "b"}}})
		two := wire.AppendOnline(nil, &wire.Online{Type: "members", Room: "r", Users: []wire.User{{ID: "a"}, u, {ID: "b"}}})
		require.LessOrEqual(t, len(two)-len(one), wire.UserSize(&u), "%q", s)
		require.GreaterOrEqual(t, wire.StringSize(s), len(s)+3)
	}
}
