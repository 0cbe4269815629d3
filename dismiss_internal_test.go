package chat

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/directory"
)

// TestReasonsThatAreKeptAreShort: what a close frame has no room for is neither
// remembered nor told to other servers, and what is not UTF-8 is replaced.
func TestReasonsThatAreKeptAreShort(t *testing.T) {
	s := &Server{users: directory.New[*session]()}
	require.True(t, s.inUse.Enter())
	_, err := s.User("mallory").Disconnect(context.Background(), "no\xff"+strings.Repeat("é", 1<<20))
	require.NoError(t, err)
	kept := s.dismissed.since("mallory", 0).reason
	require.True(t, utf8.ValidString(kept))
	require.True(t, strings.HasPrefix(kept, "no\ufffdéé"))
	require.LessOrEqual(t, len(kept), 123)
}
