package redis

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
)

// replicated turns what WAIT has answered into an error.
func (l *lane) replicated(ctx context.Context, wait *goredis.IntCmd) error {
	n, err := wait.Result()
	switch {
	case err != nil:
		return fmt.Errorf("redis: %w: waiting for replicas: %w", chat.ErrUnknown, plain(err))
	case n < int64(l.s.opts.Wait):
		return fmt.Errorf("redis: %w: on %d of %d replicas", chat.ErrUnknown, n, l.s.opts.Wait)
	}
	return nil
}

// bound gives the call its own deadline.
func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.Timeout)
}

// read runs commands that write nothing that matters, as one pipeline, and
// returns when they are done or ctx ends. Each command's reply is its own;
// the error is the first.
func (s *Store) read(ctx context.Context, cmds ...*command) error {
	if len(cmds) == 0 {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	select {
	case s.reads <- struct{}{}:
	case <-ctx.Done():
		s.wg.Done()
		return unavailable(ctx.Err())
	}
	done := make(chan error, 1)
	go func() {
		defer s.wg.Done()
		defer func() { <-s.reads }()
		err := guarded(func() error { return s.pipelined(ctx, cmds) })
		if _, ok := err.(panicError); ok {
			s.log.Error("redis: panic in the driver", "err", err)
			err = unavailable(err)
		}
		done <- err
	}()
	// The driver looks at a context's deadline at best, never at its end.
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

func (s *Store) pipelined(ctx context.Context, cmds []*command) error {
	pipe := s.client.Pipeline()
	for _, c := range cmds {
		_ = pipe.Process(ctx, c)
	}
	_, _ = pipe.Exec(ctx)
	var again []*command
	for _, c := range cmds {
		if noScript(c.Err()) {
			again = append(again, c)
		}
	}
	if len(again) > 0 {
		pipe = s.client.Pipeline()
		for _, c := range again {
			c.Cmd = c.whole(ctx).Cmd
			_ = pipe.Process(ctx, c)
		}
		_, _ = pipe.Exec(ctx)
	}
	for _, c := range cmds {
		if err := c.Err(); err != nil && err != goredis.Nil { //nolint:errorlint // never wrapped
			return unavailable(err)
		}
	}
	return nil
}
