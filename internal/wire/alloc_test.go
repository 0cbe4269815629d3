//go:build !race

package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

// The hot path's garbage, which grows with every member of every room, must
// not grow unnoticed. The race detector allocates for itself, hence the tag.
func TestAllocations(t *testing.T) {
	buf := wire.NewFrame(4096)
	joined := wire.Joined{Room: "general", State: &general, Users: []wire.User{alice, bob}, Messages: []wire.Message{hello, look}}
	encoders := map[string]func(){
		"message": func() { wire.Seal(wire.AppendMessage(buf, "message", &look)) },
		"ack": func() {
			wire.AppendAck(buf, &wire.Ack{Ref: "1", Room: "general", ID: idA, Seq: 1, CreatedAt: at(1, 1)})
		},
		"error": func() { wire.AppendError(buf, &wire.Error{Ref: "1", Code: "invalid", Message: "no"}) },
		"joined": func() {
			wire.AppendJoined(buf, &joined)
		},
		"typing": func() { wire.AppendTyping(buf, &wire.Typing{Room: "general", User: bob}) },
	}
	for name, encode := range encoders {
		require.Zero(t, testing.AllocsPerRun(100, encode), name)
	}

	var c wire.Command
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = c.Decode(benchCommand) }), 5.0,
		"one per string that is kept: ref, room, content, nonce, reply_to")
	ping := []byte(`{"type":"ping"}`)
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = c.Decode(ping) }))

	frame := serverFrames["message-full"]
	require.Zero(t, testing.AllocsPerRun(100, func() { wire.Peek(frame) }))
}
