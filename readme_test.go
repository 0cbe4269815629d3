package chat_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what the test would compare")

// The program in the README is examples/hello, which is built and tested.
func TestReadmeShowsHello(t *testing.T) {
	source, err := os.ReadFile("examples/hello/main.go")
	require.NoError(t, err)
	_, code, ok := strings.Cut(string(source), "\npackage main\n")
	require.True(t, ok)
	block := "<!-- examples/hello/main.go -->\n```go\npackage main\n" + code + "```\n"

	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	marked := regexp.MustCompile("(?s)<!-- examples/hello/main.go -->\n```go\n.*?```\n")
	require.Len(t, marked.FindAll(readme, -1), 1)
	want := marked.ReplaceAllLiteralString(string(readme), block)
	if *update {
		require.NoError(t, os.WriteFile("README.md", []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(readme), "run go test . -run Readme -update")
}

// What the README links to is there.
func TestReadmeLinks(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(readme), -1) {
		_, err := os.Stat(m[1])
		require.NoError(t, err)
	}
}
