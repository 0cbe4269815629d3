package chat

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/internal/work"
)

// health knows whether the store answers. While it does not, nobody waits for
// it: calls under way are given up, new ones fail at once, and probes, and one
// real call at a time, ask until there is an answer.
//
// A slow store is not one that is down. What counts is silence: calls under
// way, and not one answer for several times as long as the slowest has taken
// lately. It is counted in ticks of this process, so that a machine that is
// held up does not take its own standstill for the store's.
type health struct {
	store   Store
	probe   string // the key that is asked for
	timeout time.Duration
	log     *slog.Logger
	ctx     context.Context // the server's
	healed  func()          // the store answers again

	calls    atomic.Int64 // under way
	answered atomic.Int64 // how many the store has had an answer to
	slowest  slowest
	watching atomic.Bool // somebody looks whether any return
	fallen   atomic.Bool // what up says
	trying   atomic.Bool // a real call asks a store that has fallen
	news     chan struct{}

	mu      sync.Mutex
	up      context.Context // ends when the store is found not to answer
	fall    context.CancelFunc
	fellAt  int64 // answered, then
	probing bool
	stopped bool
	asked   time.Time // when the last doubt was settled
	tried   time.Time // when a real call was let through
	wg      sync.WaitGroup
}

const (
	// watchEvery is how often somebody looks whether calls return, doubtAfter
	// how much silence has a probe sent, and leastPatience how much means that
	// the store is down, if its answers are quick as a rule. Clients of a store
	// that hangs wait for that long.
	watchEvery    = 50 * time.Millisecond
	doubtAfter    = 250 * time.Millisecond
	leastPatience = 650 * time.Millisecond
	// slowTimes is how many times as long as the slowest answer of late the
	// silence of a slow store must last.
	slowTimes = 4
	// probeEvery is how often a store that refuses is asked again, and
	// probeAgain one that hangs: what is asked later may get through where what
	// was asked before is stuck. maxProbes is how many may be stuck.
	probeEvery = 250 * time.Millisecond
	probeAgain = time.Second
	maxProbes  = 5
	// tryEvery is how often a real call is let through to a store that is down.
	tryEvery = time.Second
	// retryStore is what clients are told.
	retryStore = time.Second
)

var (
	errStoreDown = &Error{Code: CodeUnavailable, Message: "the store does not answer", RetryAfter: retryStore}
	errSilent    = errors.New("no call has returned")
)

func (h *health) init(ctx context.Context) {
	h.ctx = ctx
	h.up, h.fall = context.WithCancel(ctx)
	h.news = make(chan struct{}, 1)
	h.slowest.start = time.Now()
}

// while returns a context that lasts for as long as the store answers.
func (h *health) while() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up
}

// down reports whether the store does not answer.
func (h *health) down() bool { return h.fallen.Load() && h.ctx.Err() == nil }

// try reports whether a real call may ask a store that is down. Who may calls
// tried.
func (h *health) try() bool {
	if !h.trying.CompareAndSwap(false, true) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.tried) < tryEvery {
		h.trying.Store(false)
		return false
	}
	h.tried = time.Now()
	return true
}

// begin notes that the store is being called; end goes with it.
func (h *health) begin() time.Time {
	h.calls.Add(1)
	h.watch()
	return time.Now()
}

func (h *health) end(began time.Time, err error) {
	if !outage(err) {
		h.slowest.note(time.Since(began))
		h.answered.Add(1)
		if h.fallen.Load() {
			work.Notify(h.news)
		}
	}
	h.calls.Add(-1)
}

// patience is how much silence is no sign that the store is down.
func (h *health) patience() time.Duration {
	slow := h.slowest.of()
	if slow < 0 {
		return h.timeout // nobody knows it yet
	}
	return min(max(slowTimes*slow, leastPatience), h.timeout)
}

// watch looks after the calls under way, for all of them together.
func (h *health) watch() {
	if h.watching.CompareAndSwap(false, true) {
		h.look(h.answered.Load(), 0)
	}
}

// look comes by in a moment, and again for as long as there are calls. seen is
// how many answers there were when the silence began.
func (h *health) look(seen int64, silent time.Duration) {
	time.AfterFunc(watchEvery, func() {
		if h.calls.Load() == 0 || h.ctx.Err() != nil {
			h.watching.Store(false)
			if h.calls.Load() > 0 && h.ctx.Err() == nil {
				h.watch() // it has begun this very moment
			}
			return
		}
		silent += watchEvery
		if now := h.answered.Load(); now != seen {
			seen, silent = now, 0
		}
		patience := h.patience()
		if silent >= max(doubtAfter, patience/3) {
			h.doubt()
		}
		if silent >= patience {
			h.fail(errSilent, seen)
		}
		h.look(seen, silent)
	})
}

