// Package hub fans frames out to cursors.
//
// A topic is a log of which the hub holds the newest frames, encoded once and
// shared by everybody, in a ring. A subscription is a cursor: the revision it
// has been sent up to. When its sink can take bytes, everything from the
// cursor to the head goes out in one write; when it cannot, the cursor lags
// and costs nothing. A cursor that has fallen out of the ring is served from
// the [Source], page by page, until it is back. There is no queue of frames
// per subscription, and no second mechanism for slow sinks, resume or repair.
//
// The hub knows nothing of sockets and nothing of what the frames say.
//
// # Lanes
//
// One goroutine per lane does the writing, walking the members of topics that
// have moved, round robin, a bounded number of writes at a time. A topic has
// its lane, which it is dealt; what it has members beyond a thousand is
// walked by the lanes of their sinks, all at the same time. Frames that are appended while
// a lane is busy go out together in its next pass: under load they coalesce by
// themselves, with no timer.
package hub

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/internal/safelog"
)

// Sink takes frames for one or more subscriptions.
type Sink interface {
	// Write offers whole frames. joined is their concatenation and is valid
	// only during the call; the frames themselves are immutable for ever. It
	// returns how many of them are now certain to go out, in order. When it
	// takes fewer than offered, the owner of the sink must call [Hub.Wake] for
	// its subscriptions once it can take more. It must not block and must not
	// call the hub.
	Write(joined []byte, frames [][]byte) (taken int)
	// Lane says which lane writes to the sink what topics with many members
	// have, from 0; it never changes. A small topic has a lane of its own, so
	// that Write may be called by several lanes at once.
	Lane() int
}

// Frame is one encoded change. Data is immutable once handed over.
type Frame struct {
	Rev  int64
	Data []byte
}

// Page is what a Log has found for a lagging cursor.
type Page struct {
	Epoch   string
	Frames  []Frame // in rev order, each rev above the cursor asked for
	Through int64   // the page is complete up to here
	// Head is where the log ended when the page was read: what has changed again
	// beyond Through is left out.
	Head int64
	// Reset: the cursor cannot be continued. The single frame says so to the
	// client, who starts over at Through.
	Reset bool
}

// Log is the whole of a topic's log, for cursors that have fallen out of the
// ring. Its methods are called from the hub's goroutines, and Synced from those
// that append, too; never under a lock that Attach, Detach or Append need.
type Log interface {
	// Fill returns what has changed after a cursor of the epoch, or a reset
	// where that is not a position of the log; an epoch of "" never is. The
	// page's epoch is the log's, and the topic's by then: see [Topic.Turn].
	// Equal requests are made once and shared. An error is tried again after a
	// while.
	Fill(ctx context.Context, epoch string, after int64) (Page, error)
	// Synced returns the frame that tells a lagging cursor that it has reached
	// the head, and one whose log goes on under another epoch, which.
	Synced(epoch string, rev int64) []byte
}

// Options configure a Hub; zero means default.
type Options struct {
	Lanes      int // goroutines that write; 1
	Spread     int // members that a topic has on one lane before others go to all lanes, which is slower for few; 1024
	RingFrames int // frames kept per topic; 256
	RingBytes  int // bytes kept per topic; 256 KiB
	TotalBytes int // bytes kept in all topics, the coldest go first; 64 MiB
	Fills      int // reads of logs at once; 16

	// Pack makes the second encoding of a frame, for sinks that are a [Packer],
	// and nil of a frame that is better left as it is. A frame of a ring is
	// packed at most once, when it is first needed. Nil: there is none.
	Pack func(frame []byte) []byte

	Logger *slog.Logger
}

// Hub holds the topics. All methods are safe for concurrent use.
type Hub struct {
	opt   Options
	lanes []*lane
	fills filler

	start   time.Time
	homes   atomic.Uint32 // deals topics out to lanes
	walkers sync.Pool     // of those who help a lane

	cold coldList // topics with a ring, the coldest first
	size atomic.Int64

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New starts a hub. Close ends it.
func New(opt Options) *Hub {
	setDefault(&opt.Lanes, 1)
	setDefault(&opt.Spread, 1024)
	setDefault(&opt.RingFrames, 256)
	setDefault(&opt.RingBytes, 256<<10)
	setDefault(&opt.TotalBytes, 64<<20)
	setDefault(&opt.Fills, 16)
	opt.Logger = safelog.New(opt.Logger)
	h := &Hub{opt: opt, start: time.Now()}
	h.opt.Pack = h.safePack(opt.Pack)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.fills.init(h, opt.Fills)
	h.walkers.New = func() any { return &walker{hub: h} }
	h.lanes = make([]*lane, opt.Lanes)
	for i := range h.lanes {
		h.lanes[i] = newLane(h)
		h.wg.Add(1)
		go h.lanes[i].run()
	}
	return h
}

func setDefault(p *int, v int) {
	if *p <= 0 {
		*p = v
	}
}

// Close stops all writing and waits for the goroutines to end. Topics and
// subscriptions may still be touched afterwards; nothing happens to them.
func (h *Hub) Close() {
	h.cancel()
	for _, l := range h.lanes {
		l.poke()
	}
	h.wg.Wait()
	h.fills.wait()
}

// Stats are counters since the start and sizes now.
type Stats struct {
	Passes    int64 // walks over the members of a topic
	Writes    int64 // calls of Sink.Write
	Delivered int64 // log frames taken by sinks
	Refused   int64 // writes that took less than was offered
	Fills     int64 // pages read from a Log
	Resets    int64 // cursors that had to start over
	RingBytes int64 // bytes held in rings now
}

// Stats returns the hub's counters.
func (h *Hub) Stats() Stats {
	s := Stats{Fills: h.fills.count.Load(), Resets: h.fills.resets.Load(), RingBytes: h.size.Load()}
	for _, l := range h.lanes {
		s.Passes += l.counts.passes.Load()
		s.Writes += l.counts.writes.Load()
		s.Delivered += l.counts.delivered.Load()
		s.Refused += l.counts.refused.Load()
	}
	return s
}

// Trim drops the rings of topics that have not moved for the given time, so
// that an idle topic holds no frames. The Log serves what they held.
func (h *Hub) Trim(idle time.Duration) {
	h.cold.trim(h, time.Now().Add(-idle))
	h.fills.mu.Lock()
	h.fills.drop()
	h.fills.mu.Unlock()
}
