package postgres_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
)

// asApp makes the tables, and opens a store as somebody whose rights are those
// of the documentation.
func asApp(t *testing.T, admin string, log io.Writer) *postgres.Store {
	t.Helper()
	execute(t, admin, `DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN END $$`)
	openWith(t, admin, postgres.Options{})
	execute(t, admin, `GRANT USAGE ON SCHEMA gabble TO app`)
	execute(t, admin, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA gabble TO app`)
	return openWith(t, strings.Replace(admin, "postgres@", "app@", 1),
		postgres.Options{NoMigrate: true, Logger: slog.New(slog.NewTextHandler(log, nil))})
}

// Who asks whether a server is ready hears of a database that takes no changes,
// and when it does again.
func TestReadyWhileChangesAreRefused(t *testing.T) {
	const cut = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'`
	const full = `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '53100'; END $$`
	srv := pgtest.Start(t)
	for _, row := range []struct {
		name        string
		begin, mend []string
		unseen      bool // until a message has been refused
	}{
		{"read-only", []string{`ALTER ROLE app SET default_transaction_read_only = on`, cut}, []string{`ALTER ROLE app RESET default_transaction_read_only`, cut}, false},
		{"no right to add", []string{`REVOKE INSERT ON ALL TABLES IN SCHEMA gabble FROM app`}, []string{`GRANT INSERT ON ALL TABLES IN SCHEMA gabble TO app`}, false},
		{"no right to change", []string{`REVOKE UPDATE ON gabble.rooms FROM app`}, []string{`GRANT UPDATE ON gabble.rooms TO app`}, false},
		{"no right to tell", []string{`REVOKE INSERT ON gabble.hints FROM app`}, []string{`GRANT INSERT ON gabble.hints TO app`}, false},
		{"table renamed", []string{`ALTER TABLE gabble.messages RENAME TO away`}, []string{`ALTER TABLE gabble.away RENAME TO messages`}, false},
		{"no room in rooms", []string{full, `CREATE TRIGGER no BEFORE UPDATE ON gabble.rooms FOR EACH ROW EXECUTE FUNCTION no()`}, []string{`DROP TRIGGER no ON gabble.rooms`}, true},
		{"no room for a large message", []string{full, `CREATE TRIGGER no BEFORE INSERT ON gabble.messages FOR EACH ROW WHEN (length(NEW.content) > 2000) EXECUTE FUNCTION no()`}, []string{`DROP TRIGGER no ON gabble.messages`}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			admin := srv.CreateDB(t)
			var log logged
			s := asApp(t, admin, &log)
			here := chattest.New(t, &chat.Options{Store: s, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			alice := here.Dial("alice")
			alice.Join("r")
			ready := func() int {
				res, err := here.HTTP("").Get("http://chat.test/chat/readyz")
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				return res.StatusCode
			}
			long := strings.Repeat("x", 3000)
			alice.Send("r", long)
			rows := func() (all [3]int) {
				require.NoError(t, newPool(t, admin).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM gabble.rooms),
					(SELECT count(*) FROM gabble.messages), (SELECT count(*) FROM gabble.hints)`).Scan(&all[0], &all[1], &all[2]))
				return all
			}
			require.Equal(t, http.StatusOK, ready())
			before := rows()

			for _, sql := range row.begin {
				execute(t, admin, sql)
			}
			if !row.unseen {
				require.Equal(t, http.StatusServiceUnavailable, ready(), "before anybody has sent anything")
			}
			ev := alice.Call(map[string]any{"type": "message", "room": "r", "content": long})
			require.Equal(t, chat.CodeUnavailable, ev.Code)
			for range 3 {
				require.Equal(t, http.StatusServiceUnavailable, ready())
			}
			for _, sql := range row.mend {
				execute(t, admin, sql)
			}
			soon(t, func() bool { return ready() == http.StatusOK }, "by itself: nobody sends where nobody is sent")
			require.Equal(t, before, rows(), "nothing is left of what was tried")
			alice.Send("r", long)
			require.Equal(t, http.StatusOK, ready())
			require.Equal(t, 1, log.count("the database refuses"), "once per cause")
		})
	}
}

// A message that is stored says as much as any trial.
func TestReadyAsSoonAsAMessageIsStored(t *testing.T) {
	url := pgtest.Start(t).CreateDB(t)
	s := openWith(t, url, postgres.Options{})
	makeRoom(t, s, "a")
	execute(t, url, `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '53100'; END $$`)
	execute(t, url, `CREATE TRIGGER no BEFORE UPDATE ON gabble.rooms FOR EACH ROW EXECUTE FUNCTION no()`)
	_, err := s.Append(t.Context(), "a", chat.Position{}, []chat.Change{creation("", "x")})
	require.ErrorIs(t, err, chat.ErrUnavailable)
	require.ErrorIs(t, s.Check(t.Context()), chat.ErrUnavailable)
	execute(t, url, `DROP TRIGGER no ON gabble.rooms`)
	require.NoError(t, send(t.Context(), s, "a", creation("", "y")))
	require.NoError(t, s.Check(t.Context()))
}
