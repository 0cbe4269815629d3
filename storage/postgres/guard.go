package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// panicError is a panic that was caught.
type panicError string

func (e panicError) Error() string { return string(e) }

func panicked(err error) bool {
	_, ok := errors.AsType[panicError](err)
	return ok
}

// guarded calls the driver. Tracers, hooks and types of the host's may be built
// into a pool: a panic of theirs is an error of that call, and nothing else.
func (s *Store) guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("postgres: panic in the driver", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = panicError(fmt.Sprintf("panic: %v", v))
		}
	}()
	return f()
}

// with calls f with a connection of the pool. One on which f has panicked may
// stand anywhere, and is closed.
func (s *Store) with(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	var conn *pgxpool.Conn
	err := s.guarded(func() (err error) {
		conn, err = s.pool.Acquire(ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Release()
	err = s.guarded(func() error { return f(ctx, conn.Conn()) })
	if panicked(err) {
		_ = conn.Conn().Close(ctx)
	}
	return err
}
