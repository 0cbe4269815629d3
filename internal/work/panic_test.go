package work_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/work"
)

type panics struct{ in string }

func (e panics) at(call string) {
	if e.in == call {
		panic(call)
	}
}
func (e panics) Error() string { e.at("Error"); return e.in }
func (e panics) Is(error) bool { e.at("Is"); return false }
func (e panics) As(any) bool   { e.at("As"); return false }
func (e panics) Unwrap() error { e.at("Unwrap"); return nil }

type pointer struct{ text string }

func (p *pointer) Error() string { return p.text }

type list []error // cannot be compared

func (l list) Error() string   { return errors.Join(l...).Error() }
func (l list) Unwrap() []error { return l }

// TestGuardReturnsErrorsThatCanBeLookedAt, whatever of theirs panics, and however
// deep they are wrapped; others are what they were.
func TestGuardReturnsErrorsThatCanBeLookedAt(t *testing.T) {
	for _, in := range []error{panics{"Error"}, panics{"Is"}, panics{"As"}, panics{"Unwrap"}, (*pointer)(nil)} {
		for _, err := range []error{in, errors.Join(io.EOF, in), list{nil, in}, list{list{in}}} {
			got := work.Guard(func() error { return err })
			var p *work.Panic
			require.ErrorAs(t, got, &p, "%#v", err)
			require.Contains(t, p.Value, fmt.Sprintf("%T", err))
		}
	}
	for _, err := range []error{nil, io.EOF, panics{}, &pointer{"x"}, list{nil, io.EOF}, fmt.Errorf("x: %w", io.EOF), errors.Join(io.EOF, nil)} {
		require.Equal(t, err, work.Guard(func() error { return err }))
	}
}
