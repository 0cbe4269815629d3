package chat_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// TestTrimmedMessagesAreNotHadFromTheRing guards that retention holds for what
// a server keeps in memory itself: somebody stays in the room, so that the ring
// has all frames, and somebody else goes on from before them.
func TestTrimmedMessagesAreNotHadFromTheRing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		store memory.Options
		wait  time.Duration
		kept  int
	}{
		{"by number", memory.Options{MaxMessages: 3}, 2 * time.Second, 3},
		{"by age", memory.Options{MaxAge: time.Minute}, 2 * time.Minute, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, &chat.Options{Store: memory.NewWith(tt.store)}, func(t *testing.T, srv *chattest.Server) {
				room := srv.Room("r")
				say(t, room, 0)
				start := headOf(t, room)
				srv.Dial("keeper").Join("r")
				say(t, room, 1)
				alice := srv.Dial("alice")
				require.False(t, alice.Resume("r", start.Epoch, start.Rev).Reset, "nothing has been trimmed")
				require.Equal(t, []string{"message 2", "synced 2"}, settle(alice))
				alice.Cut()

				say(t, room, 6)
				time.Sleep(tt.wait)
				joined := srv.Dial("alice").Resume("r", start.Epoch, start.Rev)
				require.True(t, joined.Reset)
				require.Len(t, joined.Messages, tt.kept)

				// From where all is there that follows, it goes on.
				head := headOf(t, room)
				joined = srv.Dial("alice").Resume("r", head.Epoch, head.Rev-int64(min(tt.kept, 1)))
				require.False(t, joined.Reset)
			})
		})
	}
}
