//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// result runs the program and returns what it has written as JSON.
func result[R any](t *testing.T, args string) (r R) {
	file := filepath.Join(t.TempDir(), "result.json")
	var errs shared
	require.NoError(t, run(t.Context(), append(strings.Fields(args), "-json", file), &bytes.Buffer{}, &errs), errs.String())
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var rep struct {
		Machine place
		Result  R
	}
	require.NoError(t, json.Unmarshal(b, &rep))
	require.Positive(t, rep.Machine.Memory)
	return rep.Result
}

func TestLatencyAtARate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := result[latencyResult](t, "-mode latency -members 20 -rooms 2 -rates 100,200 -runs 1 -duration 300ms -warmup 10ms -plot "+dir)
	require.Len(t, r.Points, 2)
	require.Len(t, r.Runs, 4)
	for _, run := range r.Runs {
		require.InDelta(t, run.Rate*0.3, run.Messages, 2)
		require.EqualValues(t, 20*run.Messages, run.Delivered)
		require.LessOrEqual(t, run.Each.P50, run.Last.P50)
		require.LessOrEqual(t, run.Last.P99, run.Last.Max)
		require.Len(t, run.Ack.Curve, len(run.Last.Curve))
		require.Greater(t, len(run.Each.Curve), len(run.Last.Curve))
	}
	for _, name := range []string{"latency-2x20-100.svg", "latency-2x20-200.svg", "latency-over-load-2x20.svg"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Contains(t, string(b), "</svg>")
		require.Contains(t, string(b), "bare write loop")
	}
}

// What a message waits for before it can be sent counts as its latency.
func TestPaceCountsFromWhenItWasDue(t *testing.T) {
	cl, err := newClient()
	require.NoError(t, err)
	defer func() { require.NoError(t, errors.Join(unix.Close(cl.epoll), unix.Close(cl.wake))) }()
	var dues []int64
	begin := clock()
	free := begin + 50e3
	err = cl.pace(pacing{Rate: 1000, Micro: 20e3}, func(int) {}, func(due int64) bool {
		if clock() < free { // as if every sender waited for an ack
			return false
		}
		dues = append(dues, due)
		return true
	}, func() bool { return true })
	require.NoError(t, err)
	require.InDelta(t, 20, len(dues), 1)
	for i, due := range dues {
		require.Less(t, due, begin+25e3, "not put off")
		if i > 0 {
			require.InDelta(t, 1000, due-dues[i-1], 1)
		}
	}
}

func TestSlowOnesCatchUp(t *testing.T) {
	t.Parallel()
	r := result[slowResult](t, "-mode slow -members 40 -stalled 1 -trickling 1 -slow 8 -publishers 8 -rate 300 -content 500 -runs 1 -duration 600ms -warmup 100ms")
	require.Len(t, r.Runs, 2)
	base, slow := r.Runs[0], r.Runs[1]
	require.False(t, base.Slow)
	require.EqualValues(t, 40*base.Messages, base.Delivered)
	require.EqualValues(t, 30*slow.Messages, slow.Delivered)
	require.Positive(t, slow.Recovered.Behind)
	require.Len(t, slow.Held.Unsent, 10)
	require.Positive(t, slow.Held.UnsentMax[0], "what is not read stays in the server's kernel")
	require.Len(t, r.Held, 3)
}

func TestStormAfterARestart(t *testing.T) {
	t.Parallel()
	r := result[stormResult](t, "-mode storm -conns 40 -rooms 4 -missed 3 -restart")
	require.True(t, r.Restarted)
	require.Positive(t, r.Restart)
	require.EqualValues(t, 40*3, r.Missed)
	require.EqualValues(t, 40, r.Again.Conns)
}

