package storagetest_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// sound is a harness that can do everything, over memory: what it reopens is
// the same store.
type sound struct{}

func (sound) Open(testing.TB) chat.Store                   { return storagetest.Shared(memory.New()).Node() }
func (sound) Reopen(_ testing.TB, s chat.Store) chat.Store { return s }
func (sound) Share(_ testing.TB, s chat.Store) chat.Store  { return node(s).Shared().Node() }
func (sound) Crash(_ testing.TB, s chat.Store) chat.Store  { return s }
func (sound) Lose(_ testing.TB, s chat.Store)              { node(s).Shared().Lose(memory.New()) }
func (sound) Corrupt(t testing.TB, s chat.Store, room string, seq int64) {
	p, err := s.History(t.Context(), room, chat.Query{Around: seq, Limit: 1})
	require.NoError(t, err)
	c := chat.Change{Kind: chat.ChangeDelete, At: time.Now(), Message: chat.Message{ID: p.Messages[0].ID}, Hard: true}
	write(t, node(s).Unwrap(), room, c)
}

func (sound) OpenTrimming(_ testing.TB, messages int) chat.Store {
	return storagetest.Shared(memory.NewWith(memory.Options{MaxMessages: messages})).Node()
}

func (sound) OpenAging(_ testing.TB, age time.Duration) (chat.Store, func(time.Duration)) {
	s := &aging{age: age}
	s.SharedNode = storagetest.Shared(memory.NewWith(memory.Options{MaxAge: age})).Node()
	return s, func(d time.Duration) { s.leap = d }
}

// aging is a store that goes by a clock which is never wrong: leap is what a
// broken one may look at.
type aging struct {
	*storagetest.SharedNode
	age, leap time.Duration
}

func (s *aging) Unwrap() chat.Store { return s.SharedNode }

func (sound) OpenRewinding(testing.TB) storagetest.Rewinding {
	s := rewound{RewindableStore: storagetest.Rewindable(func() chat.Store { return memory.New() })}
	s.node = storagetest.Shared(s.RewindableStore).Node()
	return s
}

func (sound) OpenBreaking(testing.TB) storagetest.Breaking {
	n := storagetest.Shared(memory.New()).Node()
	return broken{n, checks{n, func(err error) error { return err }}}
}

// checks is a store that can tell whether it could be written to.
type checks struct {
	*storagetest.SharedNode
	bend func(error) error
}

func (s checks) Unwrap() chat.Store { return s.SharedNode }

func (s checks) Check(ctx context.Context) error {
	_, err := s.Head(ctx, "~")
	if errors.Is(err, chat.ErrNotFound) {
		err = nil
	}
	return s.bend(err)
}

// broken is a store as a server sees it that can be kept from reaching it.
type broken struct {
	node  *storagetest.SharedNode
	store chat.Store
}

func (b broken) Store() chat.Store { return b.store }
func (b broken) Break(testing.TB)  { b.node.Down() }
func (b broken) Mend(testing.TB)   { b.node.Up() }

// rewound is a store that can be put back, as one server sees it.
type rewound struct {
	*storagetest.RewindableStore
	node chat.Store
}

func (s rewound) Store() chat.Store { return s.node }

// node finds the SharedNode below.
func node(s chat.Store) *storagetest.SharedNode {
	for {
		if n, ok := s.(*storagetest.SharedNode); ok {
			return n
		}
		s = s.(interface{ Unwrap() chat.Store }).Unwrap()
	}
}

func TestSoundStorePasses(t *testing.T) {
	for _, name := range storagetest.Names() {
		failure, skipped := storagetest.Try(t, sound{}, name)
		require.Empty(t, failure, name)
		require.False(t, skipped, name)
	}
}

func BenchmarkShared(b *testing.B) { storagetest.Bench(b, sound{}) }

// mutated is a harness of stores that are broken in one way.
type mutated struct {
	sound
	mutate func(chat.Store) chat.Store
}

func (m mutated) Open(t testing.TB) chat.Store { return m.mutate(m.sound.Open(t)) }

func (m mutated) Share(t testing.TB, s chat.Store) chat.Store { return m.mutate(m.sound.Share(t, s)) }

func (m mutated) OpenTrimming(t testing.TB, n int) chat.Store {
	return m.mutate(m.sound.OpenTrimming(t, n))
}

func (m mutated) OpenAging(t testing.TB, age time.Duration) (chat.Store, func(time.Duration)) {
	s, leap := m.sound.OpenAging(t, age)
	return m.mutate(s), leap
}

func (m mutated) OpenRewinding(t testing.TB) storagetest.Rewinding {
	s := m.sound.OpenRewinding(t).(rewound)
	s.node = m.mutate(s.node)
	return s
}

func (m mutated) OpenBreaking(t testing.TB) storagetest.Breaking {
	b := m.sound.OpenBreaking(t).(broken)
	b.store = m.mutate(b.store)
	return b
}

