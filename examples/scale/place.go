//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// place says where figures come from.
type place struct {
	CPU    string `json:"cpu,omitempty"`
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memory"` // bytes
	Files  int    `json:"open_files"`
	Go     string `json:"go"`
	Kernel string `json:"kernel"`
	Commit string `json:"commit,omitempty"`
}

func machine() place {
	p := place{CPUs: runtime.NumCPU(), Go: runtime.Version(), Files: openFiles(), Commit: commit()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		p.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		p.Memory, _ = kilobytes(info, "MemTotal:")
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := bytes.Cut(info, []byte("model name"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		p.CPU = strings.TrimLeft(string(line), "\t :")
	}
	return p
}

// commit is what the program was built from, as far as it is known: go run does
// not note it, and then the working directory may tell.
func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		revision, changed := "", ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = "-dirty"
			}
		}
		if revision != "" {
			return revision[:min(len(revision), 12)] + changed
		}
	}
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// String is the line below a plot's title.
func (p place) String() string {
	name := p.CPU
	if name == "" {
		name = runtime.GOARCH
	}
	s := fmt.Sprintf("%d CPUs (%s), %d GiB, Linux %s, %s", p.CPUs, name, (p.Memory+1<<29)>>30, p.Kernel, p.Go)
	if p.Commit != "" {
		s += ", commit " + p.Commit
	}
	return s
}
