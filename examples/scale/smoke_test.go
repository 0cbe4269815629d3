//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/internal/redistest"
)

// The program starts itself as server and client; here that is the test binary.
func TestMain(m *testing.M) {
	if _, ok := childRole(os.Args[1:]); ok {
		main()
		return
	}
	// The race detector has every process sleep for a second before it ends.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	leak.Main(m)
}

// Every mode works, on few connections.
func TestModes(t *testing.T) {
	for name, args := range map[string]string{
		"idle":        "-mode idle -conns 60 -rooms 6 -settle 200ms",
		"idle raw":    "-mode idle -conns 60 -rooms 60 -settle 100ms -door raw",
		"fanout":      "-mode fanout -members 50 -publishers 8 -window 8 -messages 200 -warmup 10ms",
		"fanout bare": "-mode fanout -members 50 -publishers 8 -window 8 -messages 200 -warmup 10ms -bare",
		"decode once": "-mode fanout -members 50 -publishers 8 -window 8 -messages 200 -warmup 10ms -decode once",
		"one by one":  "-mode fanout -members 50 -publishers 8 -window 1 -messages 50 -warmup 0s",
		"compare":     "-mode compare -members 40 -small 10 -publishers 8 -window 8 -messages 50 -warmup 10ms -runs 2",
		"rooms":       "-mode rooms -conns 60 -rooms 6 -messages 20 -warmup 0s",
		"storm":       "-mode storm -conns 60 -rooms 6 -missed 5",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "result.json")
			var out bytes.Buffer
			var errs shared // by all processes
			err := run(t.Context(), append(strings.Fields(args), "-json", file), &out, &errs)
			require.NoError(t, err, errs.String())
			require.NotContains(t, errs.String(), "\r", "lines, and no bar, where it is not a terminal")
			require.NotContains(t, errs.String(), "\x1b")
			require.NotEmpty(t, out.String())
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			var rep struct {
				Config struct{ Mode string }
				Result map[string]any
			}
			require.NoError(t, json.Unmarshal(b, &rep))
			require.NotEmpty(t, rep.Result)
		})
	}
}

// A cluster loses nothing and doubles nothing, not even when one of its servers
// is killed.
func TestCluster(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t, "maxmemory-policy noeviction")
	for name, args := range map[string]string{
		"a Redis of its own":    "",
		"a Redis that is there": "-decode once -door raw -store redis://" + store.Addr + " -cpuprofile " + filepath.Join(t.TempDir(), "cpu"),
		"a server killed":       "-kill",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "result.json")
			var out bytes.Buffer
			var errs shared // servers may say that the store is slow
			args := "-mode cluster -processes 2 -clients 2 -conns 40 -rooms 5 -messages 4 -rate 200 -duration 400ms -settle 100ms -json " + file + " " + args
			require.NoError(t, run(t.Context(), strings.Fields(args), &out, &errs), errs.String())
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			var rep struct{ Result clusterResult }
			require.NoError(t, json.Unmarshal(b, &rep))
			r := rep.Result
			require.EqualValues(t, 5*4, r.Burst.Messages)
			require.EqualValues(t, 40*4, r.Burst.Received)
			require.EqualValues(t, 8*r.Steady.Messages, r.Steady.Received)
			require.Positive(t, r.Steady.LastMember.P50)
			require.Positive(t, r.Redis.End)
			if strings.Contains(args, "-kill") {
				require.EqualValues(t, 20, r.Kill.Back)
				require.EqualValues(t, 8*r.Kill.Messages, r.Kill.Received)
			}
		})
	}
}

// shared is a buffer that several goroutines write to.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run(ctx, strings.Fields("-mode idle -conns 5 -rooms 1 -settle 1h"), &bytes.Buffer{}, &shared{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestMistakesAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"-mode sideways":                   "-mode",
		"-door back":                       "-door",
		"-mode idle -conns 5 -rooms 6":     "-rooms",
		"-decode maybe":                    "-decode",
		"-window 0":                        "-window",
		"-runs 0":                          "-runs",
		"-members 0":                       "-members",
		"-mode slow -members 5 -stalled 5": "-stalled",
		"-mode slow -stalled 0 -trickling 0 -slow 0":       "-slow",
		"-mode slow -share 1":                              "-share",
		"-mode slow -duration 31s":                         "-duration",
		"-mode latency -rates 5,x":                         "-rates",
		"-mode latency -rate -1":                           "-rate",
		"-mode latency -conns 5 -rooms 6":                  "-rooms",
		"-mode storm -store mysql:x":                       "-store",
		"-mode cluster -store sqlite:x":                    "-store",
		"-mode idle -conns 2000000000":                     "ulimit",
		"-mode cluster -rate 0":                            "-rate",
		"-mode cluster -store mysql:x":                     "-store",
		"-mode cluster -conns 40 -rooms 21":                "-rooms",
		"-mode cluster -processes 1 -kill":                 "-kill",
		"-mode cluster -conns 90000 -processes 2 -rooms 9": "ulimit",
		"-mode cluster -conns 2000000000":                  "ulimit",
		"-mode fanout and then some":                       "argument",
		"-mode idle -conns 10 -rooms 1 -x 1":               "-x",
	} {
		err := run(t.Context(), strings.Fields(args), &bytes.Buffer{}, &bytes.Buffer{})
		require.ErrorContains(t, err, want, args)
	}
}
