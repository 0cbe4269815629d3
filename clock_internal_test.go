package chat

import (
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
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

var leaps = []time.Duration{-time.Hour, 30 * time.Hour}

// TestTokensEndByTheMonotonicClock: a session lasts as long as its token did when
// it was shown, whatever the clock is set to.
func TestTokensEndByTheMonotonicClock(t *testing.T) {
	s := &Server{start: time.Now()}
	end := time.Now().Add(10 * time.Minute).Round(0) // as a token says it
	who := s.identity(&User{ID: "alice", Expires: end})
	require.WithinDuration(t, end, s.user(who).Expires, time.Second)
	for _, d := range leaps {
		require.False(t, s.expired(who, leapt(t, time.Now().Add(9*time.Minute), d)))
		require.True(t, s.expired(who, leapt(t, time.Now().Add(10*time.Minute+time.Second), d)))
	}
	never := s.identity(&User{ID: "bob"})
	require.False(t, s.expired(never, time.Now().AddDate(100, 0, 0)))
	require.Zero(t, s.user(never).Expires)
	over := s.identity(&User{ID: "carol", Expires: time.Now().AddDate(-50, 0, 0)})
	require.True(t, s.expired(over, time.Now()))
	far := s.identity(&User{ID: "dave", Expires: time.Now().AddDate(250, 0, 0).Round(0)})
	require.False(t, s.expired(far, time.Now().AddDate(1, 0, 0)))
	s.start = s.start.Add(-24 * time.Hour) // it has been up for a while
	for _, never := range []time.Time{
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(253402300799, 0),
		time.Unix(math.MaxInt64/2, 0), time.Now().Add(math.MaxInt64),
	} {
		erin := s.identity(&User{ID: "erin", Expires: never})
		require.False(t, s.expired(erin, time.Now().AddDate(200, 0, 0)), "%v", never)
		require.True(t, s.user(erin).Expires.After(time.Now().AddDate(200, 0, 0)), "%v", never)
	}
	for _, long := range []time.Time{(time.Time{}).Add(1), time.Unix(math.MinInt64/2, 0), time.Unix(0, 0)} {
		require.True(t, s.expired(s.identity(&User{ID: "frank", Expires: long}), time.Now()), "%v", long)
	}
}
