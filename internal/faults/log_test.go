package faults

import (
	"bytes"
	"os"
	"sync"
	"testing"
)

// logWriter passes on what a node logs, where that is asked for.
type logWriter struct {
	t      testing.TB
	prefix string
	mu     sync.Mutex
}

func (w *logWriter) Write(p []byte) (int, error) {
	if os.Getenv("GABBLE_FAULTS_LOG") != "" || bytes.Contains(p, []byte("panic")) || bytes.Contains(p, []byte("DATA RACE")) {
		w.mu.Lock()
		defer w.mu.Unlock()
		_, _ = os.Stderr.Write(append([]byte(w.prefix+": "), p...))
	}
	return len(p), nil
}

// full reports whether the long forms are to run.
func full() bool { return os.Getenv("GABBLE_FULL") != "" }

// rounds is how often a fault strikes.
func rounds() int {
	if full() {
		return 20
	}
	return 3
}
