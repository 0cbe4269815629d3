package sqlite_test

import (
	"os"
	"testing"

	"github.com/gabblehq/chat/internal/leak"
)

// childEnv names the file that this binary, run as a process of its own,
// writes to until it is killed.
const childEnv = "GABBLE_TEST_SQLITE_WRITE_TO"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		writeForever(path)
	}
	leak.Main(m)
}

// full: the long versions of tests too.
func full() bool { return os.Getenv("GABBLE_FULL") != "" }

// cannot skips a test, visibly, unless everything is required.
func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("GABBLE_REQUIRE") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
