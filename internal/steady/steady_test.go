package steady

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestClock(t *testing.T) {
	type step struct{ passed, wall, want time.Duration }
	const h, m = time.Hour, time.Minute
	for name, steps := range map[string][]step{
		"goes on":                   {{m, m, m}, {h, h + m, h + m}},
		"ahead for a moment":        {{m, 30 * h, m}, {m, 2 * m, 2 * m}, {h, h + 2*m, h + 2*m}},
		"ahead after a long rest":   {{50 * h, 80 * h, 50 * h}, {m, 50*h + m, 50*h + m}},
		"ahead for five minutes":    {{m, 30 * h, m}, {4 * m, 30*h + 4*m, 9 * m}, {m, 6 * m, 6 * m}},
		"ahead for good":            {{0, 30 * h, 0}, {20 * h, 50 * h, 40 * h}, {20 * h, 70 * h, 70 * h}},
		"back":                      {{m, -h, -h}, {m, m - h, m - h}},
		"back and ahead again":      {{m, -30 * h, -30 * h}, {m, 2 * m, m - 30*h}, {h, h + 2*m, 2*h + m - 30*h}},
		"a drift is followed":       {{h, h + time.Second, h}, {h, 2*h + 2*time.Second, 2*h + time.Second}},
		"a machine that slept":      {{0, 8 * h, 0}, {4 * h, 12 * h, 8 * h}, {4 * h, 16 * h, 16 * h}},
		"not ahead of a slow clock": {{h, m, m}, {h, 2 * m, 2 * m}},
	} {
		t.Run(name, func(t *testing.T) {
			var c Clock
			require.Equal(t, start, c.advance(start, 0))
			for i, s := range steps {
				got := c.advance(start.Add(s.wall), s.passed)
				require.Equal(t, s.want, got.Sub(start), "step %d", i)
			}
		})
	}
}

func TestNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		require.True(t, time.Now().Equal(c.Now()))
		time.Sleep(100 * time.Hour)
		require.True(t, time.Now().Equal(c.Now()))

		c.Leap(30 * time.Hour)
		require.True(t, time.Now().Equal(c.Now()))
		time.Sleep(time.Minute)
		require.True(t, time.Now().Add(time.Minute).Equal(c.Now()), "twice the usual pace")
		c.Leap(0)
		require.True(t, time.Now().Equal(c.Now()))
	})
}
