package chat

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// reading bounds what pages hold while they are made. A page that goes out is
// small, but what a store is asked for need not be: 200 messages of the largest
// are 50 pages. So no more is read than is about to fill the page, by what
// messages of the room have been like, and all reads together have a budget.
type reading struct {
	budget *semaphore.Weighted
	slow   *semaphore.Weighted    // of reads for which the store takes its time
	sizes  [1 << 10]atomic.Uint32 // bytes of a message, by room; 0: not known. Rooms may share one
}

const (
	readingBytes = 64 << 20 // of all reads together
	slowBytes    = 3 * readingBytes
	slowAfter    = 100 * time.Millisecond
	fewRead      = 8        // messages that are read at least
	firstRead    = 64       // and at most, while it is not known how large they are
	unknownSize  = 16 << 10 // bytes that such a message is taken for
)

func (rd *reading) init() {
	rd.budget, rd.slow = semaphore.NewWeighted(readingBytes), semaphore.NewWeighted(slowBytes)
}

// reserve takes from the budget what a read may come to hold, until release is
// called. A read that the store keeps waiting holds nothing yet: what it has
// reserved goes over to a budget of such reads, so that rooms that cannot be read
// hold up no others.
func (rd *reading) reserve(ctx context.Context, weight int64) (release func(), err error) {
	if err := rd.budget.Acquire(ctx, weight); err != nil {
		return nil, &Error{Code: CodeUnavailable, Message: "too much is being read", cause: err}
	}
	var mu sync.Mutex
	from, over := rd.budget, false
	timer := time.AfterFunc(slowAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over && rd.slow.TryAcquire(weight) {
			from = rd.slow
			rd.budget.Release(weight)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
		from.Release(weight)
	}, nil
}

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
	release, err := r.srv.reading.reserve(ctx, min(int64(q.Limit)*int64(size), readingBytes))
	if err != nil {
		return Page{}, 0, err
	}
	defer release()
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
