package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
)

func TestMigrations(t *testing.T) {
	srv := pgtest.Start(t)

	t.Run("many at once", func(t *testing.T) {
		url := srv.CreateDB(t)
		pool := newPool(t, url)
		var wg sync.WaitGroup
		stores, errs := make([]*postgres.Store, 8), make([]error, 8)
		for i := range stores {
			wg.Go(func() { stores[i], errs[i] = postgres.New(t.Context(), pool) })
		}
		wg.Wait()
		for i, s := range stores {
			require.NoError(t, errs[i])
			require.NoError(t, s.Close())
		}
	})

	t.Run("a newer schema", func(t *testing.T) {
		url := srv.CreateDB(t)
		s, err := postgres.Open(t.Context(), url)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		execute(t, url, `INSERT INTO gabble.migrations (version) VALUES (99)`)
		pool := newPool(t, url)
		for _, o := range []postgres.Options{{}, {NoMigrate: true}} {
			_, err = postgres.NewWith(t.Context(), pool, o)
			require.ErrorContains(t, err, "99")
			require.ErrorContains(t, err, "run a newer one")
		}
	})

	t.Run("by the host", func(t *testing.T) {
		url := srv.CreateDB(t)
		pool := newPool(t, url)
		o := postgres.Options{NoMigrate: true, Schema: `my "chat"`}
		_, err := postgres.NewWith(t.Context(), pool, o)
		require.ErrorContains(t, err, `postgres.Migrate(ctx, conn, "my \"chat\"")`)

		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		defer func() { _ = conn.Close(context.Background()) }()
		require.NoError(t, postgres.Migrate(t.Context(), conn, o.Schema))
		s, err := postgres.NewWith(t.Context(), pool, o)
		require.NoError(t, err)
		makeRoom(t, s, "a")
		require.NoError(t, s.Close())
	})

	t.Run("by SQL", func(t *testing.T) {
		url := srv.CreateDB(t)
		sql, err := postgres.Schema("")
		require.NoError(t, err)
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		defer func() { _ = conn.Close(context.Background()) }()
		_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
		require.NoError(t, err)
		s, err := postgres.NewWith(t.Context(), newPool(t, url), postgres.Options{NoMigrate: true})
		require.NoError(t, err)
		makeRoom(t, s, "a")
		require.NoError(t, s.Close())
	})

	t.Run("by one who owns little", func(t *testing.T) {
		url := srv.CreateDB(t)
		execute(t, url, `CREATE ROLE app LOGIN`)
		pool := newPool(t, strings.Replace(url, "postgres@", "app@", 1))
		_, err := postgres.New(t.Context(), pool)
		require.ErrorIs(t, err, chat.ErrUnavailable, "it may not make a schema")
		require.ErrorContains(t, err, "permission denied")
		execute(t, url, `CREATE SCHEMA gabble AUTHORIZATION app`)
		s, err := postgres.New(t.Context(), pool)
		require.NoError(t, err)
		makeRoom(t, s, "a")
		require.NoError(t, s.Close())
	})
}

func TestOptions(t *testing.T) {
	_, err := postgres.Open(t.Context(), "no such thing:// hunter2")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")

	url := pgtest.Start(t).CreateDB(t)
	config, err := pgxpool.ParseConfig(url + "&default_query_exec_mode=simple_protocol")
	require.NoError(t, err)
	simple, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer simple.Close()
	_, err = postgres.New(t.Context(), simple)
	require.ErrorContains(t, err, "simple protocol")

	pool := newPool(t, url)
	for _, o := range []postgres.Options{{Schema: "a~b"}, {Schema: strings.Repeat("x", 41)}, {MaxMessages: -1}, {MaxAge: -1}} {
		_, err := postgres.NewWith(t.Context(), pool, o)
		require.ErrorContains(t, err, "Options", fmt.Sprintf("%+v", o))
	}
	for _, mode := range []string{"exec", "cache_describe", "describe_exec"} {
		s, err := postgres.Open(t.Context(), url+"&default_query_exec_mode="+mode)
		require.NoError(t, err, mode)
		makeRoom(t, s, mode)
		require.NoError(t, send(t.Context(), s, mode, creation("n", mode)))
		require.Equal(t, []string{mode}, contents(t, s, mode))
		require.NoError(t, s.Close())
	}
}
