// Package leak fails a test binary that leaves a goroutine or an open file behind.
package leak

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package from its TestMain and exits. On Linux it also
// compares the open descriptors before and after.
func Main(m *testing.M, opts ...goleak.Option) {
	startPoller()
	before := FDs()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(opts...); err != nil {
			fmt.Fprintln(os.Stderr, "leak:", err)
			code = 1
		} else if after := settled(before); after > before {
			fmt.Fprintf(os.Stderr, "leak: %d open files before the tests, %d after\n", before, after)
			code = 1
		}
	}
	os.Exit(code)
}

// startPoller makes the Go runtime open the descriptors of its own poller, which
// it keeps, so that they do not count as left behind.
func startPoller() {
	if r, w, err := os.Pipe(); err == nil {
		_ = r.Close()
		_ = w.Close()
	}
}

// settled gives the kernel and finalizers a moment to close what is being closed.
func settled(want int) int {
	deadline := time.Now().Add(2 * time.Second)
	for {
		n := FDs()
		if n <= want || time.Now().After(deadline) {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// FDs counts the open descriptors of this process, without the one used for
// counting. It is 0 where /proc/self/fd does not exist.
func FDs() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the directory's own descriptor, closed by now
		}
		if target != "anon_inode:[pidfd]" {
			n++
		}
	}
	return n
}