// doubt has somebody look whether the store answers.
func (h *health) doubt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.asked) >= probeEvery/2 {
		h.ask()
	}
}

// ask starts to probe, if nobody does. The lock is held.
func (h *health) ask() {
	if h.stopped || h.probing || h.ctx.Err() != nil {
		return
	}
	h.probing = true
	h.wg.Add(1)
	go h.run()
}

// wait returns when the last probe has ended, and lets none begin.
func (h *health) wait() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.wg.Wait()
}

// run probes until the store answers, whomever.
func (h *health) run() {
	defer h.wg.Done()
	defer func() {
		if v := recover(); v != nil {
			work.LogPanic(h.log, "the probe of the store", v)
			h.mu.Lock()
			h.probing = false
			h.mu.Unlock()
		}
	}()
	answers := make(chan error, maxProbes)
	for stuck := 0; ; {
		seen := h.answered.Load()
		if stuck < maxProbes {
			stuck++
			h.wg.Go(func() { answers <- h.call() })
		}
		var refused error
		select {
		case refused = <-answers:
			stuck--
		case <-h.news:
		case <-time.After(probeAgain):
		case <-h.ctx.Done():
			return
		}
		// A store that answers others is only slow, or this machine is.
		if h.settle(seen) {
			return
		}
		if refused == nil {
			continue
		}
		h.fail(refused, seen)
		select {
		case <-h.news:
			if h.settle(seen) {
				return
			}
		case <-time.After(probeEvery*4/5 + rand.N(probeEvery*2/5)):
		case <-h.ctx.Done():
			return
		}
	}
}

// call asks once. It is nil where the store has answered.
func (h *health) call() error {
	ctx, cancel := context.WithTimeout(h.ctx, h.timeout)
	defer cancel()
	began := h.begin()
	err := guard(func() error {
		if _, err := h.store.Head(ctx, h.probe); outage(err) {
			return err
		}
		return nil
	})
	h.end(began, err)
	if !outage(err) {
		return nil
	}
	return err
}

// outage reports whether an error says that the store does not answer, rather
// than something about what was asked.
func outage(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// fail notes that the store does not answer, unless it has since.
func (h *health) fail(err error, seen int64) {
	h.mu.Lock()
	fell := !h.fallen.Load() && h.answered.Load() == seen && h.ctx.Err() == nil
	if fell {
		h.fallen.Store(true)
		h.fellAt = seen
		h.fall()
		h.ask()
	}
	h.mu.Unlock()
	if fell {
		h.log.Error("chat: the store does not answer", "error", err)
	}
}

// settle ends the doubt, and an outage with it, if there has been an answer
// since seen, or since the outage began.
func (h *health) settle(seen int64) bool {
	h.mu.Lock()
	rose := h.fallen.Load()
	if rose {
		seen = h.fellAt
	}
	if h.answered.Load() == seen {
		h.mu.Unlock()
		return false
	}
	if rose {
		h.up, h.fall = context.WithCancel(h.ctx)
		h.fallen.Store(false)
	}
	h.probing, h.asked, h.tried = false, time.Now(), time.Time{}
	h.mu.Unlock()
	if rose {
		h.log.Info("chat: the store answers again")
		h.healed()
	}
	return true
}

// slowest is how long the slowest answer of the last minute or two has taken.
type slowest struct {
	start     time.Time
	now, last atomic.Int64 // nanoseconds + 1 of this span and the one before; 0: none
	span      atomic.Int64
}

const slowSpan = time.Minute

func (s *slowest) turn() {
	span := int64(time.Since(s.start) / slowSpan)
	if old := s.span.Load(); old != span && s.span.CompareAndSwap(old, span) {
		// Of an idle time nothing is known: what was known before it stays.
		if now := s.now.Swap(0); now > 0 {
			s.last.Store(now)
		}
	}
}

func (s *slowest) note(d time.Duration) {
	s.turn()
	for n := int64(d) + 1; ; {
		old := s.now.Load()
		if old >= n || s.now.CompareAndSwap(old, n) {
			return
		}
	}
}

// of is negative where there has been no answer yet.
func (s *slowest) of() time.Duration {
	return time.Duration(max(s.now.Load(), s.last.Load()) - 1)
}
