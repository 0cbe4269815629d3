package sqlite

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gabblehq/chat"
)

// migrationFiles are applied in the order of their names, the nth leading to
// version n. One that has been released is never changed; none may destroy.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the scripts, the first leading to version 1.
func migrations() []string {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		panic(err) // a bad pattern
	}
	scripts := make([]string, len(names))
	for i, name := range names {
		b, err := migrationFiles.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded
		}
		scripts[i] = string(b)
	}
	return scripts
}

// Version is the version of the schema that this package works with.
func Version() int { return len(migrations()) }

// Migrations returns the SQL that brings a database from a version of the
// schema, 0 for an empty one, to [Version]; it is empty if there is nothing to
// do. It is one transaction, takes nothing away, and is what [Open] runs
// itself. Feed it to the sqlite3 shell or run it by any driver.
func Migrations(from int) string {
	scripts := migrations()
	if from < 0 || from >= len(scripts) {
		return ""
	}
	var b strings.Builder
	b.WriteString("BEGIN IMMEDIATE;\n\n")
	if from == 0 {
		b.WriteString("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT;\n\n")
	}
	for v := from + 1; v <= len(scripts); v++ {
		fmt.Fprintf(&b, "%s\nINSERT INTO schema_version (version, applied_at) VALUES (%d, datetime('now'));\n\n", strings.TrimSpace(scripts[v-1]), v)
	}
	b.WriteString("COMMIT;\n")
	return b.String()
}

// migrate brings the schema up to date, or says why that cannot be.
func migrate(c *conn, path string, no bool) error {
	from, err := version(c, path)
	if err != nil {
		return err
	}
	to := Version()
	switch {
	case from == to:
		return nil
	case from > to:
		return chat.Errorf(chat.CodeUnsupported, "sqlite: %s has version %d of the schema, and this program knows up to %d: "+
			"run a newer version of it, or put a backup in the file's place", path, from, to)
	case no:
		return chat.Errorf(chat.CodeUnsupported, "sqlite: %s has version %d of the schema, and this program needs %d: "+
			"run the SQL of sqlite.Migrations(%d), or open without NoMigrate. It is:\n\n%s", path, from, to, from, Migrations(from))
	}
	if err := c.script(Migrations(from)); err != nil {
		_ = c.script("ROLLBACK")
		return err
	}
	return nil
}

// version is 0 for an empty database.
func version(c *conn, path string) (int, error) {
	ours, err := c.number("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'")
	if err != nil {
		return 0, err
	}
	if ours == 0 {
		tables, err := c.number("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
		if err == nil && tables > 0 {
			err = chat.Errorf(chat.CodeConflict, "sqlite: %s holds tables of something else; give the chat a file of its own", path)
		}
		return 0, err
	}
	v, err := c.number("SELECT max(version) FROM schema_version")
	return int(v), err
}
