package work

import (
	"context"
	"log/slog"
	"time"
)

// Sleep returns after d, or when ctx ends.
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Notify makes sure that whoever reads from ch, which has room for one, does so
// once more.
func Notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Loop calls f until it returns, or ctx ends. Where it panics, it is called anew
// after pause.
func Loop(ctx context.Context, pause time.Duration, log *slog.Logger, where string, f func()) {
	for ended := false; !ended; {
		func() {
			defer Recover(log, where)
			f()
			ended = true
		}()
		if !ended {
			Sleep(ctx, pause)
			ended = ctx.Err() != nil
		}
	}
}

// Within calls f and reports whether it has returned before patience was over,
// which begins when hurry is closed. Where it has not, it goes on by itself.
func Within(patience time.Duration, hurry <-chan struct{}, log *slog.Logger, where string, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer Recover(log, where)
		f()
	}()
	select {
	case <-done:
		return true
	case <-hurry:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
