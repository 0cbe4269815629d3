// Command systems checks for every system given as GOOS/GOARCH that the packages
// of the module and their tests compile there, as far as types tell:
//
//	go run ./internal/systems linux/386 windows/amd64
//
// It reads all sources, those of the dependencies without what is in their
// functions, and compiles nothing. To go vet a system, which has to compile the
// dependencies for it, takes minutes; this takes seconds.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	failed := false
	for _, system := range os.Args[1:] {
		began := time.Now()
		faults, n, err := check(system)
		for _, f := range faults {
			fmt.Printf("%s: %v\n", system, f)
		}
		if err != nil {
			fmt.Printf("%s: %v\n", system, err)
		}
		failed = failed || err != nil || len(faults) > 0
		fmt.Printf("%s: %d packages and tests, %.1f s\n", system, n, time.Since(began).Seconds())
	}
	if failed {
		os.Exit(1)
	}
}

// listed is a package, or one as its test has it, as go list says.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
	Standard        bool
	Module          *struct{ Main bool }
	Error           *struct{ Err string }
}

// check returns what is wrong with how many packages of ours.
func check(system string) (faults []error, n int, err error) {
	goos, goarch, ok := strings.Cut(system, "/")
	if !ok {
		return nil, 0, errors.New("not GOOS/GOARCH")
	}
	list := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,GoFiles,ImportMap,Standard,Module,Error", "./...")
	list.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, 0, err
	}
	sizes := types.SizesFor("gc", goarch)
	if sizes == nil {
		return nil, 0, errors.New("no such GOARCH")
	}
	done := packages{"unsafe": types.Unsafe}
	// Dependencies come before those who need them.
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return faults, n, nil
		} else if err != nil {
			return faults, n, err
		}
		if p.Error != nil {
			faults = append(faults, errors.New(p.Error.Err))
		}
		if p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test") {
			continue
		}
		ours := p.Module != nil && p.Module.Main
		if ours {
			n++
		}
		pkg, found := typed(&p, done, sizes, ours)
		done[p.ImportPath] = pkg
		faults = append(faults, found...)
	}
}

// packages are those that have been looked at, by what go list calls them.
type packages map[string]*types.Package

// importer finds what a package imports.
type importer struct {
	done packages
	as   map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if as, ok := i.as[path]; ok {
		path = as
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s is not there", path)
}

func typed(p *listed, done packages, sizes types.Sizes, ours bool) (*types.Package, []error) {
	set := token.NewFileSet()
	var files []*ast.File
	var faults []error
	for _, name := range p.GoFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.Dir, name)
		}
		f, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if list, ok := errors.AsType[scanner.ErrorList](err); ok && ours {
			faults = append(faults, list)
		}
		if f != nil {
			files = append(files, f)
		}
	}
	config := types.Config{
		IgnoreFuncBodies: !ours, FakeImportC: true, Sizes: sizes, Importer: importer{done, p.ImportMap},
		Error: func(err error) {
			if ours { // of the others it is what lies in their functions that is missed
				faults = append(faults, err)
			}
		},
	}
	path, _, _ := strings.Cut(p.ImportPath, " ") // [of a test]
	pkg, _ := config.Check(path, set, files, nil)
	return pkg, faults
}
