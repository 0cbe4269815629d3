package chat_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// JSON logs write a duration as a bare number of nanoseconds: what is logged as a time
// says its unit in its name, and is no time.Duration.
func TestLoggedTimesSayTheirUnit(t *testing.T) {
	seen := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(path, "examples/scale")) {
			if d != nil && d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, _ := sel.X.(*ast.Ident)
			require.False(t, pkg != nil && pkg.Name == "slog" && sel.Sel.Name == "Duration", "%s: slog.Duration", path)
			switch sel.Sel.Name {
			case "Debug", "Info", "Warn", "Error", "warn", "report":
			default:
				return true
			}
			for _, arg := range call.Args {
				lit, ok := arg.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				name := strings.Trim(lit.Value, `"`)
				seen++
				for _, word := range []string{"took", "within", "retry_in", "duration", "elapsed", "wait", "timeout", "delay"} {
					require.NotEqual(t, word, name, "%s logs a time without its unit", path)
				}
			}
			return true
		})
		return nil
	}))
	require.Greater(t, seen, 20)
}
