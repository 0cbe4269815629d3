//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runJSON runs a mode and reads its result.
func runJSON(t *testing.T, args string, result any) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "result.json")
	var errs shared
	require.NoError(t, run(t.Context(), append(strings.Fields(args), "-json", file), &bytes.Buffer{}, &errs), errs.String())
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var rep struct{ Result json.RawMessage }
	require.NoError(t, json.Unmarshal(b, &rep))
	require.NoError(t, json.Unmarshal(rep.Result, result))
}

func TestInbound(t *testing.T) {
	var r inboundResult
	runJSON(t, "-mode inbound -conns 20 -rooms 2 -runs 1 -warmup 0s -duration 100ms", &r)
	require.Len(t, r.Transport, 4)
	for _, p := range r.Transport {
		require.Positive(t, p.Frames)
		require.Positive(t, p.Rate)
		require.Equal(t, p.Bare, p.PerRead > 0, "only the bare loop counts its reads")
	}
	require.Len(t, r.Acked, 2)
	for i, rooms := range []int{20, 2} {
		require.Equal(t, rooms, r.Acked[i].Rooms)
		require.Positive(t, r.Acked[i].Acked)
		require.InDelta(t, float64(20/rooms), r.Acked[i].Delivered/r.Acked[i].Acked, 1e-6)
	}
}

func TestProbe(t *testing.T) {
	var r probeResult
	runJSON(t, "-mode probe -members 30 -publishers 8 -window 8 -runs 1 -warmup 0s -duration 200ms", &r)
	require.Len(t, r.Medians, 3)
	for _, m := range r.Medians {
		require.Positive(t, m.Pings)
		require.Positive(t, m.Trip.P50)
		require.GreaterOrEqual(t, m.Due.Max, m.Trip.Max)
		require.Equal(t, m.What == probeIdle, m.Delivered == 0)
	}
}
