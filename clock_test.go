package chat_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wallClock is where the wall clock may be read, or the monotonic reading of a
// time dropped, and why that cannot go wrong when somebody sets the clock.
var wallClock = map[string]string{
	"server.go stamp":                       "what is stored and shown to people",
	"records.go readMessage":                "what is stored",
	"users.go user":                         "what the host is told; the session ends by the monotonic clock",
	"internal/steady/steady.go Now":         "the clock that takes a leap for a mistake",
	"middleware/counter.go take":            "of a length of time",
	"storage/memory/clone.go stamp":         "what is stored",
	"storage/memory/nonces.go keep":         "what is stored",
	"storage/memory/nonces.go again":        "what is stored",
	"storage/sqlite/codec.go stamp":         "what is stored",
	"storage/sqlite/conn.go millis":         "what is stored, and a steady clock's",
	"storage/sqlite/conn.go fromMillis":     "what is stored",
	"storage/postgres/batch.go readTrimmed": "what is stored",
	"storage/postgres/encode.go stamp":      "what is stored",
	"storage/postgres/rows.go utc":          "what is stored",
	"storage/redis/append.go cutoff":        "a steady clock's",
	"storage/redis/decode.go time":          "what is stored",
	"storage/redis/record.go stamp":         "what is stored",
	"storage/redis/decode.go decodeMessage": "what is stored",
	"storage/redis/record.go encodeMessage": "what is stored",
	"storage/redis/record.go encodeRoom":    "what is stored",
	"storage/redis/record.go encodeStub":    "what is stored",
}

// TestNothingIsTimedByTheWallClock: timers, deadlines, leases, budgets and gauges
// compare times that carry the monotonic clock's reading. Whatever turns one
// into a number, or rounds it, loses that, and then whoever sets the clock ends
// things early or never.
func TestNothingIsTimedByTheWallClock(t *testing.T) {
	drops := map[string]bool{"Unix": true, "UnixMilli": true, "UnixMicro": true, "UnixNano": true, "UTC": true, "Local": true, "In": true, "Truncate": true, "Round": true, "Date": true}
	found := make(map[string]bool)
	for _, dir := range []string{".", "hub", "transport", "middleware", "internal/poll", "internal/presence", "internal/steady", "storage/memory", "storage/sqlite", "storage/postgres", "storage/redis"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			src, err := os.ReadFile(file)
			require.NoError(t, err)
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, file, src, 0)
			require.NoError(t, err)
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					sel, ok := call.Fun.(*ast.SelectorExpr)
					if !ok || !drops[sel.Sel.Name] {
						return true
					}
					if pkg, ok := sel.X.(*ast.Ident); ok && (pkg.Name == "unix" || pkg.Name == "math") {
						return true
					}
					at := fmt.Sprintf("%s %s", filepath.ToSlash(file), fn.Name.Name)
					found[at] = true
					if _, ok := wallClock[at]; !ok {
						t.Errorf("%s: %s: .%s drops the monotonic reading; what is timed by this changes when the clock is set", set.Position(call.Pos()), at, sel.Sel.Name)
					}
					return true
				})
			}
		}
	}
	for at := range wallClock {
		require.True(t, found[at], "%s needs no exception any more", at)
	}
}
