package wire_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

var (
	benchCommand = []byte(`{"type":"message","ref":"42","room":"general","content":"The quick brown fox jumps over the lazy dog, twice if it has to.","nonce":"01JD9X5V7Q3K8M2N4P6R8T0W1Y","reply_to":"01JD9X5V7Q3K8M2N4P6R8T0W1Z","extra":12}`)
	benchMessage = wire.Message{
		ID: "01JD9X5V7Q3K8M2N4P6R8T0W1Y", Room: "general", Seq: 41, Rev: 57, FirstRev: 57,
		User: wire.User{ID: "alice", Name: "Alice"}, Kind: "regular",
		Content:   "The quick brown fox jumps over the lazy dog, twice if it has to.",
		Nonce:     "01JD9X5V7Q3K8M2N4P6R8T0W1Z",
		CreatedAt: time.Date(2026, 11, 22, 18, 0, 0, 123e6, time.UTC),
	}
)

func BenchmarkDecodeMessage(b *testing.B) {
	var c wire.Command
	b.SetBytes(int64(len(benchCommand)))
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Decode(benchCommand); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	buf := wire.NewFrame(1024)
	b.ReportAllocs()
	for b.Loop() {
		wire.Seal(wire.AppendMessage(buf, "message", &benchMessage))
	}
}

func BenchmarkAppendAck(b *testing.B) {
	buf := wire.NewFrame(1024)
	ack := wire.Ack{Ref: "42", Room: "general", ID: benchMessage.ID, Seq: 41, Rev: 57, CreatedAt: benchMessage.CreatedAt}
	b.ReportAllocs()
	for b.Loop() {
		wire.Seal(wire.AppendAck(buf, &ack))
	}
}

func BenchmarkPeek(b *testing.B) {
	frame := wire.AppendMessage(nil, "message", &benchMessage)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := wire.Peek(frame); !ok {
			b.Fatal("not read")
		}
	}
}

func BenchmarkEventDecode(b *testing.B) {
	frame := wire.AppendMessage(nil, "message", &benchMessage)
	var e wire.Event
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
}

// A frame may be up to 1 MiB by the host's choice, and hold the worst.
func BenchmarkDecodeHostile(b *testing.B) {
	var names strings.Builder
	for i := range 80_000 {
		fmt.Fprintf(&names, `"k%d":1,`, i)
	}
	for name, frame := range map[string]string{
		"arrays":   `{"a":` + strings.Repeat("[", 1<<20),
		"objects":  strings.Repeat(`{"a":`, 200_000),
		"names":    `{` + names.String() + `"type":"ping"}`,
		"escapes":  `{"content":"` + strings.Repeat(`\u0041`, 170_000) + `"}`,
		"mentions": `{"mentions":[` + strings.Repeat(`"a",`, 250_000) + `"a"]}`,
		"rooms":    `{"rooms":[` + strings.Repeat(`{},`, 300_000) + `{}]}`,
		"slashes":  `{"a":"` + strings.Repeat(`\`, 1<<20) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			payload := []byte(frame)
			b.SetBytes(int64(len(payload)))
			var c wire.Command
			for b.Loop() {
				_ = c.Decode(payload)
			}
		})
	}
}

// BenchmarkDecode is what each command that clients send often costs.
func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"auth", "join", "join-resume", "join-rooms", "leave", "message", "edit", "delete", "typing", "history", "presence", "ping"} {
		cmd := clientFrames[name]
		payload := wire.AppendCommand(nil, &cmd)
		b.Run(name, func(b *testing.B) {
			var c wire.Command
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Decode(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
