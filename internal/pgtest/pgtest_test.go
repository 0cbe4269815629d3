package pgtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/internal/pgtest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// What is committed is there after a crash of either kind.
func TestServerSurvivesCrashes(t *testing.T) {
	s := pgtest.Start(t, "fsync=on", "synchronous_commit=on", "full_page_writes=on")
	url := s.CreateDB(t)
	exec := func(sql string) (n int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		require.NoError(t, err)
		defer func() { _ = conn.Close(ctx) }()
		require.NoError(t, conn.QueryRow(ctx, sql).Scan(&n))
		return n
	}
	exec("WITH a AS (SELECT 1 AS n) SELECT n FROM a")
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "CREATE TABLE t (n int)")
	require.NoError(t, err)
	for i, stop := range []func(testing.TB){s.Kill, s.StopImmediate} {
		require.Equal(t, i+1, exec("INSERT INTO t VALUES ("+string(rune('1'+i))+") RETURNING n"))
		stop(t)
		s.Restart(t)
		require.Equal(t, i+1, exec("SELECT max(n) FROM t"))
	}
	require.Error(t, conn.Ping(ctx), "the old connection is dead")
	_ = conn.Close(ctx)
}
