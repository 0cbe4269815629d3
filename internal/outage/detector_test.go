package outage_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/outage"
	"github.com/gabblehq/chat/internal/work"
)

var errRefused = errors.New("refused")

// store is one that can fail in the ways that stores do.
type store struct {
	*outage.Detector
	lag          atomic.Int64
	refuses      atomic.Bool
	hangs        atomic.Bool
	calls        atomic.Int32 // probes apart
	probes       atomic.Int32
	fell, healed atomic.Int32
}

// watched runs a test of a store in a bubble.
func watched(t *testing.T, test func(t *testing.T, s *store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &store{}
		s.Detector = outage.New(ctx, outage.Options{
			Probe: func(ctx context.Context) error { s.probes.Add(1); return s.ask(ctx) },
			Outage: func(err error) bool {
				return errors.Is(err, errRefused) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
			},
			Timeout: 10 * time.Second,
			Fell:    func(error) { s.fell.Add(1) },
			Healed:  func() { s.healed.Add(1) },
			Log:     slog.New(slog.DiscardHandler),
		})
		test(t, s)
		cancel()
		s.Wait()
	})
}

func (s *store) ask(ctx context.Context) error {
	if s.refuses.Load() {
		return errRefused
	}
	var answer <-chan time.Time
	if !s.hangs.Load() {
		answer = time.After(time.Duration(s.lag.Load()))
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *store) call(t *testing.T) error {
	_, err := s.Call(t.Context(), func(ctx context.Context) error { s.calls.Add(1); return s.ask(ctx) })
	return err
}

// TestOutageBeginsAndEnds: while a store refuses or hangs, nobody waits for it;
// when it is back that is found without a call.
func TestOutageBeginsAndEnds(t *testing.T) {
	for name, broken := range map[string]func(*store) *atomic.Bool{
		"refuses": func(s *store) *atomic.Bool { return &s.refuses },
		"hangs":   func(s *store) *atomic.Bool { return &s.hangs },
	} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(t *testing.T, s *store) {
				require.NoError(t, s.call(t))
				broken(s).Store(true)
				began := time.Now()
				require.Error(t, s.call(t))
				require.Less(t, time.Since(began), time.Second)
				time.Sleep(time.Second)
				require.True(t, s.Down())
				require.EqualValues(t, 1, s.fell.Load())

				time.Sleep(time.Minute)
				before := s.calls.Load()
				for range 20 { // all at once
					go func() { _ = s.call(t) }()
				}
				synctest.Wait()
				require.Equal(t, before+1, s.calls.Load(), "one is let through")
				began = time.Now()
				require.Equal(t, outage.ErrDown, s.call(t))
				require.Zero(t, time.Since(began))

				broken(s).Store(false)
				time.Sleep(2 * time.Second)
				require.False(t, s.Down())
				require.EqualValues(t, 1, s.healed.Load())
				time.Sleep(10 * time.Second) // what is stuck has been given up
				probes := s.probes.Load()
				time.Sleep(time.Minute)
				require.Equal(t, probes, s.probes.Load(), "nobody asks a store that answers")
				require.NoError(t, s.call(t))
			})
		})
	}
}

// TestSlowIsNotDown: what counts is silence, not how long an answer takes.
func TestSlowIsNotDown(t *testing.T) {
	watched(t, func(t *testing.T, s *store) {
		s.lag.Store(int64(900 * time.Millisecond))
		require.NoError(t, s.call(t), "the first: nobody knows yet how long it takes")
		for range 10 {
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() { _ = s.call(t) })
			}
			all.Wait()
		}
		require.Zero(t, s.fell.Load())
		require.Equal(t, 3600*time.Millisecond, s.Patience())
	})
}

// TestARealCallEndsAnOutage that the probe does not see the end of.
func TestARealCallEndsAnOutage(t *testing.T) {
	watched(t, func(t *testing.T, s *store) {
		s.refuses.Store(true)
		require.Error(t, s.call(t))
		time.Sleep(2 * time.Second)
		require.True(t, s.Down())
		trial, err := s.Call(t.Context(), func(context.Context) error { return nil })
		require.NoError(t, err)
		require.True(t, trial)
		synctest.Wait()
		require.False(t, s.Down())
	})
}

// TestOtherErrorsAreAnswers: of what was asked, or a panic of what asks.
func TestOtherErrorsAreAnswers(t *testing.T) {
	watched(t, func(t *testing.T, s *store) {
		no := errors.New("no")
		_, err := s.Call(t.Context(), func(context.Context) error { return no })
		require.Equal(t, no, err)
		_, err = s.Call(t.Context(), func(context.Context) error { panic(no) })
		require.IsType(t, &work.Panic{}, err)
		time.Sleep(time.Minute)
		require.Zero(t, s.probes.Load())
		require.False(t, s.Down())
	})
}

type evil struct{}

func (evil) Error() string { return "evil" }
func (evil) Is(error) bool { panic("Is") }

// TestCallsThatEndOddlyAreOver: a call whose error panics when it is looked at, or
// whose goroutine exits, is under way no more, and nobody probes because of it.
func TestCallsThatEndOddlyAreOver(t *testing.T) {
	for name, call := range map[string]func() error{
		"error":  func() error { return evil{} },
		"panic":  func() error { panic("call") },
		"Goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(t *testing.T, s *store) {
				var err error
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err = s.Call(t.Context(), func(context.Context) error { return call() })
				})
				wg.Wait()
				var p *work.Panic
				require.Equal(t, name != "Goexit", errors.As(err, &p))
				time.Sleep(time.Hour)
				require.Zero(t, s.probes.Load())
				require.Zero(t, s.fell.Load())
				require.NoError(t, s.call(t))
			})
		})
	}
}
