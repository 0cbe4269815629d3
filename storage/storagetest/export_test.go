package storagetest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Names are all checks as "subject/name".
func Names() []string {
	var names []string
	for _, s := range subjects() {
		for _, c := range s.checks {
			names = append(names, s.name+"/"+c.name)
		}
	}
	return names
}

// Rules are the rules of all checks.
func Rules() []string {
	var rules []string
	for _, s := range subjects() {
		for _, c := range s.checks {
			rules = append(rules, c.rule)
		}
	}
	return rules
}

// Try runs one check. It returns what the check had to say, "" if it passed,
// and whether it was skipped.
func Try(t testing.TB, h Harness, name string) (failure string, skipped bool) {
	subject, rest, _ := strings.Cut(name, "/")
	for _, s := range subjects() {
		for _, c := range s.checks {
			if s.name == subject && c.name == rest {
				r := &recorder{TB: t}
				r.run(func() { newRig(r, h, c).prove() })
				return r.failure(), r.skipped
			}
		}
	}
	t.Fatalf("there is no check %q", name)
	return "", false
}

// recorder is a test whose failure is no failure of the test that it is in.
type recorder struct {
	testing.TB
	mu      sync.Mutex
	said    strings.Builder
	failed  bool
	skipped bool
}

// run calls f as a test would, on a goroutine that FailNow may end.
func (r *recorder) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		f()
	}()
	<-done
}

func (r *recorder) failure() string {
	if !r.Failed() {
		return ""
	}
	return "failed: " + r.said.String()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	fmt.Fprintf(&r.said, format+"\n", args...)
	r.mu.Unlock()
	r.Fail()
}

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) SkipNow() {
	r.skipped = true
	runtime.Goexit()
}

func (r *recorder) Error(args ...any)    { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any)    { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) Skip(...any)          { r.SkipNow() }
func (r *recorder) Skipf(string, ...any) { r.SkipNow() }
func (r *recorder) Log(...any)           {}
func (r *recorder) Logf(string, ...any)  {}