// attempts is for what only shows when goroutines meet.
const attempts = 10

func TestBrokenStoresFail(t *testing.T) {
	quietRapid(t)
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range m.caughtBy {
				var failure string
				for range attempts {
					// In a bubble, where waiting in vain takes no time.
					synctest.Test(t, func(t *testing.T) {
						failure, _ = storagetest.Try(t, mutated{mutate: m.mutate}, name)
					})
					if failure != "" {
						break
					}
				}
				require.NotEmpty(t, failure, "a store that %s passes %s", m.name, name)
				require.Contains(t, failure, "The rule: ", "a failure quotes the rule")
			}
		})
	}
}

// quietRapid keeps the properties that are meant to fail from looking for the
// smallest example and from leaving files.
func quietRapid(t *testing.T) {
	for name, value := range map[string]string{"rapid.shrinktime": "0s", "rapid.nofailfile": "true"} {
		old := flag.Lookup(name).Value.String()
		require.NoError(t, flag.Set(name, value))
		t.Cleanup(func() { _ = flag.Set(name, old) })
	}
}

// What can only be said of a harness.

type forgetful struct{ sound }

func (forgetful) Reopen(testing.TB, chat.Store) chat.Store { return memory.New() }
func (forgetful) Share(testing.TB, chat.Store) chat.Store  { return memory.New() }
func (forgetful) Crash(testing.TB, chat.Store) chat.Store  { return memory.New() }
func (forgetful) Lose(testing.TB, chat.Store)              {} // it forgets to forget

func TestForgetfulHarnessFails(t *testing.T) {
	for _, name := range storagetest.Names() {
		subject, _, _ := strings.Cut(name, "/")
		if slices.Contains([]string{"reopen", "share", "crash", "lost"}, subject) && name != "lost/told" {
			failure, _ := storagetest.Try(t, forgetful{}, name)
			require.NotEmpty(t, failure, name)
		}
	}
}

// A panic of the store, or of a check that its answer was too much for, breaks
// the rule of that check alone.
func TestAPanicIsAFailure(t *testing.T) {
	h := storagetest.Opener(func(testing.TB) chat.Store { return nil })
	failure, _ := storagetest.Try(t, h, "append/room_made")
	require.Contains(t, failure, "panic: ")
	require.Contains(t, failure, "The rule: ")
}

// TestWhatRunLeaves runs the suite on a store that breaks the model's rule, in
// another process: it says what it has not proven and leaves no file.
func TestWhatRunLeaves(t *testing.T) {
	if os.Getenv("STORAGETEST_RUN") != "" {
		storagetest.Run(t, storagetest.Opener(func(testing.TB) chat.Store { return bare{forgetNonces(memory.New())} }))
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-rapid.shrinktime=0s", "-test.run=^TestWhatRunLeaves$/^(model|crash|broken|rooms)$")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "STORAGETEST_RUN=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err, "%s", out)
	require.Contains(t, string(out), "--- FAIL: TestWhatRunLeaves/model/any_sequence")
	require.Contains(t, string(out), "-rapid.seed=")
	for _, line := range []string{
		" checks were skipped, so this is not proven:",
		"the harness is no storagetest.Crasher:\n            crash/again_and_again crash/all_is_there crash/while_writing\n",
		"the store is no chat.RoomLister:",
		"the harness is no storagetest.Breaker:",
	} {
		require.Contains(t, string(out), line)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// bare shows nothing of a store but what every store has.
type bare struct{ chat.Store }

func TestMissingPowersAreSkipped(t *testing.T) {
	h := storagetest.Opener(func(testing.TB) chat.Store { return bare{memory.New()} })
	skips := 0
	for _, name := range storagetest.Names() {
		failure, skipped := storagetest.Try(t, h, name)
		require.Empty(t, failure, name)
		if skipped {
			skips++
		}
	}
	require.Greater(t, skips, 10)
	require.Less(t, skips, len(storagetest.Names())*3/5)
}

// The rules are quotations: who changes the contract looks at its checks too.
func TestRulesAreQuoted(t *testing.T) {
	var src strings.Builder
	for _, name := range []string{"store.go", "store_shared.go", "messages.go"} {
		file, err := os.ReadFile("../../" + name)
		require.NoError(t, err)
		src.Write(file)
	}
	var text []string
	for line := range strings.Lines(src.String()) {
		line = strings.TrimSpace(line)
		if i := strings.Index(line, "//"); i >= 0 {
			line = line[i+2:]
		}
		text = append(text, strings.Fields(line)...)
	}
	links := strings.NewReplacer("[", "", "]", "")
	contract := links.Replace(strings.Join(text, " "))
	for i, rule := range storagetest.Rules() {
		found := strings.Contains(contract, links.Replace(rule))
		require.True(t, found, "the rule of %s is not in the contract any more: %q", storagetest.Names()[i], rule)
	}
}
