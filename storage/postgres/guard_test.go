package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/storage/postgres"
)

// rudeTracer is a tracer of a host's pool that panics so many times, when a
// batch begins or when it ends.
type rudeTracer struct{ start, end atomic.Int32 }

func (r *rudeTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	if r.start.Add(-1) >= 0 {
		panic("a tracer, at the start")
	}
	return ctx
}

func (r *rudeTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (r *rudeTracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {
	if r.end.Add(-1) >= 0 {
		panic("a tracer, at the end")
	}
}

func (r *rudeTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (r *rudeTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A panic inside the pool that the host has built is an error of the call.
func TestHostsTracerThatPanicsEndsNothing(t *testing.T) {
	config, err := pgxpool.ParseConfig(pgtest.Start(t).CreateDB(t))
	require.NoError(t, err)
	var tracer rudeTracer
	config.ConnConfig.Tracer = &tracer
	ctx := t.Context()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	defer pool.Close()
	s, err := postgres.New(ctx, pool)
	require.NoError(t, err)
	_, err = s.Append(ctx, "r", chat.Position{}, []chat.Change{{Kind: chat.ChangeCreateRoom, Room: chat.RoomInfo{Kind: chat.RoomPublic}}})
	require.NoError(t, err)
	var sent []string
	for i, arm := range []*atomic.Int32{&tracer.start, &tracer.end} {
		unknown := false
		for try := 0; !unknown; try++ { // it may be another goroutine of the store's that has the panic
			require.Less(t, try, 100)
			nonce := fmt.Sprint(i, ".", try)
			arm.Store(1)
			_, err := s.Append(ctx, "r", chat.Position{}, []chat.Change{creation(nonce, nonce)})
			unknown = errors.Is(err, chat.ErrUnknown)
			require.True(t, err == nil || unknown, "%v", err)
			require.NoError(t, send(ctx, s, "r", creation(nonce, nonce)))
			sent = append(sent, nonce)
		}
	}
	require.Equal(t, sent, contents(t, s, "r"), "each once")
	require.NoError(t, s.Close(), "nothing is left behind")
}
