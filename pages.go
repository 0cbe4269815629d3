package chat

import (
	"context"
	"encoding/base64"
	"hash/maphash"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

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

// reading bounds what pages hold while they are made. A page that goes out is
// small, but what a store is asked for need not be: 200 messages of the largest
// are 50 pages. So no more is read than is about to fill the page, by what
// messages of the room have been like, and all reads together have a budget.
type reading struct {
	budget *semaphore.Weighted
	sizes  [1 << 10]atomic.Uint32 // bytes of a message, by room; 0: not known. Rooms may share one
}

const (
	readingBytes = 64 << 20 // of all reads together
	fewRead      = 8        // messages that are read at least
	firstRead    = 64       // and at most, while it is not known how large they are
	unknownSize  = 16 << 10 // bytes that such a message is taken for
)

func (rd *reading) init() { rd.budget = semaphore.NewWeighted(readingBytes) }

// size is where it is kept how large a message of the room is.
func (r *liveRoom) size() *atomic.Uint32 {
	rd := &r.srv.reading
	return &rd.sizes[maphash.String(r.srv.rooms.seed, r.id)%uint64(len(rd.sizes))]
}

// fills is how many messages of a size fill so many bytes, and a few more.
func fills(bytes, size int) int { return max(bytes/size*5/4, fewRead) }

// messages reads a page for clients: what does not fit into one that goes out
// is not read, so that there may be fewer messages than q asks for.
func (r *liveRoom) messages(ctx context.Context, q Query) (Page, error) {
	most := r.srv.opt.Limits.PageBytes
	size := int(r.size().Load())
	ask, part := q.Limit, q
	if size > 0 {
		part.Limit = min(ask, fills(most, size))
	} else {
		part.Limit = min(ask, firstRead)
	}
	page, got, err := r.part(ctx, part, size)
	n := len(page.Messages)
	if err != nil || part.Limit == ask || n < part.Limit || got >= most {
		return page, err
	}
	// It was less than there is room for.
	rest := q
	if rest.Limit = min(ask-n, fills(most-got, max(got/n, 1))); q.Around > 0 {
		rest.Limit += n
	} else if q.After > 0 {
		rest.After = page.Messages[n-1].Seq
	} else {
		rest.Before = page.Messages[0].Seq
	}
	more, _, err := r.part(ctx, rest, got/n)
	switch {
	case err != nil || more.Head.Epoch != page.Head.Epoch:
		// What there is will do: it says that there is more.
	case q.Around > 0:
		return more, nil
	case q.After > 0:
		page.Messages, page.More = append(page.Messages, more.Messages...), more.More
	default:
		page.Messages, page.More = append(more.Messages, page.Messages...), more.More
	}
	return page, nil
}

// part reads messages that are taken to be of a size, within the budget, and
// notes what they are like.
func (r *liveRoom) part(ctx context.Context, q Query, size int) (page Page, got int, err error) {
	if size == 0 {
		size = unknownSize
	}
	budget, weight := r.srv.reading.budget, min(int64(q.Limit)*int64(size), readingBytes)
	if err := budget.Acquire(ctx, weight); err != nil {
		return Page{}, 0, &Error{Code: CodeUnavailable, Message: "too much is being read", cause: err}
	}
	defer budget.Release(weight)
	page, err = r.history(ctx, q)
	for i := range page.Messages {
		got += messageSize(&page.Messages[i])
	}
	if n := len(page.Messages); n > 0 {
		r.size().Store(uint32(got / n))
	}
	return page, got, err
}

// filling is how many changes are read at once for those who lag.
func (r *liveRoom) filling() int {
	most := r.srv.opt.Limits.MaxHistory
	if size := int(r.size().Load()); size > 0 {
		most = min(most, fills(r.srv.opt.Limits.PageBytes, size))
	}
	return most
}