func TestMemoryIsPlotted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := result[idleResult](t, "-mode idle -conns 50 -rooms 5 -settle 200ms -plot "+dir)
	require.Len(t, r.Steps, steps)
	require.Equal(t, 50, r.Steps[steps-1].Conns)
	require.Equal(t, 50, r.Ramp.Conns)
	require.Positive(t, r.Settled.Anon)
	b, err := os.ReadFile(filepath.Join(dir, "memory-5-rooms-http.svg"))
	require.NoError(t, err)
	require.Contains(t, string(b), "connections, joined")
}

// What nobody reads is found in the kernel, at one end or the other.
func TestKernelQueues(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	conn, err := net.Dial("tcp4", ln.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	served, err := ln.Accept()
	require.NoError(t, err)
	defer func() { require.NoError(t, served.Close()) }()
	_, err = served.Write(make([]byte, 1000))
	require.NoError(t, err)
	server, client := netip.MustParseAddrPort(ln.Addr().String()), netip.MustParseAddrPort(conn.LocalAddr().String())
	require.Eventually(t, func() bool {
		q, err := kernelQueues(server, []netip.AddrPort{client})
		return err == nil && q[0] == queues{unread: 1000}
	}, 5*time.Second, time.Millisecond)
	_, err = kernelQueues(server, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")})
	require.Error(t, err)
}

func TestAxes(t *testing.T) {
	labels := func(list []string) string { return strings.Join(list, " ") }
	var got []string
	for _, tick := range (decades{}).Ticks(0.5, 20) {
		if tick.Label != "" {
			got = append(got, tick.Label)
		}
	}
	require.Equal(t, "0.5 1 2 5 10 20", labels(got))
	got = nil
	for _, tick := range (nines{}).Ticks(1, 1000) {
		got = append(got, tick.Label)
	}
	require.Equal(t, "0 50 75 90 99 99.9", labels(got))
	got = nil
	for _, tick := range (rounds{}).Ticks(0, 15000) {
		got = append(got, tick.Label)
	}
	require.Equal(t, "0 2000 4000 6000 8000 10000 12000 14000", labels(got))
}

func TestMedianOfDistributions(t *testing.T) {
	runs := []distribution{
		{latency{P50: 1, P99: 9}, []quantile{{1, 1}, {10, 5}, {100, 9}}},
		{latency{P50: 3, P99: 4}, []quantile{{1, 3}, {10, 4}}},
		{latency{P50: 2, P99: 5}, []quantile{{1, 2}, {10, 3}}},
	}
	d := medianDistribution(runs, func(d *distribution) *distribution { return d })
	require.Equal(t, distribution{latency{P50: 2, P99: 5}, []quantile{{1, 2}, {10, 4}}}, d)
}

// A mode's own defaults give way to what is said.
func TestPresets(t *testing.T) {
	for args, want := range map[string]config{
		"-mode latency":                          {Conns: 5000, Rooms: 250, Members: 10000, Rate: 1000, Rates: []float64{1000}, Duration: 5 * time.Second},
		"-mode latency -members 1000 -rate 300":  {Conns: 1000, Rooms: 1, Members: 1000, Rate: 300, Rates: []float64{300}, Duration: 5 * time.Second},
		"-mode latency -members 10 -rooms 7":     {Conns: 70, Rooms: 7, Members: 10, Rate: 1000, Rates: []float64{1000}, Duration: 5 * time.Second},
		"-mode latency -conns 600 -rates 50,0.5": {Conns: 600, Rooms: 250, Members: 10000, Rate: 1000, Rates: []float64{50, 0.5}, Duration: 5 * time.Second},
		"-mode slow -duration 2s":                {Conns: 15000, Rooms: 150, Members: 1000, Rate: 100, Rates: []float64{100}, Duration: 2 * time.Second},
	} {
		c, err := configure(strings.Fields(args), &bytes.Buffer{})
		require.NoError(t, err, args)
		got := config{Conns: c.Conns, Rooms: c.Rooms, Members: c.Members, Rate: c.Rate, Rates: c.Rates, Duration: c.Duration}
		require.Equal(t, want, got, args)
	}
}
