package chat_test

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat"
)

// sick is a store that may hang or be far away, and counts the calls of what is
// below.
type sick struct {
	chat.Store
	hangs    atomic.Bool
	lag      atomic.Int64 // nanoseconds that a call takes
	headless atomic.Bool  // Head is refused
	calls    atomic.Int64
}

func (s *sick) Unwrap() chat.Store { return s.Store }

func (s *sick) call(ctx context.Context) error {
	s.calls.Add(1)
	if !s.hangs.Load() {
		select {
		case <-time.After(time.Duration(s.lag.Load())):
			return nil
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return chat.Errorf(chat.CodeUnavailable, "given up: %w", context.Cause(ctx))
}

func (s *sick) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	return s.Store.Append(ctx, room, known, changes)
}

func (s *sick) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	if err := s.call(ctx); err != nil {
		return chat.Page{}, err
	}
	return s.Store.Changes(ctx, room, after, limit)
}

func (s *sick) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	if err := s.call(ctx); err != nil {
		return chat.Page{}, err
	}
	return s.Store.History(ctx, room, q)
}

func (s *sick) Head(ctx context.Context, room string) (chat.Position, error) {
	if err := s.call(ctx); err != nil {
		return chat.Position{}, err
	}
	if s.headless.Load() {
		return chat.Position{}, chat.Errorf(chat.CodeUnavailable, "no heads here")
	}
	return s.Store.Head(ctx, room)
}

func (s *sick) Heads(ctx context.Context, rooms []string) ([]chat.Position, error) {
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	return s.Store.(chat.Watcher).Heads(ctx, rooms)
}

func (s *sick) Attend(ctx context.Context, node string, lease time.Duration, changes []chat.Attendance) ([]string, bool, error) {
	if err := s.call(ctx); err != nil {
		return nil, false, err
	}
	return s.Store.(chat.PresenceKeeper).Attend(ctx, node, lease, changes)
}

func (s *sick) Attendances(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	return s.Store.(chat.PresenceKeeper).Attendances(ctx, rooms)
}

func (s *sick) Watch(ctx context.Context, l chat.Listener) error {
	return s.Store.(chat.Watcher).Watch(ctx, l)
}

func (s *sick) Signal(ctx context.Context, room string, data []byte) error {
	if err := s.call(ctx); err != nil {
		return err
	}
	return s.Store.(chat.Watcher).Signal(ctx, room, data)
}
