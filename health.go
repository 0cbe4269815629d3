package chat

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// health knows whether the store answers. While it does not, nobody waits for
// it: calls under way are given up, new ones fail at once, and a single probe
// asks until there is an answer.
type health struct {
	store  Store
	probe  string // the key that is asked for
	log    *slog.Logger
	ctx    context.Context // the server's
	healed func()          // the store answers again

	calls    atomic.Int64 // under way
	answered atomic.Int64 // how many the store has had an answer to
	watching atomic.Bool  // somebody looks whether any return

	mu      sync.Mutex
	up      context.Context // ends when the store is found not to answer
	fall    context.CancelFunc
	probing bool
	stopped bool
	asked   time.Time
	wg      sync.WaitGroup
}

const (
	// watchEvery is how often somebody looks whether calls return, and
	// probeTimeout how long the probe has where none do. Clients of a store
	// that hangs wait for two of the one and one of the other at most.
	watchEvery   = 250 * time.Millisecond
	probeTimeout = 400 * time.Millisecond
	// probeEvery is how often a store that does not answer is asked again.
	probeEvery = 250 * time.Millisecond
	// retryStore is what clients are told.
	retryStore = time.Second
)

var errStoreDown = &Error{Code: CodeUnavailable, Message: "the store does not answer", RetryAfter: retryStore}

func (h *health) init(ctx context.Context) {
	h.ctx = ctx
	h.up, h.fall = context.WithCancel(ctx)
}

// while returns a context that lasts for as long as the store answers.
func (h *health) while() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up
}

// down reports whether the store does not answer.
func (h *health) down() bool { return h.while().Err() != nil && h.ctx.Err() == nil }

// begin notes that the store is being called; end goes with it.
func (h *health) begin() {
	h.calls.Add(1)
	h.watch()
}

func (h *health) end(err error) {
	if !outage(err) {
		h.answered.Add(1)
	}
	h.calls.Add(-1)
}

// watch looks after the calls under way, for all of them together.
func (h *health) watch() {
	if !h.watching.CompareAndSwap(false, true) {
		return
	}
	seen := h.answered.Load()
	time.AfterFunc(watchEvery, func() {
		h.watching.Store(false)
		if h.calls.Load() == 0 || h.ctx.Err() != nil {
			return
		}
		if h.answered.Load() == seen {
			h.doubt()
		}
		h.watch()
	})
}

// doubt has somebody look whether the store answers.
func (h *health) doubt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped || h.probing || time.Since(h.asked) < probeEvery/2 || h.ctx.Err() != nil {
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

// run probes until the store answers.
func (h *health) run() {
	defer h.wg.Done()
	for {
		seen := h.answered.Load()
		err, returned := h.ask()
		if h.ctx.Err() != nil {
			return
		}
		// A store that answers others is only slow, or this machine is.
		if err == nil || h.answered.Load() != seen {
			h.rise()
			return
		}
		h.fail(err)
		select {
		case <-returned: // a store that hangs is not asked twice at a time
		case <-h.ctx.Done():
			return
		}
		select {
		case <-time.After(probeEvery*4/5 + rand.N(probeEvery*2/5)):
		case <-h.ctx.Done():
			return
		}
	}
}

// ask makes one call. The channel is closed when it has returned.
func (h *health) ask() (error, <-chan struct{}) {
	ctx, cancel := context.WithTimeout(h.ctx, probeTimeout)
	answer, returned := make(chan error, 1), make(chan struct{})
	go func() {
		defer cancel()
		defer close(returned)
		answer <- guard(func() error {
			_, err := h.store.Head(ctx, h.probe)
			return err
		})
	}()
	select {
	case err := <-answer:
		if !outage(err) {
			err = nil
		}
		return err, returned
	case <-ctx.Done():
		return ctx.Err(), returned
	}
}

// outage reports whether an error says that the store does not answer, rather
// than something about what was asked.
func outage(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func (h *health) fail(err error) {
	h.mu.Lock()
	fell := h.up.Err() == nil
	h.fall()
	h.mu.Unlock()
	if fell {
		h.log.Error("chat: the store does not answer", "error", err)
	}
}

func (h *health) rise() {
	h.mu.Lock()
	rose := h.up.Err() != nil
	if rose {
		h.up, h.fall = context.WithCancel(h.ctx)
	}
	h.probing, h.asked = false, time.Now()
	h.mu.Unlock()
	if rose {
		h.log.Info("chat: the store answers again")
		h.healed()
	}
}

// callStore calls the store under the server's deadline, catches its panics,
// and sees to it that what comes back is an error of ours.
func (s *Server) callStore(ctx context.Context, f func(context.Context) error) error {
	up := s.health.while()
	if up.Err() != nil && s.ctx.Err() == nil {
		return errStoreDown
	}
	var cancel context.CancelFunc
	if ctx == s.ctx {
		ctx, cancel = context.WithTimeout(up, s.opt.Limits.StoreTimeout)
	} else {
		ctx, cancel = context.WithTimeout(ctx, s.opt.Limits.StoreTimeout)
		defer context.AfterFunc(up, cancel)()
	}
	defer cancel()
	s.health.begin()
	err := guard(func() error { return f(ctx) })
	s.health.end(err)
	if err == nil {
		return nil
	}
	if outage(err) {
		s.health.doubt()
	}
	if _, ok := errors.AsType[*Error](err); ok || errors.Is(err, ErrUnknown) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errStoreDown.WithCause(err)
	}
	return &Error{Code: CodeInternal, Message: "internal error", cause: err}
}
