package chat

import (
	"encoding/base64"

	"github.com/gabblehq/chat/internal/wire"
)

// Every page, of whatever command, is one frame of at most Limits.PageBytes:
// sizes are estimated from above before anything is encoded. Its first item is
// there whatever its size, else there would be no getting past it.

// messageSize is about the size of a message's frame without its author's name
// and avatar: what is bounded tightly is guessed, what is not is measured.
func messageSize(m *Message) int {
	n := 256 + wire.StringSize(m.Content) + len(m.User) + len(m.Nonce) + len(m.ReplyTo) + len(m.Thread) + len(m.Meta)
	for _, id := range m.Mentions {
		n += wire.StringSize(id)
	}
	for i := range m.Attachments {
		a := &m.Attachments[i]
		n += 128 + wire.StringSize(a.URL) + wire.StringSize(a.Name) + wire.StringSize(a.Type) + len(a.Meta)
	}
	return n
}

// roomSize leaves out the last message.
func roomSize(w *wire.Room) int {
	n := 256 + wire.StringSize(w.ID) + wire.StringSize(w.Title) + wire.StringSize(w.Topic) + wire.StringSize(w.Avatar) + len(w.Meta)
	for i := range w.Peers {
		n += wire.UserSize(&w.Peers[i])
	}
	return n
}

// A cursor is opaque to clients: it is encoded, so that whatever it holds comes
// back whole.

var errCursor = &Error{Code: CodeInvalid, Message: "is not one of ours", Field: "cursor"}

func makeCursor(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func readCursor(cursor string) (s string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	return string(b), err == nil
}
