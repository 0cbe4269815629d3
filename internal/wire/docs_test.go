package wire_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

// docs/protocol.md shows golden files and nothing else, if with more white
// space, and there is no type of frame that it does not show.
func TestProtocolExamples(t *testing.T) {
	doc := readDoc(t)
	files, err := filepath.Glob("testdata/*/*.json")
	require.NoError(t, err)
	frames := map[string]string{}
	missing := map[string]bool{}
	for _, file := range files {
		dir := filepath.Base(filepath.Dir(file))
		if dir == "invalid" {
			continue
		}
		frame := readGolden(t, dir, strings.TrimSuffix(filepath.Base(file), ".json"))
		frames[string(frame)] = dir + "/" + typeOf(t, frame)
		missing[dir+"/"+typeOf(t, frame)] = dir != "rest"
	}
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllStringSubmatch(doc, -1) {
		example := jsontext.Value(m[1])
		require.NoError(t, example.Compact())
		name, ok := frames[string(example)]
		require.True(t, ok, "no golden file holds\n%s", m[1])
		missing[name] = false
	}
	for name, is := range missing {
		require.False(t, is, "no example of %s", name)
	}
}

func typeOf(t *testing.T, frame []byte) string {
	var f struct{ Type string }
	require.NoError(t, json.Unmarshal(frame, &f))
	return f.Type
}

func TestProtocolCodes(t *testing.T) {
	doc := readDoc(t)
	b, err := os.ReadFile("testdata/codes.json")
	require.NoError(t, err)
	var codes struct {
		Errors []struct {
			Code, Meaning string
			Status        int
		}
		Close []struct {
			Code          int
			Name, Meaning string
			Reconnect     bool
		}
	}
	require.NoError(t, json.Unmarshal(b, &codes))
	for _, e := range codes.Errors {
		require.Contains(t, doc, fmt.Sprintf("| `%s` | %d | %s |", e.Code, e.Status, e.Meaning))
	}
	for _, c := range codes.Close {
		back := map[bool]string{true: "yes", false: "no"}[c.Reconnect]
		require.Contains(t, doc, fmt.Sprintf("| %d | %s | %s | %s |", c.Code, strings.ReplaceAll(c.Name, "_", " "), back, c.Meaning))
	}
}

// The links inside the document lead somewhere.
func TestProtocolLinks(t *testing.T) {
	doc := readDoc(t)
	anchors := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(doc, -1) {
		slug := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		slug = strings.ReplaceAll(slug, " ", "-")
		n := anchors[slug]
		anchors[slug]++
		if n > 0 { // a second heading of the same name, as GitHub numbers them
			anchors[fmt.Sprintf("%s-%d", slug, n)]++
		}
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(doc, -1) {
		require.Contains(t, anchors, m[1])
	}
}

func readDoc(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/protocol.md")
	require.NoError(t, err)
	return string(b)
}
