package chat

import (
	"context"
	"errors"
	"time"

	"github.com/gabblehq/chat/internal/outage"
	"github.com/gabblehq/chat/internal/work"
)

// retryStore is what clients are told while the store does not answer.
const retryStore = time.Second

var errStoreDown = &Error{Code: CodeUnavailable, Message: "the store does not answer", RetryAfter: retryStore}

// watchStore returns what knows whether the store answers.
func watchStore(s *Server) *outage.Detector {
	probe := s.key("~ready")
	return outage.New(s.ctx, outage.Options{
		Probe: func(ctx context.Context) error {
			_, err := s.opt.Store.Head(ctx, probe)
			return err
		},
		Outage:  unanswered,
		Timeout: s.opt.Limits.StoreTimeout,
		Fell:    func(err error) { s.log.Error("chat: the store does not answer", "error", err) },
		Healed: func() {
			s.log.Info("chat: the store answers again")
			s.healed()
		},
		Log: s.log,
	})
}

// unanswered reports whether an error says that the store does not answer, rather
// than something about what was asked.
func unanswered(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// callStore calls the store under the server's deadline, catches its panics,
// and sees to it that what comes back is an error of ours.
func (s *Server) callStore(ctx context.Context, f func(context.Context) error) error {
	trial, err := s.health.Call(ctx, f)
	switch {
	case err == nil:
		return nil
	case err == outage.ErrDown:
		return errStoreDown
	case errors.Is(err, ErrUnknown):
		return err
	case trial && unanswered(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
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
		again := outage.ProbeEvery
		switch {
		case err == nil && s.health.Down():
			// It has answered, and others are about to be let through.
			again, err = 10*time.Millisecond, errStoreDown
		case err == nil || !unanswered(err):
			return err
		}
		work.Sleep(ctx, again)
		if ctx.Err() != nil {
			return err
		}
	}
}

// askStore makes a call that every store can answer quickly.
func (s *Server) askStore(ctx context.Context) error {
	err := s.callStore(ctx, func(ctx context.Context) error {
		_, err := s.opt.Store.Head(ctx, s.key("~ready"))
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
		if at, err = f(); err == nil || !unanswered(err) || ctx.Err() != nil {
			return at, err
		}
		if !said {
			s.log.Warn("chat: waiting for the store, which does not answer yet", "for", startFor, "error", err)
			said = true
		}
		work.Sleep(ctx, outage.ProbeEvery)
	}
}
