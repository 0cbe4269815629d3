package storagetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gabblehq/chat"
)

// The mutants that take more than a line.

func seqGap(s chat.Store) chat.Store {
	shift := func(m *chat.Message) {
		if m.Seq >= 3 {
			m.Seq++
		}
	}
	h := appending(nil, func(r *chat.Result) { shift(&r.Message) })(s).(*hooked)
	h.onHistory = func(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
		p, err := s.History(ctx, room, q)
		for i := range p.Messages {
			shift(&p.Messages[i])
		}
		return p, err
	}
	return h
}

func lastPosition(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		results, err := s.Append(ctx, room, known, cs)
		for i := range results {
			results[i].Position = results[len(results)-1].Position
		}
		return results, err
	}}
}

func allOrNothing(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		results, err := s.Append(ctx, room, known, cs)
		for _, r := range results {
			if r.Err != nil && len(results) > 1 {
				return nil, r.Err
			}
		}
		return results, err
	}}
}

func pieceByPiece(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		var all []chat.Result
		for i := range cs {
			results, err := s.Append(ctx, room, known, cs[i:i+1])
			if err != nil {
				return nil, err
			}
			all = append(all, results...)
			runtime.Gosched()
		}
		return all, nil
	}}
}

func emptyMissing(s chat.Store) chat.Store {
	return &hooked{Store: s, onHistory: func(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
		p, err := s.History(ctx, room, q)
		if errors.Is(err, chat.ErrNotFound) {
			err = nil
		}
		return p, err
	}}
}

// leaping lets go for good of what is too old by a wall clock that leaps.
func leaping(s chat.Store) chat.Store {
	a, ok := s.(*aging)
	if !ok {
		return s
	}
	gone := int64(0)
	return showing(func(p *chat.Page) {
		for _, m := range p.Messages {
			if time.Now().Add(a.leap).Sub(m.CreatedAt) > a.age {
				gone = max(gone, m.Seq)
			}
		}
		p.Messages = slices.DeleteFunc(p.Messages, func(m chat.Message) bool { return m.Seq <= gone })
	})(s)
}

func touchingEdit(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		for _, c := range cs {
			if c.Kind == chat.ChangeEdit {
				c.Message.Content += "!"
				if _, err := s.Append(ctx, room, known, []chat.Change{c}); err != nil {
					return nil, err
				}
			}
		}
		return s.Append(ctx, room, known, cs)
	}}
}

func forgetNonces(s chat.Store) chat.Store {
	return appending(func(c *chat.Change) { c.Message.Nonce = "" }, nil)(s)
}

func forgetHard(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		results, err := s.Append(ctx, room, known, cs)
		if len(results) == 1 && results[0].Duplicate && results[0].Message.User == "" {
			c := cs[0]
			c.Message.ID, c.Message.Nonce = c.Message.ID+"2", c.Message.Nonce+"2"
			return s.Append(ctx, room, known, []chat.Change{c})
		}
		return results, err
	}}
}

func checkThenAct(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		c := cs[0]
		if len(cs) > 1 || c.Kind != chat.ChangeCreate || c.Message.Nonce == "" {
			return s.Append(ctx, room, known, cs)
		}
		p, err := s.History(ctx, room, chat.Query{User: c.Message.User, Nonce: c.Message.Nonce, Limit: 1})
		if err != nil || len(p.Messages) > 0 {
			return s.Append(ctx, room, known, cs)
		}
		runtime.Gosched()
		results, err := s.Append(ctx, room, known, cs)
		if err == nil && results[0].Duplicate {
			c.Message.Nonce = ""
			return s.Append(ctx, room, known, []chat.Change{c})
		}
		return results, err
	}}
}

func oneTooMany(s chat.Store) chat.Store {
	return &hooked{Store: s, onChanges: func(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
		return s.Changes(ctx, room, after, limit+1)
	}}
}

func lateHead(s chat.Store) chat.Store {
	return &hooked{Store: s, onChanges: func(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
		p, err := s.Changes(ctx, room, after, limit)
		if err == nil {
			runtime.Gosched()
			p.Head, err = s.Head(ctx, room)
		}
		return p, err
	}}
}

// keepsInput shows the caller's own Meta.
func keepsInput(s chat.Store) chat.Store {
	var kept sync.Map
	h := appending(func(c *chat.Change) {
		if c.Message.Meta != nil {
			kept.Store(c.Message.ID, c.Message.Meta)
		}
	}, nil)(s).(*hooked)
	h.onHistory = aliased(s, &kept)
	return h
}

// returnsOwn shows everyone the same Meta.
func returnsOwn(s chat.Store) chat.Store {
	var kept sync.Map
	return &hooked{Store: s, onHistory: aliased(s, &kept)}
}

func aliased(s chat.Store, kept *sync.Map) func(context.Context, string, chat.Query) (chat.Page, error) {
	return func(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
		p, err := s.History(ctx, room, q)
		for i := range p.Messages {
			m := &p.Messages[i]
			meta, _ := kept.LoadOrStore(m.ID, m.Meta)
			m.Meta = meta.(json.RawMessage)
		}
		return p, err
	}
}

// ownSettings shows everyone the same Meta of a room's settings.
func ownSettings(s chat.Store) chat.Store {
	var kept sync.Map
	h := paging(func(p *chat.Page) {
		for i := range p.Entries {
			if e := &p.Entries[i]; e.Room != nil {
				meta, _ := kept.LoadOrStore(e.Room.ID, e.Room.Meta)
				e.Room.Meta = meta.(json.RawMessage)
			}
		}
	})(s)
	return h
}

// twins answers changes of one message with one slice.
func twins(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		results, err := s.Append(ctx, room, known, cs)
		for i := range results {
			if m := &results[i].Message; m.ID == results[0].Message.ID {
				m.Mentions = results[0].Message.Mentions
			}
		}
		return results, err
	}}
}

// adjacent cuts what it has read into fields that are not cut off.
func adjacent(s chat.Store) chat.Store {
	return showing(func(p *chat.Page) {
		var all []byte
		for _, m := range p.Messages {
			all = append(all, m.Meta...)
		}
		for i := range p.Messages {
			m := &p.Messages[i]
			n := len(m.Meta)
			m.Meta, all = all[:n], all[n:]
		}
	})(s)
}

// blindly answers what the backend has failed to do as if all were well.
func blindly(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		results, err := s.Append(ctx, room, known, cs)
		if errors.Is(err, chat.ErrUnavailable) && ctx.Err() == nil {
			results, err = make([]chat.Result, len(cs)), nil
			for i, c := range cs {
				results[i].Message = c.Message
			}
		}
		return results, err
	}}
}

// denies writes what it says it could not write.
func denies(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		results, err := s.Append(ctx, room, known, cs)
		if errors.Is(err, chat.ErrUnavailable) {
			_, _ = node(s).Unwrap().Append(ctx, room, known, cs)
		}
		return results, err
	}}
}

func ignoreKnown(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, _ chat.Position, cs []chat.Change) ([]chat.Result, error) {
		return s.Append(ctx, room, chat.Position{}, cs)
	}}
}

func strictKnown(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		if head, err := s.Head(ctx, room); err == nil {
			known.Epoch = head.Epoch
		}
		return s.Append(ctx, room, known, cs)
	}}
}

func compact(meta json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if len(meta) == 0 || json.Compact(&b, meta) != nil {
		return meta
	}
	return b.Bytes()
}
