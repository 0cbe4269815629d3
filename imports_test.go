package chat_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/gabblehq/chat"

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Standard                           bool
}

func goList(t *testing.T, args ...string) (list []goPackage) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,Standard"}, args...)...)
	out, err := cmd.Output()
	require.NoError(t, err)
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// drivers speak to databases; testLibraries help tests. Neither is a host's
// to link because it uses chat.
var (
	drivers       = []string{"modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/jackc/pgx", "github.com/lib/pq", "github.com/redis/go-redis", "database/sql", "github.com/pressly/goose"}
	testLibraries = []string{"testing", "net/http/httptest", "github.com/stretchr/testify", "go.uber.org/goleak", "pgregory.net/rapid", "github.com/alicebob/miniredis"}
)

func within(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return path == root || strings.HasPrefix(path, root+"/") })
}

// house says which packages of ours each package may import, and why no
// others. The first rule that fits a package counts.
var house = []struct {
	pkg     string // "." is the root; a trailing /... covers what is below
	imports []string
	why     string
}{
	{".", []string{"storage", "hub", "transport", "internal/directory", "internal/door", "internal/names", "internal/outage", "internal/presence", "internal/rest", "internal/safelog", "internal/turn", "internal/wire", "internal/work"}, "the root imports only the machinery, or plug-ins could not import the root"},
	{"hub", []string{"internal/safelog"}, "the hub knows topics, frames and cursors, and has never heard of chat"},
	{"transport", []string{"internal/poll", "internal/safelog", "internal/work"}, "the transport knows connections and messages, and has never heard of chat"},
	{"transport/transporttest", []string{"transport"}, "the suite knows what it proves, and nothing above"},
	{"internal/poll", nil, "readiness is the bottom of the house"},
	{"internal/safelog", nil, "a logger is the bottom of the house"},
	{"internal/wire", nil, "the codec is the bottom of the house"},
	{"internal/turn", nil, "turns are taken by whatever has come in"},
	{"internal/work", nil, "workers and timers know tasks, and nothing of what those do"},
	{"internal/directory", nil, "a directory finds things by their keys, whatever they are"},
	{"internal/door", nil, "who may come in is decided by addresses and headers alone"},
	{"internal/names", []string{"internal/wire", "internal/work"}, "names know what is shown of users, and nothing of rooms"},
	{"internal/presence", []string{"hub", "internal/names", "internal/wire", "internal/work"}, "presence knows users, rooms and servers, and nothing of logs, commands or stores"},
	{"internal/outage", []string{"internal/work"}, "an outage is one of whatever is called"},
	{"internal/rest", []string{"internal/wire"}, "the edge of REST knows errors and bodies, and nothing of what is asked"},
	{"internal/redistest", nil, "a server for tests knows its driver, and nothing of ours"},
	{"internal/pgtest", nil, "a server for tests knows its driver, and nothing of ours"},
	{"internal/...", nil, "internal helpers stand by themselves"},
	{"storage", nil, "the contract of a store of records is the bottom of the house"},
	{"storage/storagetest", []string{".", "storage"}, "the suite must not prefer any store"},
	{"storage/...", []string{".", "internal/safelog", "internal/steady"}, "a store imports chat and its own driver, never another plug-in"},
	{"auth", []string{"."}, "a plug-in imports chat, never another plug-in"},
	{"auth/...", []string{".", "auth"}, "a plug-in imports chat, never another plug-in"},
	{"middleware", []string{".", "internal/safelog"}, "a plug-in imports chat, never another plug-in"},
	{"middleware/...", []string{".", "middleware"}, "a plug-in imports chat, never another plug-in"},
	{"chattest", []string{".", "storage/memory", "internal/wire"}, "the test kit reads frames and needs a store, nothing else"},
}

func ruleFor(pkg string) (imports []string, why string, ok bool) {
	for _, r := range house {
		if dir, below := strings.CutSuffix(r.pkg, "/..."); r.pkg == pkg || below && within(pkg, dir) {
			return r.imports, r.why, true
		}
	}
	return nil, "", false
}

// ours is the path below the module, "." for the root.
func ours(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

func isProgram(pkg string) bool { return within(pkg, "examples", "cmd", "bench", "e2e") }

func TestImportsPointTheRightWay(t *testing.T) {
	for _, p := range goList(t, "./...") {
		pkg, ok := ours(p.ImportPath)
		if !ok || isProgram(pkg) {
			continue
		}
		allowed, why, ok := ruleFor(pkg)
		if !ok {
			t.Errorf("%s is in no room of the house: say in this test what it may import", pkg)
			continue
		}
		for _, imp := range p.Imports {
			to, ok := ours(imp)
			switch {
			case !ok:
				if within(imp, testLibraries...) && !within(pkg, "storage/storagetest", "transport/transporttest", "internal/leak", "internal/redistest", "internal/pgtest", "chattest") {
					t.Errorf("%s → %s: a test library outside tests", pkg, imp)
				}
				if within(imp, drivers...) && !within(pkg, "storage", "internal/redistest", "internal/pgtest") {
					t.Errorf("%s → %s: only a store knows its driver", pkg, imp)
				}
			case isProgram(to):
				t.Errorf("%s → %s: nobody imports a program", pkg, to)
			case !slices.Contains(allowed, to) && !strings.HasPrefix(to, pkg+"/internal/"):
				t.Errorf("%s → %s: %s", pkg, to, why)
			}
		}
		for _, imp := range append(p.TestImports, p.XTestImports...) {
			to, ok := ours(imp)
			machinery := within(pkg, "hub", "transport", "internal")
			if ok && machinery && !within(to, "hub", "transport", "internal") {
				t.Errorf("the tests of %s → %s: the machinery is proved by itself", pkg, to)
			}
			if ok && within(pkg, "storage") && within(to, "auth", "middleware") {
				t.Errorf("the tests of %s → %s: a store is proved by storagetest", pkg, to)
			}
		}
	}
}

func TestRootLinksNoDriverAndNoTestLibrary(t *testing.T) {
	deps := goList(t, "-deps", ".", "./auth", "./middleware", "./storage/memory")
	require.Greater(t, len(deps), 50)
	for _, p := range deps {
		if p.ImportPath == "database/sql/driver" {
			continue // an interface that ids and the like implement
		}
		require.False(t, within(p.ImportPath, drivers...), "chat → … → %s: whoever embeds chat would link a database driver", p.ImportPath)
		require.False(t, within(p.ImportPath, testLibraries...), "chat → … → %s: whoever embeds chat would link a test library", p.ImportPath)
	}
}
