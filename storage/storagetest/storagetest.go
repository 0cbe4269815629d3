// Package storagetest proves that a [chat.Store] does what [chat.Store] says.
// It is the real specification of a backend, whose own test is a few lines:
//
//	func TestStore(t *testing.T) {
//		storagetest.Run(t, storagetest.Opener(func(t testing.TB) chat.Store {
//			s := open(t) // empty, for this test alone
//			t.Cleanup(func() { s.Close() })
//			return s
//		}))
//	}
//
// Optional powers of the store ([chat.RoomLister] and its like) are found by
// themselves, through wrappers too, and tested where they are. What a backend
// can do beyond being opened, it says by further methods of its [Harness]:
// [Reopener], [Sharer], [Trimmer], [Ager], [Crasher], [Corrupter], [Loser],
// [Rewinder], [Breaker]. What it does not say is skipped, and what was skipped
// is logged at the end, to be seen by go test -v.
//
// [Bench] measures a store. For the tests of code on top of a store, [Faulty]
// wraps one that fails on command, [RunFaults] proves that the code survives
// that, [Rewindable] makes of one in memory a store that comes back as it was
// earlier, and [Shared] one that several servers share, with links between them
// that break on command.
package storagetest

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"testing"
	"time"

	"github.com/gabblehq/chat"
)

// Harness opens the store under test. Its methods may be called from tests
// that run in parallel.
type Harness interface {
	// Open returns an empty store that no other test sees. Cleaning up is for
	// t.Cleanup. It fails the test by t if there is none to be had.
	Open(t testing.TB) chat.Store
}

// Opener is a Harness that can do nothing but open.
type Opener func(t testing.TB) chat.Store

// Open implements [Harness].
func (o Opener) Open(t testing.TB) chat.Store { return o(t) }

// Reopener is a [Harness] of a store that outlives its process.
type Reopener interface {
	// Reopen closes s, which Open or Reopen has returned, as a process that
	// ends does, and opens the same data again.
	Reopen(t testing.TB, s chat.Store) chat.Store
}

// Sharer is a [Harness] of a store that several processes use at once.
type Sharer interface {
	// Share opens the data of s, which stays open, a second time, sharing
	// nothing with s that two processes would not.
	Share(t testing.TB, s chat.Store) chat.Store
}

// Trimmer is a [Harness] of a store that can bound what it keeps.
type Trimmer interface {
	// OpenTrimming is Open for a store that keeps of each room the newest
	// messages, so many at most, the older ones gone when Append returns.
	OpenTrimming(t testing.TB, messages int) chat.Store
}

// Ager is a [Harness] of a store that can bound for how long it keeps messages.
type Ager interface {
	// OpenAging is Open for a store that keeps messages for so long after their
	// CreatedAt. leap makes the wall clock that the store goes by read as if
	// somebody had set it ahead by d, 0 for what it really says; its monotonic
	// clock stays as it is. What the store does now and then about messages
	// that are too old is done before leap returns.
	OpenAging(t testing.TB, age time.Duration) (s chat.Store, leap func(d time.Duration))
}

// Crasher is a [Harness] of a store that outlives a crash of its process.
type Crasher interface {
	// Crash ends the use of s without any orderly close, as the death of the
	// process does, and opens again the data as it is at that moment. Calls of
	// s that are under way may fail, or stand still until their context ends.
	Crash(t testing.TB, s chat.Store) chat.Store
}

// Corrupter is a [Harness] of a store whose medium can be damaged.
type Corrupter interface {
	// Corrupt damages what is stored of one message, so that it cannot be
	// read, behind the back of s, which stays open.
	Corrupt(t testing.TB, s chat.Store, room string, seq int64)
}

// Loser is a [Harness] of a store whose data can vanish under running servers.
type Loser interface {
	// Lose throws away everything that is in s, which stays open.
	Lose(t testing.TB, s chat.Store)
}

// Run tests the stores that h opens. Run it with the race detector.
func Run(t *testing.T, h Harness) {
	leaveNoFiles()
	var said report
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			for _, c := range s.checks {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					r := newRig(t, h, c)
					r.skipped = said.of(s.name + "/" + c.name)
					r.prove()
				})
			}
		})
	}
	if text := said.text(); text != "" {
		t.Log(text)
	}
}

type subject struct {
	name   string
	checks []check
}

// check proves one rule.
type check struct {
	name string
	rule string // a sentence of store.go, word for word
	note string // what else there is to say about it
	run  func(*rig)
}

func subjects() []subject {
	return []subject{
		{"append", appendChecks()},
		{"edit", editChecks()},
		{"nonce", nonceChecks()},
		{"changes", changesChecks()},
		{"model", modelChecks()},
		{"history", historyChecks()},
		{"epoch", epochChecks()},
		{"concurrency", concurrencyChecks()},
		{"content", contentChecks()},
		{"owned", ownedChecks()},
		{"call", callChecks()},
		{"reopen", reopenChecks()},
		{"crash", crashChecks()},
		{"damage", damageChecks()},
		{"lost", lostChecks()},
		{"broken", brokenChecks()},
		{"lives", livesChecks()},
		{"share", shareChecks()},
		{"watch", watchChecks()},
		{"presence", presenceChecks()},
		{"rooms", roomsChecks()},
		{"retention", retentionChecks()},
	}
}

// rig is what a check runs on. Its failures say which rule is broken.
type rig struct {
	testing.TB
	h     Harness
	check check
	ctx   context.Context
	last  chat.Store // in which a room was made

	skipped func(why string)
}

// patience is for one check; a store that takes longer hangs.
const patience = 2 * time.Minute

func newRig(t testing.TB, h Harness, c check) *rig {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &rig{TB: t, h: h, check: c, ctx: ctx, skipped: func(string) {}}
}

// prove runs the check. A store whose answers make it panic breaks the rule
// of this check, and has no say in that of the next one.
func (t *rig) prove() {
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	t.check.run(t)
}

func (t *rig) open() chat.Store { return t.h.Open(t) }

// Errorf adds the rule.
func (t *rig) Errorf(format string, args ...any) {
	t.Helper()
	t.TB.Errorf(format+"\n%s", append(args, t.broken())...)
}

// Fatalf adds the rule.
func (t *rig) Fatalf(format string, args ...any) {
	t.Helper()
	t.TB.Fatalf(format+"\n%s", append(args, t.broken())...)
}

// Skipf says what is not proven, and why.
func (t *rig) Skipf(format string, args ...any) {
	t.Helper()
	t.skipped(fmt.Sprintf(format, args...))
	t.TB.Skipf(format, args...)
}

func (t *rig) broken() string {
	s := "\tThe rule: \"" + t.check.rule + "\""
	if t.check.note != "" {
		s += "\n\tThat is:  " + t.check.note
	}
	return s
}

// capability finds an optional interface of a store or of one that it wraps.
func capability[C any](s chat.Store) (C, bool) {
	for s != nil {
		if c, ok := s.(C); ok {
			return c, true
		}
		u, ok := s.(interface{ Unwrap() chat.Store })
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	var none C
	return none, false
}

// name is that of a type, with its package.
func name[T any]() string { return reflect.TypeFor[T]().String() }

// need is capability for checks that are about nothing else.
func need[C any](t *rig, s chat.Store) C {
	c, ok := capability[C](s)
	if !ok {
		t.Skipf("the store is no %s", name[C]())
	}
	return c
}

// able is need for what the harness can do.
func able[H any](t *rig) H {
	h, ok := t.h.(H)
	if !ok {
		t.Skipf("the harness is no %s", name[H]())
	}
	return h
}
