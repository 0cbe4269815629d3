package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

// migrations are numbered from 1, in the order of their names. What has been
// released does not change; the next one comes behind it.
//
//go:embed migrations/*.sql
var migrations embed.FS

// steps returns the statements of each migration.
func steps() ([]string, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	all := make([]string, len(names)) // Glob sorts
	for i, name := range names {
		b, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all[i] = string(b)
	}
	return all, nil
}

// versionTable says which migrations have been applied.
const versionTable = `CREATE TABLE IF NOT EXISTS ~.migrations (
	version    int PRIMARY KEY,
	applied_at timestamptz NOT NULL DEFAULT now()
)`

// Migrate brings the tables in the schema, "gabble" where it is empty, up to
// date; what is there already stays. Several processes may do it at once. The
// user of conn needs the right to create the schema, or to create tables in it
// where it exists.
func Migrate(ctx context.Context, conn *pgx.Conn, schema string) error {
	name, err := schemaName(schema)
	if err != nil {
		return err
	}
	if err := migrate(ctx, conn, name); err != nil {
		return setupError(ctx, "migrating the schema "+name, err)
	}
	return nil
}

// Schema returns the SQL that makes the tables in the schema, "gabble" where
// it is empty, for those who apply migrations by their own tool:
//
//	psql -v ON_ERROR_STOP=1 -1 -f gabble.sql "$DATABASE_URL"
//
// It is for a database without them.
func Schema(schema string) (string, error) {
	name, err := schemaName(schema)
	if err != nil {
		return "", err
	}
	all, err := steps()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE SCHEMA IF NOT EXISTS ~;\n%s;\n", versionTable)
	for i, sql := range all {
		fmt.Fprintf(&b, "\n%s\nINSERT INTO ~.migrations (version) VALUES (%d);\n", sql, i+1)
	}
	return qualify(b.String(), name), nil
}

func migrate(ctx context.Context, conn *pgx.Conn, schema string) error {
	all, err := steps()
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Whoever comes second waits, and finds it done.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "gabble migrations of "+schema); err != nil {
			return err
		}
		have, err := version(ctx, tx, schema)
		if err != nil {
			return err
		}
		if have == len(all) {
			return nil
		}
		if have > len(all) {
			return newer(have, len(all))
		}
		if err := base(ctx, tx, schema); err != nil {
			return err
		}
		for i := have; i < len(all); i++ {
			for sql := range statements(qualify(all[i], schema)) {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return fmt.Errorf("migration %d: %w", i+1, err)
				}
			}
			if _, err := tx.Exec(ctx, qualify(`INSERT INTO ~.migrations (version) VALUES ($1)`, schema), i+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// base makes the schema, which takes a right that is not needed where it
// exists, and the table of versions.
func base(ctx context.Context, tx pgx.Tx, schema string) error {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, quoted(schema)).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, qualify(`CREATE SCHEMA ~`, schema)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, qualify(versionTable, schema))
	return err
}

// querier is what a connection and a transaction have in common.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// version returns the last migration that has been applied, 0 for none.
func version(ctx context.Context, q querier, schema string) (v int, err error) {
	var there bool
	err = q.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, quoted(schema)+".migrations").Scan(&there)
	if err != nil || !there {
		return 0, err
	}
	err = q.QueryRow(ctx, qualify(`SELECT coalesce(max(version), 0) FROM ~.migrations`, schema)).Scan(&v)
	return v, err
}

// checkVersion refuses tables that are not those of this code.
func checkVersion(ctx context.Context, q querier, schema string) error {
	all, err := steps()
	if err != nil {
		return err
	}
	switch v, err := version(ctx, q, schema); {
	case err != nil:
		return err
	case v > len(all):
		return newer(v, len(all))
	case v < len(all):
		return mistake(fmt.Sprintf("the tables in the schema %q are at version %d of %d, and Options.NoMigrate is set: "+
			"run postgres.Migrate(ctx, conn, %q), or the SQL that postgres.Schema(%q) returns where there are none", schema, v, len(all), schema, schema))
	}
	return nil
}

func newer(have, know int) error {
	return mistake(fmt.Sprintf("the tables are at version %d, and this program knows %d: run a newer one", have, know))
}

// mistake is an error of the setup, whose text is ours and may be shown whole.
type mistake string

func (m mistake) Error() string { return "postgres: " + string(m) }

// statements splits a script. A statement ends at the end of a line.
func statements(sql string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(sql, ";\n") {
			if strings.TrimSpace(part) != "" && !yield(part) {
				return
			}
		}
	}
}

const defaultSchema = "gabble"

// schemaName checks a name that goes into statements.
func schemaName(name string) (string, error) {
	if name == "" {
		return defaultSchema, nil
	}
	if len(name) > 40 || strings.ContainsAny(name, "\x00~") {
		return "", errors.New("postgres: Options.Schema: at most 40 bytes, none of them a tilde")
	}
	return name, nil
}

func quoted(schema string) string { return pgx.Identifier{schema}.Sanitize() }

// qualify puts the name of the schema in the place of each tilde.
func qualify(sql, schema string) string { return strings.ReplaceAll(sql, "~", quoted(schema)) }
