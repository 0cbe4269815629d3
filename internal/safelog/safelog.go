// Package safelog keeps a host's slog.Handler from harming those who log. What
// is logged is put into a short queue, and one goroutine, which lives only while
// there is something in it, hands it to the handler: one that panics has lost a
// record, one that hangs loses what does not fit, and nobody waits for either.
// What was lost is said with the next record that goes through. A Sampler keeps
// the log from being filled by whoever can make something happen.
package safelog

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// maxWaiting is how many records wait for a handler that is slow.
const maxWaiting = 4096

// New returns a logger whose records go to the handler of l, in order, soon; nil
// stands for slog.Default(). One that New has made is returned as it is.
//
// What a record holds is looked at later: nobody may change it any more.
func New(l *slog.Logger) *slog.Logger {
	if l == nil {
		l = slog.Default()
	}
	if _, ok := l.Handler().(*handler); ok {
		return l
	}
	q := &queue{base: l.Handler()}
	q.look()
	return slog.New(&handler{q, l.Handler()})
}

// Flush returns when the handler has had everything that was logged before, or
// when the time is over.
func Flush(l *slog.Logger, within time.Duration) {
	h, ok := l.Handler().(*handler)
	if !ok {
		return
	}
	done := make(chan struct{})
	if !h.put(record{flushed: done}) {
		return // it has not kept up anyway
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// handler is what the host's handler is hidden behind.
type handler struct {
	*queue
	to slog.Handler
}

// record is one for a handler.
type record struct {
	to      slog.Handler
	ctx     context.Context
	rec     slog.Record
	flushed chan struct{} // nothing is logged, but somebody waits
}

// queue is shared by all that are derived from one handler.
type queue struct {
	base slog.Handler

	mu      sync.Mutex
	waiting []record
	running bool
	full    int // records that did not fit, not said yet

	asked atomic.Int64   // when the handler was last asked what it takes, Unix milliseconds
	takes [2]atomic.Bool // below slog.LevelInfo, and below slog.LevelWarn

	lost  int    // by panics, not said yet; the goroutine's
	cause string // the last of them
}

// lookEvery is how often the handler is asked what levels it takes.
const lookEvery = time.Second

// Enabled tells what the handler has said lately, so that nobody waits for it.
// What it does not take after all is not given to it.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	if level >= slog.LevelWarn {
		return true
	}
	now := time.Now().UnixMilli()
	if last := h.asked.Load(); now-last >= lookEvery.Milliseconds() || now < last {
		if h.asked.CompareAndSwap(last, now) {
			h.put(record{})
		}
	}
	return h.takes[class(level)].Load()
}

func class(level slog.Level) int {
	if level < slog.LevelInfo {
		return 0
	}
	return 1
}

// look asks the handler what levels it takes.
func (q *queue) look() {
	q.asked.Store(time.Now().UnixMilli())
	ctx := context.Background()
	for i, level := range [...]slog.Level{slog.LevelDebug, slog.LevelInfo} {
		_ = q.guard(func() error {
			q.takes[i].Store(q.base.Enabled(ctx, level))
			return nil
		})
	}
}

func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	if ctx.Done() != nil {
		ctx = context.WithoutCancel(ctx) // it may have ended by then
	}
	h.put(record{to: h.to, ctx: ctx, rec: rec.Clone()})
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.derive(func() slog.Handler { return h.to.WithAttrs(attrs) })
}

func (h *handler) WithGroup(name string) slog.Handler {
	return h.derive(func() slog.Handler { return h.to.WithGroup(name) })
}

func (h *handler) derive(f func() slog.Handler) slog.Handler {
	to := h.to
	_ = h.guard(func() error {
		to = f()
		return nil
	})
	return &handler{h.queue, to}
}

// put queues a record and reports whether it fits.
func (q *queue) put(r record) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxWaiting {
		if r.to != nil {
			q.full++
		}
		return false
	}
	q.waiting = append(q.waiting, r)
	if !q.running {
		q.running = true
		go q.drain()
	}
	return true
}

func (q *queue) drain() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.waiting, q.running = nil, false
			q.mu.Unlock()
			return
		}
		r := q.waiting[0]
		q.waiting[0] = record{}
		q.waiting = q.waiting[1:]
		full := q.full
		q.mu.Unlock()
		q.hand(r, full)
	}
}

// hand gives the handler one record, and tells it of those that were lost.
func (q *queue) hand(r record, full int) {
	switch {
	case r.flushed != nil:
		close(r.flushed)
		return
	case r.to == nil:
		q.look()
		return
	}
	err := q.guard(func() error {
		if !r.to.Enabled(r.ctx, r.rec.Level) {
			return nil
		}
		return r.to.Handle(r.ctx, r.rec)
	})
	if err != nil {
		q.lost++
		q.cause = err.Error()
	}
	if q.lost+full == 0 {
		return
	}
	said := slog.NewRecord(time.Now(), slog.LevelError, "log: records lost: the slog.Handler panics or does not keep up", 0)
	said.AddAttrs(slog.Int("panicked", q.lost), slog.Int("dropped", full))
	if q.cause != "" {
		said.AddAttrs(slog.String("panic", q.cause))
	}
	if q.guard(func() error { return q.base.Handle(context.Background(), said) }) != nil {
		return // with the next one, then
	}
	q.lost, q.cause = 0, ""
	q.mu.Lock()
	q.full -= full
	q.mu.Unlock()
}

// guard makes an error of a panic. Errors of handlers are their own business.
func (q *queue) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v\n%s", v, debug.Stack())
		}
	}()
	_ = f()
	return nil
}
