package storagetest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// report is what Run could not prove of a store.
type report struct {
	mu      sync.Mutex
	checks  int
	skipped map[string][]string // by why
}

// of counts a check, and returns what notes that it is skipped.
func (r *report) of(check string) func(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks++
	return func(why string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.skipped == nil {
			r.skipped = map[string][]string{}
		}
		r.skipped[why] = append(r.skipped[why], check)
	}
}

// text is empty if all was proven.
func (r *report) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	var b strings.Builder
	for _, why := range slices.Sorted(maps.Keys(r.skipped)) {
		names := r.skipped[why]
		n += len(names)
		slices.Sort(names)
		fmt.Fprintf(&b, "\n  %s:\n    %s", why, strings.Join(names, " "))
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d checks were skipped, so this is not proven:%s", n, r.checks, b.String())
}

// leaveNoFiles keeps rapid from writing testdata/rapid beside the test of
// whoever runs the suite: the seed that it prints brings the failure back, too.
// Who says by flag or environment what they want gets it.
var leaveNoFiles = sync.OnceFunc(func() {
	const name = "rapid.nofailfile"
	_, said := os.LookupEnv("RAPID_NOFAILFILE")
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == name })
	if !said {
		_ = flag.Set(name, "true")
	}
})
