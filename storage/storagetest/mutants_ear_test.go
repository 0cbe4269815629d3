package storagetest_test

import (
	"context"
	"slices"

	"github.com/gabblehq/chat"
)

// bentEar is a Listener through which a mutant tells something else.
type bentEar struct {
	chat.Listener
	missed   func(func(string) bool)
	appended func(chat.Hint)
	present  func(string, []chat.Attendance)
}

func (e *bentEar) Missed(covers func(string) bool)           { e.missed(covers) }
func (e *bentEar) Appended(h chat.Hint)                      { e.appended(h) }
func (e *bentEar) Present(room string, as []chat.Attendance) { e.present(room, as) }

// hearing bends what each watcher is told.
func hearing(f func(*bentEar)) func(chat.Store) chat.Store {
	return bend(func(b *bent) {
		b.watch = func(ctx context.Context, l chat.Listener) error {
			e := &bentEar{l, l.Missed, l.Appended, l.Present}
			f(e)
			return b.SharedNode.Watch(ctx, e)
		}
	})
}

func hinting(f func(*chat.Hint)) func(chat.Store) chat.Store {
	return hearing(func(e *bentEar) {
		e.appended = func(h chat.Hint) {
			f(&h)
			e.Listener.Appended(h)
		}
	})
}

func entering(f func([]chat.Entry) []chat.Entry) func(chat.Store) chat.Store {
	return hinting(func(h *chat.Hint) {
		if read := h.Entries; read != nil {
			h.Entries = func() ([]chat.Entry, error) {
				entries, err := read()
				return f(entries), err
			}
		}
	})
}

// first lets one call through.
func first[A any](f func(A)) func(A) {
	called := false
	return func(a A) {
		if !called {
			called = true
			f(a)
		}
	}
}

// butFirst lets all but one call through.
func butFirst[A any](f func(A)) func(A) {
	called := false
	return func(a A) {
		if called {
			f(a)
		}
		called = true
	}
}

func nothing[A any](A) {}

// ignoreKnownAlone looks at known only when there is something to write.
func ignoreKnownAlone(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		if len(cs) == 0 {
			return nil, ctx.Err()
		}
		return s.Append(ctx, room, known, cs)
	}}
}

// badPages bends the pages that show a message deleted hard.
func badPages(f func(*chat.Page) error) func(chat.Store) chat.Store {
	bad := func(m *chat.Message) bool { return m != nil && m.Deleted() && m.User == "" }
	return func(s chat.Store) chat.Store {
		return &hooked{
			Store: s,
			onHistory: func(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
				p, err := s.History(ctx, room, q)
				if slices.ContainsFunc(p.Messages, func(m chat.Message) bool { return bad(&m) }) {
					err = f(&p)
				}
				return p, err
			},
			onChanges: func(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
				p, err := s.Changes(ctx, room, after, limit)
				if slices.ContainsFunc(p.Entries, func(e chat.Entry) bool { return bad(e.Message) }) {
					err = f(&p)
				}
				return p, err
			},
		}
	}
}
