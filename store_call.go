package chat

import (
	"context"
	"errors"
	"time"

	"github.com/gabblehq/chat/internal/work"
)

// callStore calls the store under the server's deadline, catches its panics,
// and sees to it that what comes back is an error of ours.
func (s *Server) callStore(ctx context.Context, f func(context.Context) error) error {
	up, limit, trial := s.health.while(), s.opt.Limits.StoreTimeout, false
	if up.Err() != nil && s.ctx.Err() == nil {
		if !s.health.try() {
			return errStoreDown
		}
		defer s.health.trying.Store(false)
		up, limit, trial = s.ctx, s.health.patience(), true
	}
	var cancel context.CancelFunc
	if ctx == s.ctx {
		ctx, cancel = context.WithTimeout(up, limit)
	} else {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer context.AfterFunc(up, cancel)()
	}
	defer cancel()
	began := s.health.begin()
	err := guard(func() error { return f(ctx) })
	s.health.end(began, err)
	if err == nil {
		return nil
	}
	if outage(err) {
		s.health.doubt()
	}
	if errors.Is(err, ErrUnknown) {
		return err
	}
	if trial && outage(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errStoreDown.WithCause(err)
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &Error{Code: CodeInternal, Message: "internal error", cause: err}
}

// Ready returns nil as soon as the store answers, and an error where that
// takes longer than ctx lasts. A Server can be used before; what it has to ask
// the store is ErrUnavailable then. It is for programs that start together
// with their store.
func (s *Server) Ready(ctx context.Context) error {
	for {
		if !s.inUse.Enter() {
			return ErrServerClosed
		}
		err := s.askStore(ctx)
		s.inUse.Leave()
		if err == nil || !outage(err) {
			return err
		}
		work.Sleep(ctx, probeEvery)
		if ctx.Err() != nil {
			return err
		}
	}
}

// askStore makes a call that every store can answer quickly.
func (s *Server) askStore(ctx context.Context) error {
	err := s.callStore(ctx, func(ctx context.Context) error {
		_, err := s.opt.Store.Head(ctx, s.health.probe)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// checkStore asks whether the store would keep anything now, if it can tell.
func (s *Server) checkStore(ctx context.Context) error {
	c, ok := capability[Checker](s.opt.Store)
	if !ok {
		return nil
	}
	return s.callStore(ctx, c.Check)
}

// startFor is how long New waits for a shared store that does not answer yet.
const startFor = 10 * time.Second

// awaitStore has f ask the store again and again, for a while, and returns
// what it has said.
func (s *Server) awaitStore(f func() (Position, error)) (at Position, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, startFor)
	defer cancel()
	for said := false; ; {
		if at, err = f(); err == nil || !outage(err) || ctx.Err() != nil {
			return at, err
		}
		if !said {
			s.log.Warn("chat: waiting for the store, which does not answer yet", "for", startFor, "error", err)
			said = true
		}
		work.Sleep(ctx, probeEvery)
	}
}
