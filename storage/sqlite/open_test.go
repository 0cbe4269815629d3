package sqlite_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
)

func bare(t testing.TB, path string) *sqlite.Bare {
	t.Helper()
	b, err := sqlite.NewBare(path, sqlite.Options{})
	require.NoError(t, err)
	return b
}

// change runs SQL on the file of a store that is closed.
func change(t testing.TB, path, sql string) {
	t.Helper()
	b := bare(t, path)
	require.NoError(t, b.Script(sql))
	require.NoError(t, b.Close())
}

func TestSecondIsRefused(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Options{})
	link := filepath.Join(filepath.Dir(path), "link.db")
	require.NoError(t, os.Symlink(path, link))
	for _, p := range []string{path, link, filepath.Join(filepath.Dir(path), ".", "chat.db")} {
		_, err := sqlite.Open(p)
		require.ErrorIs(t, err, chat.ErrConflict)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "stop that one first")
	}
	room(t, s, "a")
	require.NoError(t, s.Close())
	open(t, link, sqlite.Options{})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		"":                                    "memory.New()",
		":memory:":                            "memory.New()",
		"file:chat.db?mode=ro":                "URI",
		dir:                                   "is a directory",
		filepath.Join(dir, "missing", "a.db"): "no such file or directory",
	} {
		_, err := sqlite.Open(path)
		require.ErrorContains(t, err, want, "%q", path)
		var e *chat.Error
		require.ErrorAs(t, err, &e, "%q", path)
	}
	for _, o := range []sqlite.Options{{Synchronous: "off"}, {MaxMessages: -1}, {MaxAge: -1}} {
		_, err := sqlite.OpenWith(filepath.Join(dir, "o.db"), o)
		require.ErrorIs(t, err, chat.ErrInvalid, "%+v", o)
	}
}

func TestOddNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b.db", "100%.db", "what?.db", "a#b.db", "é.db", "%3f.db", "a&b=c;d.db"} {
		s := open(t, filepath.Join(dir, name), sqlite.Options{})
		room(t, s, "a")
		require.NoError(t, s.Close())
		require.FileExists(t, filepath.Join(dir, name))
	}
}

func TestDamagedFile(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Options{})
	room(t, s, "a")
	require.NoError(t, s.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)

	for at, want := range map[int]string{0: "not a SQLite database", 100: "is damaged", 2000: "is damaged"} {
		broken := append([]byte{}, whole...)
		for i := at; i < 4096; i++ {
			broken[i] = 0xA5
		}
		require.NoError(t, os.WriteFile(path, broken, 0o600))
		_, err = sqlite.Open(path)
		require.ErrorIs(t, err, chat.ErrUnavailable, "from byte %d", at)
		require.ErrorContains(t, err, want, "from byte %d", at)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "backup")
	}
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	head, err := open(t, path, sqlite.Options{}).Head(t.Context(), "a")
	require.NoError(t, err)
	require.EqualValues(t, 1, head.Rev)
}

func TestSchemaOfAnotherVersion(t *testing.T) {
	path := file(t)
	require.NoError(t, open(t, path, sqlite.Options{}).Close())
	change(t, path, "INSERT INTO schema_version VALUES (99, datetime('now'))")
	_, err := sqlite.Open(path)
	require.ErrorIs(t, err, chat.ErrUnsupported)
	require.ErrorContains(t, err, path+" has version 99")
	require.ErrorContains(t, err, "newer version")
}

func TestHostMigrates(t *testing.T) {
	path := file(t)
	_, err := sqlite.OpenWith(path, sqlite.Options{NoMigrate: true})
	require.ErrorIs(t, err, chat.ErrUnsupported)
	require.ErrorContains(t, err, "sqlite.Migrations(0)")
	require.ErrorContains(t, err, sqlite.Migrations(0))

	shell, lookErr := exec.LookPath("sqlite3")
	if lookErr != nil {
		cannot(t, "needs the sqlite3 shell: %v", lookErr)
	}
	cmd := exec.Command(shell, "-bail", path)
	_, script, _ := strings.Cut(err.Error(), "\n\n")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	s := open(t, path, sqlite.Options{NoMigrate: true})
	room(t, s, "a")
	require.Empty(t, sqlite.Migrations(sqlite.Version()))
}

func TestFileOfSomethingElse(t *testing.T) {
	path := file(t)
	b, err := sqlite.NewEmpty(path)
	require.NoError(t, err)
	require.NoError(t, b.Script("CREATE TABLE messages (mine)"))
	require.NoError(t, b.Close())
	_, err = sqlite.Open(path)
	require.ErrorIs(t, err, chat.ErrConflict)
	require.ErrorContains(t, err, "a file of its own")
}
