package work_test

import (
	"log/slog"
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/work"
)

// leapt returns the time as time.Now would have, had somebody set the clock by d
// meanwhile: another wall clock, the same monotonic one.
func leapt(t *testing.T, now time.Time, d time.Duration) time.Time {
	t.Helper()
	// A time.Time begins with its wall clock: a flag that there is a monotonic
	// reading, 33 bits of seconds, 30 of nanoseconds.
	wall := (*uint64)(unsafe.Pointer(&now))
	require.NotZero(t, *wall>>63, "without a monotonic reading")
	before := now
	*wall += uint64(int64(d/time.Second)) << 30
	require.Equal(t, d, now.Round(0).Sub(before.Round(0)))
	require.Zero(t, now.Sub(before))
	return now
}

type rung chan time.Time

func (r rung) Ring(now time.Time) { r <- now }

// TestTimersFollowTheMonotonicClock: typing, graces and deadlines are set by
// times that carry it.
func TestTimersFollowTheMonotonicClock(t *testing.T) {
	timers := work.NewTimers(time.Now(), slog.New(slog.DiscardHandler))
	defer timers.Stop()
	for _, d := range []time.Duration{-time.Hour, 30 * time.Hour} {
		r := make(rung, 2)
		began := time.Now()
		timers.At(leapt(t, began.Add(20*time.Millisecond), d), r)
		timers.At(leapt(t, began.Add(time.Hour), d), r)
		require.GreaterOrEqual(t, (<-r).Sub(began), 20*time.Millisecond)
		require.Empty(t, r)
	}
}

// TestTimersOfNever: what is further ahead than a time.Duration reaches is not now,
// and what is as long past is.
func TestTimersOfNever(t *testing.T) {
	timers := work.NewTimers(time.Now(), slog.New(slog.DiscardHandler))
	defer timers.Stop()
	never, soon := make(rung, 4), make(rung, 4)
	timers.At(time.Now().Add(math.MaxInt64), never)
	timers.At(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), never)
	timers.At(time.Time{}, soon)
	<-soon
	timers.At(time.Now().Add(time.Millisecond), soon)
	<-soon
	require.Empty(t, never)
}
