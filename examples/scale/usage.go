//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sizes is what a process holds.
type sizes struct {
	RSS        int64 `json:"rss"`      // VmRSS, bytes
	Anon       int64 `json:"rss_anon"` // of which memory of its own
	File       int64 `json:"rss_file"` // and pages of the program's file
	FDs        int   `json:"fds"`
	Goroutines int   `json:"goroutines"`
	Heap       int64 `json:"heap"` // bytes in live and not yet swept objects
	Stacks     int64 `json:"stacks"`
	Conns      int   `json:"conns"`
	RoomsLive  int   `json:"rooms"`
}

func takeSizes() (s sizes, err error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return s, err
	}
	s.FDs = len(entries) - 1 // without the one that reads
	s.Goroutines = runtime.NumGoroutine()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap, s.Stacks = int64(m.HeapAlloc), int64(m.StackInuse)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return s, err
	}
	var errs [3]error
	s.RSS, errs[0] = kilobytes(status, "VmRSS:")
	s.Anon, errs[1] = kilobytes(status, "RssAnon:")
	s.File, errs[2] = kilobytes(status, "RssFile:")
	return s, errors.Join(errs[:]...)
}

// kilobytes looks up a line of /proc/self/status or /proc/meminfo; in bytes.
func kilobytes(lines []byte, name string) (int64, error) {
	_, rest, ok := bytes.Cut(lines, []byte(name))
	f := bytes.Fields(rest)
	if !ok || len(f) < 2 || string(f[1]) != "kB" {
		return 0, fmt.Errorf("no %s among %d bytes of /proc", name, len(lines))
	}
	kb, err := strconv.ParseInt(string(f[0]), 10, 64)
	return kb << 10, err
}

// clock is the time in microseconds of a clock that does not jump and is the
// same for all processes of the machine.
func clock() int64 { return startedAt + time.Since(started).Microseconds() }

var started, startedAt = time.Now(), sinceBoot()

func sinceBoot() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it has no way to fail
	return ts.Nano() / 1e3
}

// cpuTime is the user and system time of this process, in microseconds.
func cpuTime() (int64, error) {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return 0, err
	}
	return ru.Utime.Nano()/1e3 + ru.Stime.Nano()/1e3, nil
}

// busyTime is what all processes together have used of all cores since boot,
// in microseconds and steps of 10 ms.
func busyTime() (int64, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat: %q", line)
	}
	sum := int64(0)
	for _, i := range []int{1, 2, 3, 6, 7} { // user nice system irq softirq
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum * 10_000, nil
}
