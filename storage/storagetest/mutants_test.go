package storagetest_test

import (
	"context"
	"errors"

	"github.com/gabblehq/chat"
)

// mutant is a way to break a store, and the checks that must notice.
type mutant struct {
	name     string
	mutate   func(chat.Store) chat.Store
	caughtBy []string
}

// hooked is a store whose calls a mutant bends. The optional powers of the
// store below show through.
type hooked struct {
	chat.Store
	onAppend  func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error)
	onChanges func(ctx context.Context, room string, after int64, limit int) (chat.Page, error)
	onHistory func(ctx context.Context, room string, q chat.Query) (chat.Page, error)
	onHead    func(ctx context.Context, room string) (chat.Position, error)
}

func (h *hooked) Unwrap() chat.Store { return h.Store }

func (h *hooked) Append(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
	if h.onAppend != nil {
		return h.onAppend(ctx, room, known, cs)
	}
	return h.Store.Append(ctx, room, known, cs)
}

func (h *hooked) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	if h.onChanges != nil {
		return h.onChanges(ctx, room, after, limit)
	}
	return h.Store.Changes(ctx, room, after, limit)
}

func (h *hooked) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	if h.onHistory != nil {
		return h.onHistory(ctx, room, q)
	}
	return h.Store.History(ctx, room, q)
}

func (h *hooked) Head(ctx context.Context, room string) (chat.Position, error) {
	if h.onHead != nil {
		return h.onHead(ctx, room)
	}
	return h.Store.Head(ctx, room)
}

// before bends the changes that are appended, after the results.
func appending(before func(*chat.Change), after func(*chat.Result)) func(chat.Store) chat.Store {
	return func(s chat.Store) chat.Store {
		return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
			cs = append([]chat.Change(nil), cs...)
			for i := range cs {
				if before != nil {
					before(&cs[i])
				}
			}
			results, err := s.Append(ctx, room, known, cs)
			for i := range results {
				if after != nil {
					after(&results[i])
				}
			}
			return results, err
		}}
	}
}

// paging bends the pages of Changes.
func paging(f func(*chat.Page)) func(chat.Store) chat.Store {
	return func(s chat.Store) chat.Store {
		return &hooked{Store: s, onChanges: func(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
			p, err := s.Changes(ctx, room, after, limit)
			if err == nil {
				f(&p)
			}
			return p, err
		}}
	}
}

// showing bends the pages of History.
func showing(f func(*chat.Page)) func(chat.Store) chat.Store {
	return func(s chat.Store) chat.Store {
		return &hooked{Store: s, onHistory: func(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
			p, err := s.History(ctx, room, q)
			if err == nil {
				f(&p)
			}
			return p, err
		}}
	}
}

// failing bends what a call returns where the store has failed.
func failing(f func(error) error) func(chat.Store) chat.Store {
	return func(s chat.Store) chat.Store {
		bend := func(err error) error {
			if errors.Is(err, chat.ErrUnavailable) {
				return f(err)
			}
			return err
		}
		return &hooked{
			Store: s,
			onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
				results, err := s.Append(ctx, room, known, cs)
				return results, bend(err)
			},
			onChanges: func(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
				p, err := s.Changes(ctx, room, after, limit)
				return p, bend(err)
			},
			onHistory: func(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
				p, err := s.History(ctx, room, q)
				return p, bend(err)
			},
			onHead: func(ctx context.Context, room string) (chat.Position, error) {
				p, err := s.Head(ctx, room)
				return p, bend(err)
			},
		}
	}
}

// under bends the contexts and keys of all calls.
func under(f func(ctx context.Context, room string) (context.Context, string)) func(chat.Store) chat.Store {
	return func(s chat.Store) chat.Store {
		return &hooked{
			Store: s,
			onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
				ctx, room = f(ctx, room)
				return s.Append(ctx, room, known, cs)
			},
			onChanges: func(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
				ctx, room = f(ctx, room)
				return s.Changes(ctx, room, after, limit)
			},
			onHistory: func(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
				ctx, room = f(ctx, room)
				return s.History(ctx, room, q)
			},
			onHead: func(ctx context.Context, room string) (chat.Position, error) {
				ctx, room = f(ctx, room)
				return s.Head(ctx, room)
			},
		}
	}
}
