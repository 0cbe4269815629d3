package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

// The golden files are the protocol as bytes. The TypeScript client decodes
// the same ones, and docs/protocol.md shows nothing else.
var update = flag.Bool("update", false, "write the golden files")

func readGolden(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", dir, name+".json"))
	require.NoError(t, err)
	return bytes.TrimSuffix(b, []byte("\n"))
}

// golden holds what was encoded to the file, and the folder to the table.
func golden[T any](t *testing.T, dir string, frames map[string]T, check func(t *testing.T, frame T, want func(got []byte) []byte)) {
	for _, name := range slices.Sorted(maps.Keys(frames)) {
		t.Run(name, func(t *testing.T) {
			check(t, frames[name], func(got []byte) []byte {
				if *update {
					require.NoError(t, os.WriteFile(filepath.Join("testdata", dir, name+".json"), append(bytes.Clone(got), '\n'), 0o644))
				}
				want := readGolden(t, dir, name)
				require.Equal(t, string(want), string(got))
				return want
			})
		})
	}
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.json"))
	require.NoError(t, err)
	for _, f := range files {
		require.Contains(t, frames, strings.TrimSuffix(filepath.Base(f), ".json"), "nothing makes this file")
	}
}

func TestGoldenClient(t *testing.T) {
	golden(t, "client", clientFrames, func(t *testing.T, cmd wire.Command, want func([]byte) []byte) {
		b := want(wire.AppendCommand(nil, &cmd))
		var got wire.Command
		require.NoError(t, got.Decode(b))
		require.Equal(t, cmd, got)
	})
}

func TestGoldenServer(t *testing.T) {
	golden(t, "server", serverFrames, func(t *testing.T, frame []byte, want func([]byte) []byte) {
		b := want(frame)
		var ev wire.Event
		require.NoError(t, ev.Decode(b))

		// What Event read, encoding/json writes as the same frame: no field
		// is missing from it, or read as another.
		encoded, err := json.Marshal(ev)
		require.NoError(t, err)
		sent, again := asMap(t, b), asMap(t, encoded)
		require.Subset(t, sent, again)
		for name, value := range sent {
			if !isEmpty(value) {
				require.Equal(t, value, again[name], name)
			}
		}
	})
}

func TestGoldenREST(t *testing.T) {
	golden(t, "rest", restBodies, func(t *testing.T, body []byte, want func([]byte) []byte) {
		require.True(t, json.Valid(want(body)))
	})
}

func asMap(t *testing.T, b []byte) (m map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(b, &m))
	return m
}

// isEmpty reports whether a value that some frames spell out means the same
// as its absence.
func isEmpty(v any) bool {
	list, isList := v.([]any)
	return v == 0.0 || v == false || v == "" || isList && len(list) == 0
}

func TestCodes(t *testing.T) {
	b, err := os.ReadFile("testdata/codes.json")
	require.NoError(t, err)
	var codes struct {
		Errors []struct{ Code string }
		Close  []struct {
			Code      int
			Name      string
			Reconnect bool
		}
	}
	require.NoError(t, json.Unmarshal(b, &codes))

	var errs []string
	for _, e := range codes.Errors {
		errs = append(errs, e.Code)
	}
	require.Equal(t, []string{
		wire.CodeInvalid, wire.CodeUnauthenticated, wire.CodeForbidden, wire.CodeNotFound, wire.CodeConflict,
		wire.CodeTooLarge, wire.CodeRateLimited, wire.CodeUnsupported, wire.CodeUnavailable, wire.CodeInternal,
	}, errs)

	ours := map[int]string{}
	for _, c := range codes.Close {
		require.Equal(t, c.Code < 4500, c.Reconnect, "%d: from 4500 on clients stay away", c.Code)
		if c.Code >= 4000 {
			ours[c.Code] = c.Name
		}
	}
	require.Equal(t, map[int]string{
		wire.CloseRestart: "restart", wire.CloseLagging: "lagging", wire.CloseIdle: "idle", wire.CloseExpired: "expired",
		wire.CloseUnauthenticated: "unauthenticated", wire.CloseBanned: "banned", wire.CloseProtocol: "protocol", wire.CloseReplaced: "replaced",
	}, ours)
}

// at has milliseconds that do not end in 0, so that encoding/json writes the
// time in as many digits.
func at(second, ms int) time.Time {
	return time.Date(2026, 11, 22, 18, 0, second, ms*1e6, time.UTC)
}
