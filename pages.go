package chat

import (
	"context"
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

// Where a page of messages that is too large is kept.
const (
	toOldest = 0  // at its start: what is newer gives way
	toNewest = -1 // at its end
	// above 0: around the message of that seq
)

// wireMessages turns a page's messages into wire form, at most max bytes of
// them, kept as keep says. It returns whether newer ones gave way, or older
// ones where the newest were to be kept, and how many bytes it has taken.
func (r *liveRoom) wireMessages(ctx context.Context, list []Message, keep int64, max int) (out []wire.Message, cut bool, size int) {
	if len(list) == 0 {
		return []wire.Message{}, false, 0
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].User
	}
	who := r.srv.names.Many(ctx, ids)
	sizeOf := func(i int) int {
		author := who(list[i].User)
		return messageSize(&list[i]) + wire.UserSize(&author)
	}
	from := 0
	switch {
	case keep == toNewest:
		from = len(list) - 1
	case keep > 0:
		for from < len(list)-1 && list[from].Seq < keep {
			from++
		}
	}
	to := from + 1
	size = sizeOf(from)
	// The newer and the older in turn, for as long as one fits.
	fits := func(i int) bool {
		if i < 0 || i >= len(list) {
			return false
		}
		n := sizeOf(i)
		if size+n > max {
			return false
		}
		size += n
		return true
	}
	for newer, older := true, true; newer || older; {
		if newer = newer && fits(to); newer {
			to++
		}
		if older = older && fits(from-1); older {
			from--
		}
	}
	cut = to < len(list) || keep == toNewest && from > 0
	list = list[from:to]
	out = make([]wire.Message, len(list))
	for i := range list {
		out[i] = wireMessage(&list[i], who(list[i].User))
		out[i].Room = r.id
	}
	return out, cut, size
}

// A cursor is opaque to clients: it is encoded, so that whatever it holds comes
// back whole.

var errCursor = &Error{Code: CodeInvalid, Message: "is not one of ours", Field: "cursor"}

func makeCursor(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func readCursor(cursor string) (s string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	return string(b), err == nil
}
