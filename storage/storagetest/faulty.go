package storagetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/gabblehq/chat"
)

// Fault is a way in which a call of a store fails.
type Fault int

// The faults. Calls that only read fail in one way, with ErrUnavailable.
const (
	// FailBefore: ErrUnavailable, nothing is written.
	FailBefore Fault = iota + 1
	// UnknownBefore: ErrUnknown, and nothing is written.
	UnknownBefore
	// UnknownAfter: ErrUnknown, and all is written.
	UnknownAfter
)

// String names the fault.
func (f Fault) String() string {
	switch f {
	case FailBefore:
		return "fail_before"
	case UnknownBefore:
		return "unknown_before"
	case UnknownAfter:
		return "unknown_after"
	}
	return "no_fault"
}

// FaultyStore is a store that fails, or stands still, when a test says so. Its
// four methods count as calls, in the order in which they begin, from 1. The
// optional powers of the store below are reached through Unwrap, and neither
// counted nor disturbed.
type FaultyStore struct {
	store chat.Store

	mu    sync.Mutex
	calls int
	hits  int
	at    int
	fault Fault
	down  Fault
	holds map[int]*Hold
}

var _ chat.Store = (*FaultyStore)(nil)

// Faulty wraps store. It does not fail until told to.
func Faulty(store chat.Store) *FaultyStore {
	return &FaultyStore{store: store, holds: map[int]*Hold{}}
}

// Unwrap returns the store below.
func (s *FaultyStore) Unwrap() chat.Store { return s.store }

// FailAt makes call k fail, and replaces what FailAt has said before.
func (s *FaultyStore) FailAt(k int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.fault = k, f
}

// FailNext makes the next call fail.
func (s *FaultyStore) FailNext(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.fault = s.calls+1, f
}

// Down makes every call fail, until Up.
func (s *FaultyStore) Down(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = f
}

// Up ends Down.
func (s *FaultyStore) Up() { s.Down(0) }

// Calls returns how many calls have begun.
func (s *FaultyStore) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Hits returns how many calls were made to fail.
func (s *FaultyStore) Hits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits
}

// Hold is a call that stands still before it reaches the store.
type Hold struct {
	entered chan struct{}
	release chan struct{}
	once    sync.Once
}

// Entered is closed when the call has begun.
func (h *Hold) Entered() <-chan struct{} { return h.entered }

// Release lets the call go on. It may be called again, and before the call.
func (h *Hold) Release() { h.once.Do(func() { close(h.release) }) }

// HoldAt makes call k stand still until it is released or its context ends.
func (s *FaultyStore) HoldAt(k int) *Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &Hold{entered: make(chan struct{}), release: make(chan struct{})}
	s.holds[k] = h
	return h
}

// HoldNext makes the next call stand still.
func (s *FaultyStore) HoldNext() *Hold { return s.HoldAt(s.Calls() + 1) }

// begin counts a call, and holds it where that is wanted.
func (s *FaultyStore) begin(ctx context.Context) (Fault, error) {
	s.mu.Lock()
	s.calls++
	fault := s.down
	if s.calls == s.at {
		fault = s.fault
	}
	if fault != 0 {
		s.hits++
	}
	h := s.holds[s.calls]
	delete(s.holds, s.calls)
	s.mu.Unlock()
	if h != nil {
		close(h.entered)
		select {
		case <-h.release:
		case <-ctx.Done():
			return 0, chat.Errorf(chat.CodeUnavailable, "given up: %w", context.Cause(ctx))
		}
	}
	return fault, nil
}

func (s *FaultyStore) read(ctx context.Context) error {
	fault, err := s.begin(ctx)
	if fault != 0 {
		err = chat.Errorf(chat.CodeUnavailable, "the store was told to fail")
	}
	return err
}

// Append implements [chat.Store].
func (s *FaultyStore) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	fault, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	switch fault {
	case FailBefore:
		return nil, chat.Errorf(chat.CodeUnavailable, "the store was told to fail")
	case UnknownBefore:
		return nil, unknown()
	}
	results, err := s.store.Append(ctx, room, known, changes)
	if fault == UnknownAfter {
		return nil, unknown()
	}
	return results, err
}

// unknown is wrapped, as a store may.
func unknown() error {
	return fmt.Errorf("the store was told not to answer: %w", chat.ErrUnknown)
}

// Changes implements [chat.Store].
func (s *FaultyStore) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	if err := s.read(ctx); err != nil {
		return chat.Page{}, err
	}
	return s.store.Changes(ctx, room, after, limit)
}

// History implements [chat.Store].
func (s *FaultyStore) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	if err := s.read(ctx); err != nil {
		return chat.Page{}, err
	}
	return s.store.History(ctx, room, q)
}

// Head implements [chat.Store].
func (s *FaultyStore) Head(ctx context.Context, room string) (chat.Position, error) {
	if err := s.read(ctx); err != nil {
		return chat.Position{}, err
	}
	return s.store.Head(ctx, room)
}
