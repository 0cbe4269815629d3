package storagetest

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage"
)

// isAny reports whether err is any of the others.
func isAny(err error, others ...error) bool {
	return slices.ContainsFunc(others, func(o error) bool { return errors.Is(err, o) })
}

// discreet wants an error that shows nothing of what is below the store: no
// type and no value to test for but those of the contract and of the store's
// own package, and in the words for clients none of a driver's.
func discreet(t tester, s chat.Store, err error) {
	t.Helper()
	own := append(packages(s), "errors", "fmt", "context", reflect.TypeFor[chat.Error]().PkgPath(), reflect.TypeFor[storage.Error]().PkgPath())
	each(err, func(e error) {
		at := reflect.TypeOf(e)
		if at.Kind() == reflect.Pointer {
			at = at.Elem()
		}
		require.Contains(t, own, at.PkgPath(), "%v shows a %T of what is below the store; its text is enough", err, e)
	})
	for _, below := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, fs.ErrNotExist, fs.ErrPermission, os.ErrDeadlineExceeded} {
		require.NotErrorIs(t, err, below, "what is below the store")
	}
	if e, ok := errors.AsType[*chat.Error](err); ok {
		require.NotRegexp(t, driversWords, e.Message, "Error.Message is shown to clients")
	}
}

// each calls f with err and all that it wraps.
func each(err error, f func(error)) {
	if err == nil {
		return
	}
	f(err)
	switch w := err.(type) { //nolint:errorlint // it is what errors.Is does
	case interface{ Unwrap() error }:
		each(w.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, e := range w.Unwrap() {
			each(e, f)
		}
	}
}

// driversWords are how drivers, networks and disks speak, and where they are.
var driversWords = regexp.MustCompile(`(?i)\b(dial|read|write) (tcp|udp|unix)\b|connection (refused|reset)|broken pipe|i/o timeout|\bEOF\b|use of closed|` +
	`no such file|not a directory|input/output error|no space left|permission denied|\bsql:|SQLSTATE|://|\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]*\]:\d+`)

// packages are where the store, those that it wraps and those that it embeds
// are declared.
func packages(s chat.Store) []string {
	var all []string
	for s != nil {
		all = append(all, declared(reflect.TypeOf(s))...)
		u, ok := s.(interface{ Unwrap() chat.Store })
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	return all
}

func declared(at reflect.Type) []string {
	if at.Kind() == reflect.Pointer {
		at = at.Elem()
	}
	all := []string{at.PkgPath()}
	if at.Kind() == reflect.Struct {
		for i := range at.NumField() {
			if f := at.Field(i); f.Anonymous {
				all = append(all, declared(f.Type)...)
			}
		}
	}
	return all
}
